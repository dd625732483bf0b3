"""Hash space: a sequence's hash decides its block; buckets and shards are runs of blocks.

Blocks are the unit of batching and resume, so neither the number of buckets (deduplication jobs)
nor of shards (scoring jobs) can change a result.
"""

from __future__ import annotations

import polars as pl
import xxhash


def sequence_id(sequence: str) -> str:
    """32 hex digits: xxh3-128 of the normalised sequence."""
    return xxhash.xxh3_128_hexdigest(sequence.encode("ascii"))


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
