"""How many sequences a selection can draw: known from the size of the pool, before any score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from coresift.selection.errors import SelectionError
from coresift.selection.names import DECILES
from coresift.selection.request import Request

#: Bins of equal count that lengths are cut into, to match them or to rank inside them.
LENGTH_BINS = 50


def n_pruned(pool: int, prune_hard: float) -> int:
    """How many of the pool CCI drops first."""
    return int(np.floor(prune_hard * pool))


def decile_bounds(pool: int, tenth: int) -> tuple[int, int]:
    """First place, and that behind the last, of a tenth of the pool."""
    return pool * tenth // 10, pool * (tenth + 1) // 10


def most_drawn(pool: int, request: Request) -> tuple[int, str]:
    """The largest budget that a selection can spend, and why it is not the pool.

    Of matched selections it is that of what they are matched to, which is checked itself; with
    groups, CCI drops at most its share of the pool.
    """
    prune_hard = request.options.get("prune_hard", 0.0)
    if request.strategy in DECILES:
        start, stop = decile_bounds(pool, DECILES[request.strategy])
        return stop - start, f"that {request.name}, a tenth of the {pool}, has; lower it"
    why = f"that {request.name} leaves after dropping prune_hard = {prune_hard} of {pool}"
    return pool - n_pruned(pool, prune_hard), f"{why}; lower either"


def check_budgets(
    pool: int, budgets: Sequence[int], requests: Mapping[str, Request]
) -> dict[str, int]:
    """The largest budget that each selection can spend; every budget must be within.

    `pool` and `random_x10` take what there is where it is less than they would.

    Args:
        pool: sequences in the pool.
        budgets: sequences in a coreset.
        requests: by name, those that others are matched to as well.

    Raises:
        SelectionError: one line a budget that is too large.
    """
    problems = [
        f"selection.budgets: {budget} is larger than the pool of {pool} sequences"
        for budget in budgets
        if budget > pool
    ]
    most = {}
    for name, request in requests.items():
        most[name], why = most_drawn(pool, request)
        problems += [
            f"selection.budgets: {budget} is larger than the {most[name]} sequences {why}"
            for budget in budgets
            if most[name] < budget <= pool
        ]
    for name, request in requests.items():
        if request.reference in most:
            most[name] = most[request.reference]
    if problems:
        raise SelectionError("\n".join(problems))
    return most
