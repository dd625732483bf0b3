"""How much a selection can draw: known from the lengths in the pool, before any score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from coresift.selection.errors import SelectionError
from coresift.selection.names import DECILES, Budget
from coresift.selection.request import Request

#: Bins of equal count that lengths are cut into, to match them or to rank inside them.
LENGTH_BINS = 50


#: Lifts a product of a share, as it is written, and a count above its rounding: 0.29 * 100 is 29.
ROUNDED_UP = 1 + 1e-15


def n_pruned(pool: int, prune_hard: float) -> int:
    """How many of the pool CCI drops first."""
    return int(np.floor(prune_hard * pool * ROUNDED_UP))


def decile_bounds(pool: int, tenth: int) -> tuple[int, int]:
    """First place, and that behind the last, of a tenth of the pool."""
    return pool * tenth // 10, pool * (tenth + 1) // 10


def length_counts(lengths: Iterable[np.ndarray]) -> np.ndarray:
    """(longest + 1,) int64: how many sequences of each length there are in parts of a pool."""
    counts = np.zeros(1, np.int64)
    for part in lengths:
        more = np.bincount(part)
        longer, shorter = (more, counts) if len(more) > len(counts) else (counts, more)
        longer[: len(shorter)] += shorter
        counts = longer
    return counts


def least_residues(counts: np.ndarray, n: int) -> int:
    """Residues of the n shortest sequences: what any n have at least.

    Args:
        counts: sequences of each length.
    """
    shorter = np.cumsum(counts) - counts
    return int(np.clip(n - shorter, 0, counts) @ np.arange(len(counts)))


def most_drawn(pool: int, request: Request) -> tuple[int, str]:
    """The sequences that a selection can choose from, and why they are not the pool, with `{}`.

    Of matched selections it is that of what they are matched to, which is checked itself; with
    groups, CCI drops at most its share of the pool.
    """
    prune_hard = request.options.get("prune_hard", 0.0)
    if request.strategy in DECILES:
        start, stop = decile_bounds(pool, DECILES[request.strategy])
        return stop - start, f"that {request.name}, a tenth of the {pool}, has{{}}; lower it"
    why = f"that {request.name} leaves{{}} after dropping prune_hard = {prune_hard} of {pool}"
    return pool - n_pruned(pool, prune_hard), f"{why}; lower either"


def check_budgets(
    counts: np.ndarray,
    budgets: Sequence[Budget],
    requests: Mapping[str, Request],
    key: str = "selection.budgets",
) -> dict[str, dict[str, int]]:
    """The largest budget that each selection can spend; every budget must be within.

    Which sequences are left to a selection is not known before the scores: of residues it is sure
    of those of the shortest. `pool` and `random_x10` take what there is where it is less than they
    would.

    Args:
        counts: sequences of each length in the pool.
        budgets: of the coresets. key: where they are given.
        requests: by name, those that others are matched to as well.

    Returns:
        By selection, then unit.

    Raises:
        SelectionError: one line a budget that is too large.
    """
    n = int(counts.sum())
    pool = {"sequences": n, "residues": least_residues(counts, n)}
    problems = [
        f"{key}: {budget.setting} is larger than the pool of {pool[budget.unit]} {budget.unit}"
        for budget in budgets
        if budget.amount > pool[budget.unit]
    ]
    most = {}
    for name, request in requests.items():
        size, why = most_drawn(n, request)
        most[name] = {"sequences": size, "residues": least_residues(counts, size)}
        problems += [
            f"{key}: {budget.setting} is larger than the {most[name][budget.unit]} {budget.unit} "
            + why.format(" at worst" * (budget.unit == "residues"))
            for budget in budgets
            if most[name][budget.unit] < budget.amount <= pool[budget.unit]
        ]
    for name, request in requests.items():
        if request.reference in most:
            most[name] = most[request.reference]
    if problems:
        raise SelectionError("\n".join(problems))
    return most
