"""Which sequences are held out, before anything learns from the pool."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from coresift.corpus.groups import groups_of
from coresift.hashing import in_share


def split(
    frame: pl.DataFrame, share: float, seed: int, grouping: str | Path | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The pool proper and the held-out sequences among rows of the pool.

    A sequence is held out if the seeded hash of its group is among the lowest `share` of all
    hashes: a group is held out whole, the same whatever rows are given together, and what a smaller
    share holds out is part of what a larger one does. The share is one of groups; of sequences it
    is so on average only.

    Args:
        frame: column seq_id, sorted, and any others.
        grouping: a table of groups (`groups_of`) that has every sequence. A sequence without a
            group, and every one where this is None, stands for itself.
    """
    if share == 0:
        return frame, frame.clear()
    keys = frame["seq_id"]
    if grouping is not None:
        keys = groups_of(keys, grouping).fill_null(keys)
    apart = pl.Series(in_share(keys.to_list(), share, seed, "heldout"))
    return frame.filter(~apart), frame.filter(apart)
