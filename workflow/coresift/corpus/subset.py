"""The random subset D_sub, and reading chosen sequences back from the pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.outcome import shortage
from coresift.corpus.tables import SEQUENCE
from coresift.hashing import uniform_hash
from coresift.tables import conform


class PoolError(ValueError):
    """The pool cannot give what is asked of it."""


def sample_share(frame: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """The rows whose seeded hash is among the lowest `share` of all hashes.

    About that share of any bucket, the same rows whatever the buckets, and nested.
    """
    if share == 1:
        return frame
    ranks = uniform_hash(frame["seq_id"].to_list(), seed, "sample") / np.float64(2**64)
    return frame.filter(pl.Series(ranks < share))


def sample_pool(
    buckets: Sequence[str | Path], size: int, seed: int, purpose: str = "subset"
) -> pl.DataFrame:
    """The `size` sequences of smallest seeded hash rank, or all, in hash order (`SEQUENCE`).

    The same whatever the buckets, and nested: a smaller sample is part of a larger one. Memory is
    that of one bucket and the sample.

    Args:
        purpose: samples of different purposes are independent.
    """
    best = pl.DataFrame(schema={**SEQUENCE, "rank": pl.UInt64})
    for frame in iter_pool(buckets, list(SEQUENCE)):
        ranks = uniform_hash(frame["seq_id"].to_list(), seed, purpose)
        ranked = frame.with_columns(pl.Series("rank", ranks, dtype=pl.UInt64))
        best = pl.concat([best, ranked]).sort("rank", "seq_id").head(size)
    return conform(best.sort("seq_id"), SEQUENCE)


def random_subset(
    buckets: Sequence[str | Path], size: int, seed: int, reports: Sequence[str | Path] = ()
) -> pl.DataFrame:
    """`sample_pool` of exactly `size` sequences: D_sub.

    Args:
        reports: the JSON of the ingest jobs, to say why a pool is too small.

    Raises:
        PoolError: the pool has fewer than `size` sequences.
    """
    subset = sample_pool(buckets, size, seed)
    if subset.height < size:
        lines = [f"subset.size is {size}, but the pool has only {subset.height} sequences"]
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
