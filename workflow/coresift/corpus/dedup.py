"""Global exact deduplication, one hash bucket at a time.

Equal sequences have equal hashes and so meet in one bucket: bucket by bucket is global, parallel
and independent of the order of files and jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from coresift.corpus.blocks import block_expression, bounds
from coresift.io import PART, SEQUENCE, conform, read_tables


class HashCollisionError(ValueError):
    """Two different sequences have the same 128-bit hash."""


def deduplicate(parts: Sequence[str | Path], n_blocks: int) -> pl.DataFrame:
    """Distinct sequences of one bucket, in hash order (columns of `SEQUENCE`).

    Raises:
        HashCollisionError: different sequences under one hash; nothing is merged by hash alone.
    """
    frame = (
        read_tables(parts, PART)
        .group_by("seq_id", "sequence")
        .agg(pl.col("source_id").sort().alias("source_ids"), pl.len().alias("n_copies"))
        .sort("seq_id", "sequence")
        .with_columns(
            block_expression(n_blocks), pl.col("sequence").str.len_bytes().alias("length")
        )
    )
    twice = frame.filter(pl.col("seq_id").is_duplicated())
    if twice.height:
        raise HashCollisionError(
            f"hash {twice['seq_id'][0]} stands for different sequences: "
            f"{twice['source_ids'].explode().head(4).to_list()}"
        )
    return conform(frame, SEQUENCE)


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
