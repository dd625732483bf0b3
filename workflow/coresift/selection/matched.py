"""Random coresets that share something with another one: lengths, complexity, residues, groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from coresift.selection.budgets import LENGTH_BINS
from coresift.selection.draw import Draw, by_hash
from coresift.selection.errors import SelectionError
from coresift.selection.names import Budget


def same_residues(draw: Draw) -> pl.DataFrame:
    """A random prefix whose residues come nearest to the reference's: within half a sequence.

    Whatever the budget's unit, so that of sequences it may have another number. O(n log n).
    """
    residues = int(_reference(draw)["length"].cast(pl.Int64).sum())
    return replace(draw, budget=Budget(residues, "residues")).take(by_hash(draw.pool))


def same_lengths(draw: Draw) -> pl.DataFrame:
    """Random within bins of length, as many from each bin as the reference has.

    `LENGTH_BINS` bins, cut where the reference's own lengths are: equal counts of it. O(n log n).
    """
    return _same_bins(draw, "length")


def same_complexity(draw: Draw) -> pl.DataFrame:
    """Random within bins of the share of low complexity, cut as `same_lengths` cuts lengths."""
    return _same_bins(draw, "feature")


def _same_bins(draw: Draw, column: str) -> pl.DataFrame:
    """Random within `LENGTH_BINS` bins of a column, as many from each as the reference has."""
    quantiles = np.linspace(0, 1, LENGTH_BINS + 1)[:-1]
    values = _reference(draw)[column].to_numpy()
    # The last edge closes the range, so values the reference lacks fall into bins it lacks.
    last = np.nextafter(float(values.max()), np.inf)
    edges = np.unique([*np.quantile(values, quantiles, method="nearest"), last])
    bins = np.searchsorted(edges, draw.pool[column].to_numpy(), side="right")
    wanted = np.searchsorted(edges, values, side="right")
    return _same_counts(draw.pool.with_columns(group=pl.Series(bins)), pl.Series("group", wanted))


def same_groups(draw: Draw) -> pl.DataFrame:
    """Random within groups, as many from each group as the reference has. O(n log n)."""
    return _same_counts(draw.pool, _reference(draw)["group"])


def _same_counts(pool: pl.DataFrame, wanted: pl.Series) -> pl.DataFrame:
    """Random rows with the given multiset of groups, whatever the budget."""
    counts = wanted.to_frame("group").group_by("group").len("_wanted")
    return (
        by_hash(pool)
        .with_columns(_position=pl.int_range(pl.len()).over("group"))
        .join(counts, on="group", how="inner", maintain_order="left")
        .filter(pl.col("_position") < pl.col("_wanted"))
    )


def _reference(draw: Draw) -> pl.DataFrame:
    if draw.reference is None:
        raise SelectionError(f"{draw.request.name} needs a reference coreset to match")
    return draw.reference
