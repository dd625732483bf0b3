"""Coverage-centric influence (CCI): strata over the score range, filled from the smallest up.

Paper section 3.3 (after CCS, Zheng et al. 2023): the most influential share beta may be noise and
is dropped; the rest is cut into strata; every stratum gives as much as the smallest ones allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from coresift.selection.budgets import n_pruned
from coresift.selection.errors import SelectionError

#: Stratum of the most influential sequences that CCI drops.
PRUNED = -1


def assign_strata(values: np.ndarray, n_strata: int, scale: str, strata: str) -> np.ndarray:
    """Stratum (int64, 0..n_strata-1) of each score.

    Args:
        values: (n,) finite scores.
        scale: raw, log (of the score's distance above the minimum's scale; scores must be > 0),
            or rank.
        strata: equal_width bins between the minimum and the maximum, both included, or
            equal_mass (quantiles; ties stay together).

    Raises:
        SelectionError: log scale with a score that is not positive.
    """
    if scale == "log":
        if (values <= 0).any():
            raise SelectionError("cci.scale: log needs positive scores; use raw or rank")
        values = np.log(values)
    elif scale == "rank":
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        values = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    low, high = values.min(), values.max()
    if strata == "equal_mass":
        inner = np.quantile(values, np.linspace(0, 1, n_strata + 1)[1:-1])
    else:
        inner = np.linspace(low, high, n_strata + 1)[1:-1]
    if low == high:
        return np.zeros(len(values), dtype=np.int64)
    return np.searchsorted(inner, values, side="right")


def water_fill(sizes: np.ndarray, budget: int) -> np.ndarray:
    """How many each stratum gives: min(size, remaining // strata left), smallest first.

    Equal sizes are taken in stratum order; since the largest come last and the last takes all that
    remains, the counts sum to exactly min(budget, sum(sizes)).
    """
    counts = np.zeros_like(sizes)
    remaining = budget
    order = np.argsort(sizes, kind="stable")
    for position, stratum in enumerate(order):
        share = remaining // (len(order) - position)
        counts[stratum] = min(int(sizes[stratum]), share)
        remaining -= int(counts[stratum])
    return counts


def pool_strata(
    pool: pl.DataFrame, prune_hard: float, n_strata: int, scale: str, strata: str
) -> pl.DataFrame:
    """The pool by falling influence, with column stratum (Int64); PRUNED where it is dropped.

    Args:
        pool: columns seq_id, influence, hash_rank (breaks ties).
        prune_hard: share of the most influential that is dropped (beta).
        n_strata, scale, strata: see `assign_strata`.
    """
    dropped = n_pruned(pool.height, prune_hard)
    ordered = pool.sort("influence", "hash_rank", "seq_id", descending=[True, False, False])
    kept = ordered["influence"].slice(dropped).to_numpy()
    stratum = assign_strata(kept, n_strata, scale, strata)
    return ordered.with_columns(
        pl.Series("stratum", np.concatenate((np.full(dropped, PRUNED), stratum)))
    )


def draw_cci(pool: pl.DataFrame, budget: int, options: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of the coreset with columns stratum and weight, by stratum then hash rank.

    The weight is the inverse inclusion probability within the stratum (size / drawn).

    Args:
        pool: columns seq_id, influence, hash_rank.
        budget: rows to draw, at most those that are left after the hardest (`check_budgets`).
        options: values of `selection.settings.Cci`.
    """
    kept = pool_strata(pool, **options).filter(pl.col("stratum") != PRUNED)
    stratum = kept["stratum"].to_numpy()
    sizes = np.bincount(stratum)
    drawn = water_fill(sizes, budget)
    return (
        kept.with_columns(
            pl.Series("drawn", drawn[stratum]),
            pl.Series("weight", sizes[stratum] / np.maximum(1, drawn[stratum])),
        )
        .sort("stratum", "hash_rank", "seq_id")
        .filter(pl.int_range(pl.len()).over("stratum") < pl.col("drawn"))
    )
