"""Global exact deduplication, one hash bucket at a time.

Equal sequences have equal hashes and so meet in one bucket: bucket by bucket is global, parallel
and independent of the order of files and jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from coresift.corpus.blocks import blocks_of, bounds, hexadecimal
from coresift.corpus.tables import PART, SEQUENCE
from coresift.tables import (
    arrow_schema,
    conform,
    list_array,
    number_array,
    read_arrow,
    read_columns,
    scan_tables,
)


class HashCollisionError(ValueError):
    """Two different sequences have the same 128-bit hash."""


def deduplicate(parts: Sequence[str | Path], n_blocks: int) -> pa.Table:
    """Distinct sequences of one bucket, in hash order (columns of `SEQUENCE`).

    Raises:
        HashCollisionError: different sequences under one hash; nothing is merged by hash alone.
    """
    rows = read_arrow(parts, PART)
    # Sorted, the copies of a sequence are a run of rows, and its ids a slice of one column.
    # By polars: pyarrow's own to_numpy imports pandas.
    words = pl.DataFrame(pl.from_arrow(rows.select(["high", "low"]))).to_numpy()
    order = _sorted(rows, words[:, 0])
    words = words[order]
    same = np.append(False, (words[1:] == words[:-1]).all(axis=1))[: len(words)]
    _check_copies(rows, order, same, words)
    first = np.flatnonzero(~same)
    offsets = np.append(first, len(order))
    sequences = rows["sequence"].take(number_array(order[first])).combine_chunks()
    firsts = pl.Series(pl.from_arrow(rows["first"])).to_numpy()[order]
    copies, lengths = np.diff(offsets), pc.binary_length(sequences)
    residues = np.repeat(pl.Series(pl.from_arrow(lengths)).to_numpy(), copies)
    ids = _placed(rows["source_id"].take(number_array(order)).combine_chunks(), firsts, residues)
    windows = np.diff(np.append(0, np.cumsum(firsts > 0))[offsets])
    columns = {
        "seq_id": hexadecimal(words[first]),
        "sequence": sequences,
        "length": lengths,
        "block": number_array(blocks_of(words[first, 0], n_blocks)),
        "n_copies": number_array(copies),
        "n_windows": number_array(windows),
        "source_ids": list_array(offsets, ids),
    }
    return pa.table(columns).cast(arrow_schema(SEQUENCE))


def _placed(ids: pa.Array, firsts: np.ndarray, lengths: np.ndarray) -> pa.Array:
    """(n,) ids of records, those of windows with their coordinates (`SEQUENCE`).

    Args:
        firsts: (n,) int64 number of a window's first residue, from 1; 0 for a whole record.
        lengths: (n,) residues.
    """
    windows = np.flatnonzero(firsts)
    if not len(windows):
        return ids
    frame = pl.DataFrame({"first": firsts[windows], "last": (firsts + lengths - 1)[windows]})
    names = pl.Series("id", pl.from_arrow(ids.take(number_array(windows))))
    found = frame.select(pl.format("{}/{}-{}", names, "first", "last")).to_series()
    whole = pl.Series(pl.from_arrow(ids))
    return whole.scatter(windows, found).to_arrow(compat_level=pl.CompatLevel.oldest())


def _sorted(rows: pa.Table, high: np.ndarray) -> np.ndarray:
    """(n,) int64 order of the rows by hash, copies as in `SEQUENCE`.

    Args:
        high: upper halves of the hashes.
    """
    order = np.argsort(high)
    # That sort is fast and not stable; the rows of one upper half, copies, are then sorted by all.
    ordered = high[order]
    as_before = np.concatenate([[False], ordered[1:] == ordered[:-1], [False]])
    tied = np.flatnonzero(as_before[1:] | as_before[:-1])
    columns = ["high", "low", "source_id", "first"]
    copies = pl.DataFrame(pl.from_arrow(rows.select(columns).take(number_array(order[tied]))))
    by = pl.arg_sort_by("high", "low", pl.col("first") > 0, "source_id", "first")
    order[tied] = order[tied][copies.select(by).to_series().to_numpy()]
    return order


def _check_copies(rows: pa.Table, order: np.ndarray, same: np.ndarray, words: np.ndarray) -> None:
    """Raise if a row, sorted, has the hash of the one before and not its sequence."""
    copies = np.flatnonzero(same)
    sequences = rows["sequence"]
    equal = pc.equal(
        sequences.take(number_array(order[copies])), sequences.take(number_array(order[copies - 1]))
    )
    if not pc.all(equal, min_count=0).as_py():
        row = copies[equal.index(False).as_py()]
        name = hexadecimal(words[row : row + 1])[0].as_py()
        ids = rows["source_id"].take(number_array(order[row - 1 : row + 1])).to_pylist()
        raise HashCollisionError(f"hash {name} stands for different sequences: {ids}")


def read_shard(
    buckets: Sequence[str | Path], shard: int, n_shards: int, n_blocks: int
) -> pl.DataFrame:
    """Rows of one scoring shard, from the buckets it overlaps, in hash order."""
    low, high = bounds(shard, n_shards, n_blocks)
    rows = (
        scan_tables(buckets).filter(pl.col("block").is_between(low, high, closed="left")).collect()
    )
    return conform(rows, SEQUENCE).sort("seq_id")


def iter_pool(buckets: Sequence[str | Path], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The pool bucket by bucket, in hash order: memory is that of one bucket."""
    for path in buckets:
        yield read_columns(path, list(columns))
