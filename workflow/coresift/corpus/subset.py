"""The random subset D_sub, and reading chosen sequences back from the pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.outcome import shortage
from coresift.corpus.tables import SEQUENCE
from coresift.hashing import in_share, uniform_hash
from coresift.tables import Schema, conform


class PoolError(ValueError):
    """The pool cannot give what is asked of it."""


def sample_share(frame: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """The rows whose seeded hash is among the lowest `share` of all hashes.

    About that share of any bucket, the same rows whatever the buckets, and nested.
    """
    if share == 1:
        return frame
    return frame.filter(pl.Series(in_share(frame["seq_id"].to_list(), share, seed, "sample")))


def sample_pool(buckets: Sequence[str | Path], size: int, seed: int) -> pl.DataFrame:
    """The `size` sequences of smallest seeded hash rank, or all, in hash order (`SEQUENCE`).

    The same whatever the buckets, and nested: a smaller sample is part of a larger one. Memory is
    that of one bucket and the sample.
    """
    frames = iter_pool(buckets, list(SEQUENCE))
    return sample_distinct(frames, SEQUENCE, size, seed, "subset")


def sample_distinct(
    frames: Iterable[pl.DataFrame], schema: Schema, size: int, seed: int, purpose: str
) -> pl.DataFrame:
    """The `size` sequences of smallest seeded hash rank, or all, in seq_id order, each once."""
    best = pl.DataFrame(schema={**schema, "rank": pl.UInt64})
    for frame in frames:
        ranks = uniform_hash(frame["seq_id"].to_list(), seed, purpose)
        ranked = frame.select(*schema, pl.Series("rank", ranks, dtype=pl.UInt64))
        ordered = pl.concat([best, ranked]).sort("rank", "seq_id")
        best = ordered.unique("seq_id", keep="first", maintain_order=True).head(size)
    return conform(best.sort("seq_id"), schema)


def random_subset(
    buckets: Sequence[str | Path],
    size: int,
    seed: int,
    reports: Sequence[str | Path] = (),
    key: str = "subset.size",
) -> pl.DataFrame:
    """`sample_pool` of exactly `size` sequences: D_sub, or what a base is made from.

    Args:
        key: of the config that asks for `size`.
        reports: the JSON of the ingest jobs, to say why a pool is too small.

    Raises:
        PoolError: the pool has fewer than `size` sequences.
    """
    subset = sample_pool(buckets, size, seed)
    if subset.height < size:
        lines = [f"{key} is {size}, but the pool has only {subset.height} sequences"]
        raise PoolError("\n".join([*lines, shortage(reports)] if reports else lines))
    return subset


def fetch_sequences(
    buckets: Sequence[str | Path], seq_ids: Sequence[str], columns: Sequence[str]
) -> pl.DataFrame:
    """Rows of the pool for `seq_ids`, in hash order.

    Raises:
        PoolError: a seq_id is not in the pool.
    """
    wanted = pl.Series("seq_id", sorted(seq_ids))
    found = pl.concat(
        frame.filter(pl.col("seq_id").is_in(wanted.implode()))
        for frame in iter_pool(buckets, columns)
    ).sort("seq_id")
    if found.height != len(wanted):
        absent = np.setdiff1d(wanted.to_numpy(), found["seq_id"].to_numpy())
        raise PoolError(f"{len(absent)} sequences are not in the pool, e.g. {list(absent[:3])}")
    return found
