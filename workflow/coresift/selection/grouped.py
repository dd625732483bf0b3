"""Groups or clusters that take turns: a budget is shared among them, and random inside each."""

from __future__ import annotations

import polars as pl

from coresift.selection.draw import Draw, by_hash


def interleaved(ordered: pl.DataFrame, draw: Draw, power: float) -> pl.DataFrame:
    """The groups' own orders merged: of each in proportion to size ** power in every prefix.

    Sequential Poisson sampling (Ohlsson 1998, J. Off. Stat. 14, 149), with more than one of a
    unit: the k-th row (from 0) of a group of weight w = size ** power comes at (k + u) / w. So up
    to place x a group gives w x rows, rounded up where the fraction is above its u, or all it has,
    and what full groups leave is the others'. The u are even steps through [0, 1) in the groups'
    random order (collocated sampling; Brewer, Early & Hanif 1984, J. Stat. Plan. Inference 10,
    15), so that together they round up about as often as they should. A group that is too small
    for a row has its chance of one; largest remainders, the usual way, would give it nothing.
    O(n log n).

    Args:
        ordered: columns group, group_rank; the rows of each group in its order.

    Returns:
        All the rows.
    """
    groups = (
        ordered.group_by("group")
        .agg(pl.len().alias("_size"), pl.col("group_rank").first())
        .sort("group_rank", "group")
        .with_row_index("_place")
    )
    u = (pl.col("_place") + draw.generator().random()) / pl.len()
    groups = groups.select("group", u.alias("_u"), (pl.col("_size") ** power).alias("_weight"))
    place = (pl.int_range(pl.len()).over("group") + pl.col("_u")) / pl.col("_weight")
    return (
        ordered.join(groups, on="group", maintain_order="left")
        .with_columns(_at=place)
        .sort("_at", "group_rank", "group")
        .drop("_at", "_u", "_weight")
    )


def balanced(draw: Draw) -> pl.DataFrame:
    """As many of each group, while it has some: one of each in turn, in the groups' random order.

    With more groups than the budget, a random choice of groups gives one each. O(n log n).
    """
    return _drawn(draw, by_hash(draw.pool), power=0.0)


def square_root(draw: Draw) -> pl.DataFrame:
    """Groups in proportion to the square root of their size, at random inside. O(n log n)."""
    return _drawn(draw, by_hash(draw.pool), power=0.5)


def representatives(draw: Draw) -> pl.DataFrame:
    """One of each cluster: the representative, where it is in the pool, else the first by hash.

    With more clusters than the budget a random choice of clusters; with fewer, a second member of
    each in turn, and so on, by hash. O(n log n).
    """
    ordered = draw.pool.sort(~pl.col("representative"), "hash_rank", "seq_id")
    return _drawn(draw, ordered, power=0.0)


def _drawn(draw: Draw, ordered: pl.DataFrame, power: float) -> pl.DataFrame:
    """What the budget buys, with column weight: the inverse of the share drawn of its group."""
    chosen = draw.take(interleaved(ordered, draw, power))
    sizes = draw.pool.group_by("group").len("_size")
    return chosen.join(sizes, on="group", maintain_order="left").with_columns(
        weight=pl.col("_size") / pl.len().over("group")
    )
