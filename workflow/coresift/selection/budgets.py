"""How many sequences a selection can draw: known from the size of the pool, before any score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coresift.selection.errors import SelectionError


def n_pruned(pool: int, prune_hard: float) -> int:
    """How many of the pool CCI drops first."""
    return int(np.floor(prune_hard * pool))


def check_budgets(
    pool: int, budgets: Sequence[int], selections: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> dict[str, int]:
    """The most sequences that each selection can draw from a pool; every budget must be within.

    Args:
        pool: sequences in the pool.
        budgets: sequences in a coreset.
        selections: strategy, and for cci the values of `selection.settings.Cci`, by name.

    Raises:
        SelectionError: one line a budget that is too large.
    """
    problems = [
        f"selection.budgets: {budget} is larger than the pool of {pool} sequences"
        for budget in budgets
        if budget > pool
    ]
    most = {}
    for name, (strategy, options) in selections.items():
        most[name] = pool
        if strategy == "cci":
            most[name] -= n_pruned(pool, options["prune_hard"])
        problems += [
            f"selection.budgets: {budget} is larger than the {most[name]} sequences that {name} "
            f"leaves after dropping prune_hard = {options['prune_hard']} of {pool}; lower either"
            for budget in budgets
            if most[name] < budget <= pool
        ]
    if problems:
        raise SelectionError("\n".join(problems))
    return most
