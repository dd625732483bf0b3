"""Removal of pool sequences that share k-mers with a task's held-out examples.

Containment of a pool sequence p in an example t is |K(p) & K(t)| / min(|K(p)|, |K(t)|) over the
sets of distinct k-mers, so a fragment of an example and an example inside a longer sequence are
both found. One strand only: the models read one strand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.corpus.tables import REMOVED
from coresift.tables import conform

#: Odd 64-bit multiplier of the polynomial k-mer hash (golden ratio).
_BASE = 0x9E3779B97F4A7C15
#: Pool sequences compared at a time: bounds the size of the join.
_ROWS = 512


def kmer_hashes(sequences: Sequence[str], k: int) -> pl.DataFrame:
    """Distinct k-mers of each sequence: columns row (UInt32), kmer (UInt64 hash)."""
    rows, hashes = kmer_windows(sequences, k)
    return pl.DataFrame({"row": rows, "kmer": hashes}).unique(maintain_order=False)


def kmer_windows(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) uint32 number of the sequence and (n,) uint64 hash of every window of k residues.

    A sequence shorter than k has none. The hash of a window of length a+b is
    hash_a * base^b + hash_b, built by doubling in O(log k) vector operations.
    """
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    codes = np.frombuffer("".join(sequences).encode("ascii"), np.uint8).astype(np.uint64)
    if len(codes) < k:
        return np.empty(0, np.uint32), np.empty(0, np.uint64)
    power, width, step = codes + np.uint64(1), 1, 0
    hashes: np.ndarray | None = None
    # `power` hashes windows of 2^i letters; `hashes` of the low bits of k so far.
    while True:
        if k & width:
            if hashes is None:
                hashes, step = power, width
            else:
                n = len(codes) - step - width + 1
                tail = hashes[width : width + n]
                hashes = power[:n] * _pow(step) + tail
                step += width
        if width * 2 > k:
            break
        n = len(power) - width
        power = power[:n] * _pow(width) + power[width : width + n]
        width *= 2
    assert hashes is not None
    rows = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    last = np.repeat(np.cumsum(lengths), lengths)
    starts = np.arange(len(hashes))
    inside = starts + k <= last[: len(hashes)]
    return rows[: len(hashes)][inside], hashes[inside]


def _pow(exponent: int) -> np.uint64:
    return np.uint64(pow(_BASE, exponent, 1 << 64))


@dataclass(frozen=True)
class ExampleIndex:
    """K-mer index of held-out examples.

    Attributes:
        examples: columns row, task, task_id, n_kmers.
        kmers: columns row, kmer.
    """

    examples: pl.DataFrame
    kmers: pl.DataFrame
    k: int

    @classmethod
    def build(cls, examples: pl.DataFrame, k: int) -> ExampleIndex:
        """Index examples (columns task, task_id, sequence; normalised)."""
        kmers = kmer_hashes(examples["sequence"].to_list(), k)
        counts = kmers.group_by("row").len("n_kmers")
        table = examples.select("task", "task_id").with_row_index("row")
        return cls(table.join(counts, on="row", how="inner"), kmers, k)


def contaminated(pool: pl.DataFrame, protected: ExampleIndex, threshold: float) -> pl.DataFrame:
    """Pool sequences whose containment in an example reaches `threshold` (columns of `REMOVED`).

    The example of the highest containment is named; ties go to the first in (task, task_id) order.
    """
    found = [
        _contaminated_rows(pool.slice(start, _ROWS), protected, threshold)
        for start in range(0, pool.height, _ROWS)
    ]
    empty = pl.DataFrame(schema=dict(REMOVED))
    return pl.concat([empty, *found]).sort("seq_id")


def _contaminated_rows(
    pool: pl.DataFrame, protected: ExampleIndex, threshold: float
) -> pl.DataFrame:
    kmers = kmer_hashes(pool["sequence"].to_list(), protected.k)
    sizes = kmers.group_by("row").len("n_pool")
    shared = (
        kmers.join(protected.kmers, on="kmer", suffix="_example")
        .group_by("row", "row_example")
        .len("shared")
        .join(sizes, on="row")
        .join(protected.examples, left_on="row_example", right_on="row")
        .with_columns(
            containment=pl.col("shared") / pl.min_horizontal("n_pool", "n_kmers"),
        )
        .filter(pl.col("containment") >= threshold)
        .sort("row", "containment", "task", "task_id", descending=[False, True, False, False])
        .unique("row", keep="first", maintain_order=True)
    )
    ids = pool.select("seq_id").with_row_index("row")
    return conform(shared.join(ids, on="row").with_columns(identity=None), REMOVED)
