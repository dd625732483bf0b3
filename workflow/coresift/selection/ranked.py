"""Coresets that are a stretch of one order of the pool. All O(n log n)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from coresift.selection.budgets import decile_bounds
from coresift.selection.cci import kept_by, scaled
from coresift.selection.draw import Draw, by_hash
from coresift.selection.names import DECILES


def highest(draw: Draw) -> pl.DataFrame:
    """The highest scores; ties by hash."""
    return _by_value(draw, "raw", descending=True)


def lowest(draw: Draw) -> pl.DataFrame:
    """The lowest scores; ties by hash."""
    return _by_value(draw, "raw", descending=False)


def highest_for_length(draw: Draw) -> pl.DataFrame:
    """The highest scores among sequences of about the same length, see `cci.scaled`."""
    return _by_value(draw, "length_rank", descending=True)


def _by_value(draw: Draw, scale: str, descending: bool) -> pl.DataFrame:
    value = scaled(draw.pool, scale)
    order = [descending, False, False]
    return draw.take(draw.pool.sort(value, "hash_rank", "seq_id", descending=order))


def middle(draw: Draw) -> pl.DataFrame:
    """The scores around the median by rank, nearest first: a stretch in the middle of the order.

    The middle of the distribution of perplexity is what Marion et al. 2023 ("When less is more",
    arXiv 2309.04564, section 3) found best to keep; the loss has perplexity's order.
    """
    order = draw.pool.select(pl.arg_sort_by("score", "hash_rank", "seq_id")).to_series().to_numpy()
    places = np.arange(len(order))
    nearest = np.argsort(np.abs(2 * places - (len(order) - 1)), kind="stable")
    return draw.take_rows(order[nearest])


def decile(draw: Draw) -> pl.DataFrame:
    """Random within a tenth of the order of the scores, 0 the lowest.

    Ties are cut by seq_id, which is a hash of the sequence and the same for every tenth, so that
    the ten share no sequence and leave none out.
    """
    order = draw.pool.sort("score", "seq_id")
    start, stop = decile_bounds(order.height, DECILES[draw.request.strategy])
    return draw.take(by_hash(order[start:stop]))


def anything(draw: Draw) -> pl.DataFrame:
    """At random."""
    return draw.take(by_hash(draw.pool))


def ten_times(draw: Draw) -> pl.DataFrame:
    """Ten times the budget at random, or the whole pool where that is less."""
    budget = replace(draw.budget, amount=10 * draw.budget.amount)
    return replace(draw, budget=budget).take(by_hash(draw.pool))


def whole_pool(draw: Draw) -> pl.DataFrame:
    """In random order as much of the pool as training at equal residues can see once.

    These are options["residues"], or options["epochs"] times the residues of the budget, or of that
    many sequences of the pool's mean length: the shortest prefix that has them, or the whole pool.
    """
    order = by_hash(draw.pool)
    totals = order["length"].cast(pl.Int64).cum_sum().to_numpy()
    seen = draw.request.options
    residues = seen.get("residues")
    if residues is None:
        residues = seen["epochs"] * draw.budget.residues(totals[-1] / order.height)
    return order.head(int(np.searchsorted(totals, residues)) + 1)


def kept(draw: Draw) -> pl.DataFrame:
    """At random from what CCI keeps: CCI without its strata."""
    return draw.take(by_hash(kept_by(draw.pool, draw.request.options).drop("stratum")))
