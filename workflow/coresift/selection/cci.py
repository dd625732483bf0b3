"""Coverage-centric influence (CCI): strata over the score range, filled from the smallest up.

Paper section 3.3 (after CCS, Zheng et al. 2023): the most influential share beta may be noise and
is dropped; the rest is cut into strata; every stratum gives as much as the smallest ones allow.
With groups (`cluster_cci`, `group_cci`) this is done inside each group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from coresift.selection.budgets import LENGTH_BINS, ROUNDED_UP
from coresift.selection.draw import Draw
from coresift.selection.errors import SelectionError
from coresift.selection.grouped import interleaved

#: Stratum of the most influential sequences that CCI drops.
PRUNED = -1


def has_logarithms(pool: pl.DataFrame) -> bool:
    """Whether every score (column score) is positive."""
    return not pool.select((pl.col("score") <= 0).any()).item()


def scaled(pool: pl.DataFrame, scale: str) -> pl.Expr:
    """The score on a scale: what is pruned, cut and ranked.

    Args:
        pool: columns length, score.
        scale: raw; log (scores must be > 0); rank (ties share their mean); or length_rank: the
            rank among the sequences of about the same length, as a share of them (0 to 1). For
            that the pool is cut by length into `LENGTH_BINS` bins of equal count; equal lengths
            stay together.

    Raises:
        SelectionError: log scale with a score that is not positive.
    """
    score = pl.col("score")
    if scale == "log":
        if not has_logarithms(pool):
            raise SelectionError("cci.scale: log needs positive scores; use raw or rank")
        return score.log()
    if scale == "rank":
        return score.rank()
    if scale == "length_rank":
        # Ranks are 32 bits wide, and too narrow for the product.
        place = pl.col("length").rank("max").cast(pl.Int64) - 1
        length_bin = place * LENGTH_BINS // pl.len()
        return (score.rank().over(length_bin) - 0.5) / pl.len().over(length_bin)
    return score


def pool_strata(
    pool: pl.DataFrame, prune_hard: float, n_strata: int, scale: str, strata: str
) -> pl.DataFrame:
    """The pool by falling score, with column stratum (Int64); PRUNED where it is dropped.

    Both are of each group where the pool has column group. O(n log n).

    Args:
        pool: columns seq_id, length, score, hash_rank (breaks ties).
        prune_hard: share of the highest that is dropped (beta), rounded down.
        n_strata: at least one.
        scale: see `scaled`.
        strata: equal_width bins between the minimum and the maximum of what is kept, both
            included, or equal_mass (bins of its ranks; ties stay together).
    """
    keys = ["group"] if "group" in pool.columns else [pl.lit(0)]
    ordered = pool.with_columns(value=scaled(pool, scale)).sort(
        "value", "hash_rank", "seq_id", descending=[True, False, False]
    )
    n_dropped = (prune_hard * pl.len().over(keys) * ROUNDED_UP).floor()  # as budgets.n_pruned
    dropped = pl.int_range(pl.len()).over(keys) < n_dropped
    ordered = ordered.with_columns(kept=pl.when(~dropped).then("value"))
    kept = pl.col("kept")
    low, high = kept.min().over(keys), kept.max().over(keys)
    if strata == "equal_mass":
        # The last of its ties, counted from 0, among the gaps between what is kept.
        place = kept.rank("max").over(keys).cast(pl.Int64) - 1
        gaps = kept.count().over(keys) - 1
    else:
        place, gaps = kept - low, high - low
    place = (place * n_strata / gaps).floor().clip(0, n_strata - 1)
    stratum = pl.when(high == low).then(kept * 0).otherwise(place).fill_null(PRUNED)
    return ordered.with_columns(stratum=stratum.cast(pl.Int64)).drop("kept", "value")


def kept_by(pool: pl.DataFrame, options: Mapping[str, Any]) -> pl.DataFrame:
    """What CCI leaves of the pool, with column stratum."""
    return pool_strata(pool, **options).filter(pl.col("stratum") != PRUNED)


def draw_cci(draw: Draw) -> pl.DataFrame:
    """Strata filled from the smallest up; the weight is the inverse inclusion probability.

    One stratum after another gives its next sequence by hash rank until the budget is spent, the
    last round from the largest strata: the counts are those of filling the smallest first, each
    with an equal share of what is left (Zheng et al. 2023, algorithm 1), and a smaller budget is a
    prefix. So a budget of residues fills strata with sequences in equal turns until their residues
    are spent. With groups each has this order of its own, and they are merged in proportion to
    what is kept of each, see `grouped.interleaved`. O(n log n).
    """
    kept = kept_by(draw.pool, draw.request.options)
    keys = ["group"] if "group" in kept.columns else [pl.lit(0)]
    stratum = [*keys, "stratum"]
    kept = kept.sort("hash_rank", "seq_id").with_columns(
        position=pl.int_range(pl.len()).over(stratum), size=pl.len().over(stratum)
    )
    order = ["position", "size", "stratum", "hash_rank", "seq_id"]
    kept = kept.sort(*order, descending=[False, True, True, False, False])
    if draw.request.by is not None:
        kept = interleaved(kept, draw, power=1.0)
    chosen = draw.take(kept)
    return chosen.with_columns(weight=pl.col("size") / pl.len().over(stratum))
