"""Random coresets that share something with another one: its lengths, residues or groups."""

from __future__ import annotations

import numpy as np
import polars as pl

from coresift.selection.budgets import LENGTH_BINS
from coresift.selection.draw import Draw, by_hash
from coresift.selection.errors import SelectionError
from coresift.selection.grouped import draw_counts


def same_residues(draw: Draw) -> pl.DataFrame:
    """A random prefix whose residues come nearest to the reference's: within half a sequence.

    The one strategy whose number of sequences is not the budget's. O(n log n).
    """
    order = by_hash(draw.pool)
    totals = np.concatenate(([0], order["length"].cast(pl.Int64).cum_sum().to_numpy()))
    target = int(_reference(draw)["length"].cast(pl.Int64).sum())
    return order.head(max(1, int(np.abs(totals - target).argmin())))


def same_lengths(draw: Draw) -> pl.DataFrame:
    """Random within bins of length, as many from each bin as the reference has.

    `LENGTH_BINS` bins, cut where the reference's own lengths are: equal counts of it. O(n log n).
    """
    quantiles = np.linspace(0, 1, LENGTH_BINS + 1)[:-1]
    lengths = _reference(draw)["length"].to_numpy()
    # The last edge closes the range, so lengths the reference lacks fall into bins it lacks.
    edges = np.unique([*np.quantile(lengths, quantiles, method="nearest"), lengths.max() + 1])
    bins = np.searchsorted(edges, draw.pool["length"].to_numpy(), side="right")
    wanted = np.searchsorted(edges, lengths, side="right")
    return _same_counts(draw.pool.with_columns(group=pl.Series(bins)), pl.Series("group", wanted))


def same_groups(draw: Draw) -> pl.DataFrame:
    """Random within groups, as many from each group as the reference has. O(n log n)."""
    return _same_counts(draw.pool, _reference(draw)["group"])


def _same_counts(pool: pl.DataFrame, wanted: pl.Series) -> pl.DataFrame:
    """Random rows with the given multiset of groups."""
    counts = wanted.to_frame("group").group_by("group").len("wanted")
    return draw_counts(by_hash(pool), counts)


def _reference(draw: Draw) -> pl.DataFrame:
    if draw.reference is None:
        raise SelectionError(f"{draw.request.name} needs a reference coreset to match")
    return draw.reference
