"""A budget shared among clusters or groups, and spent at random inside each."""

from __future__ import annotations

import polars as pl

from coresift.selection.allocation import capped_quotas, systematic_counts
from coresift.selection.draw import Draw, by_hash


def group_counts(pool: pl.DataFrame, draw: Draw, power: float) -> pl.DataFrame:
    """How many sequences each group gives: columns group, wanted; they sum to the budget.

    In proportion to size ** power, and none more than it has (`allocation.capped_quotas`), rounded
    by systematic sampling in the groups' random order. O(n + g log g) for g groups.

    Args:
        pool: columns group, group_rank: what may be drawn.
    """
    groups = (
        pool.group_by("group")
        .agg(pl.len().alias("size"), pl.col("group_rank").first())
        .sort("group_rank", "group")
    )
    sizes = groups["size"].cast(pl.Int64).to_numpy()
    quotas = capped_quotas(sizes, sizes**power, draw.budget)
    counts = systematic_counts(quotas, draw.budget, draw.generator().random())
    return groups.select("group", pl.Series("wanted", counts))


def draw_counts(pool: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """The first `wanted` rows of each group, in the pool's order."""
    position = pl.int_range(pl.len()).over("group")
    return (
        pool.with_columns(_position=position)
        .join(counts, on="group", how="inner", maintain_order="left")
        .filter(pl.col("_position") < pl.col("wanted"))
    )


def weighted(chosen: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """Rows with column weight: the inverse of the share of their group that was drawn."""
    sizes = pool.group_by("group").len("_size")
    return chosen.join(sizes, on="group", maintain_order="left").with_columns(
        weight=pl.col("_size") / pl.len().over("group")
    )


def balanced(draw: Draw) -> pl.DataFrame:
    """As many of each group, while it has some: one of each in turn, in the groups' random order.

    With more groups than the budget, a random choice of groups gives one each. O(n log n).
    """
    return _in_turn(draw, by_hash(draw.pool))


def square_root(draw: Draw) -> pl.DataFrame:
    """Groups in proportion to the square root of their size, at random inside. O(n log n)."""
    counts = group_counts(draw.pool, draw, power=0.5)
    return weighted(draw_counts(by_hash(draw.pool), counts), draw.pool)


def representatives(draw: Draw) -> pl.DataFrame:
    """One of each cluster: the representative, where it is in the pool, else the first by hash.

    With more clusters than the budget a random choice of clusters; with fewer, a second member of
    each in turn, and so on, by hash. O(n log n).
    """
    return _in_turn(draw, draw.pool.sort(~pl.col("representative"), "hash_rank", "seq_id"))


def _in_turn(draw: Draw, ordered: pl.DataFrame) -> pl.DataFrame:
    turn = pl.int_range(pl.len()).over("group").alias("turn")
    chosen = ordered.with_columns(turn).sort("turn", "group_rank", "group").head(draw.budget)
    return weighted(chosen, draw.pool)
