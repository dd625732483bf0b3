"""Hash space: a sequence's hash decides its block; buckets and shards are runs of blocks.

Blocks are the unit of batching and resume, so neither the number of buckets (deduplication jobs)
nor of shards (scoring jobs) can change a result.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import xxhash


def sequence_ids(sequences: Sequence[bytes]) -> list[str]:
    """32 hex digits of each normalised sequence: its xxh3-128."""
    return list(map(xxhash.xxh3_128_hexdigest, sequences))


def sequence_id(sequence: str) -> str:
    """`sequence_ids` of one sequence."""
    return sequence_ids([sequence.encode("ascii")])[0]


def block_expression(n_blocks: int, column: str = "seq_id") -> pl.Expr:
    """Block of a seq_id: its leading 16 bits scaled to 0..n_blocks-1 (Int32)."""
    leading = pl.col(column).str.slice(0, 4).str.to_integer(base=16)
    return ((leading * n_blocks) // 65536).cast(pl.Int32).alias("block")


def bounds(i: int, n: int, n_blocks: int) -> tuple[int, int]:
    """First block and end block of run `i` of `n` (half open)."""
    return i * n_blocks // n, (i + 1) * n_blocks // n


def overlapping(i: int, n: int, m: int, n_blocks: int) -> list[int]:
    """Which of `m` runs share blocks with run `i` of `n`."""
    low, high = bounds(i, n, n_blocks)
    runs = (bounds(j, m, n_blocks) for j in range(m))
    return [j for j, (start, end) in enumerate(runs) if start < high and low < end]
