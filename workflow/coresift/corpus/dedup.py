"""Global exact deduplication, one hash bucket at a time.

Equal sequences have equal hashes and so meet in one bucket: bucket by bucket is global, parallel
and independent of the order of files and jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from coresift.corpus.blocks import block_expression, bounds
from coresift.io import PART, SEQUENCE, conform, list_series, read_arrow


class HashCollisionError(ValueError):
    """Two different sequences have the same 128-bit hash."""


def deduplicate(parts: Sequence[str | Path], n_blocks: int) -> pl.DataFrame:
    """Distinct sequences of one bucket, in hash order (columns of `SEQUENCE`).

    Raises:
        HashCollisionError: different sequences under one hash; nothing is merged by hash alone.
    """
    # Sorted, the copies of a sequence are a run of rows, and its ids a slice of one column.
    rows = read_arrow(parts, PART).sort("digest", "source_id")
    same = pl.col("digest") == pl.col("digest").shift(1)
    collided = rows.filter(same & (pl.col("sequence") != pl.col("sequence").shift(1)))
    if collided.height:
        twice = rows.filter(pl.col("digest") == collided["digest"][0])
        raise HashCollisionError(
            f"hash {twice['digest'][0].hex()} stands for different sequences: "
            f"{twice['source_id'].head(4).to_list()}"
        )
    first = rows.select((~same).fill_null(True)).to_series()
    offsets = np.append(first.arg_true().to_numpy(), rows.height).astype(np.int64)
    frame = rows.filter(first).with_columns(
        pl.col("digest").bin.encode("hex").alias("seq_id"),
        pl.col("sequence").str.len_bytes().alias("length"),
        pl.Series("n_copies", np.diff(offsets)),
        list_series("source_ids", offsets, rows["source_id"]),
    )
    return conform(frame.with_columns(block_expression(n_blocks)), SEQUENCE)


def read_shard(
    buckets: Sequence[str | Path], shard: int, n_shards: int, n_blocks: int
) -> pl.DataFrame:
    """Rows of one scoring shard, from the buckets it overlaps, in hash order."""
    low, high = bounds(shard, n_shards, n_blocks)
    frames = pl.concat([pl.scan_parquet(path) for path in buckets])
    rows = frames.filter(pl.col("block").is_between(low, high, closed="left")).collect()
    return conform(rows, SEQUENCE).sort("seq_id")


def iter_pool(buckets: Sequence[str | Path], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The pool bucket by bucket, in hash order: memory is that of one bucket."""
    for path in buckets:
        yield pl.read_parquet(path, columns=list(columns))
