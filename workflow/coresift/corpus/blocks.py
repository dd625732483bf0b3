"""Hash space: a sequence's hash decides its block; buckets and shards are runs of blocks.

Blocks are the unit of batching and resume, so neither the number of buckets (deduplication jobs)
nor of shards (scoring jobs) can change a result.
"""

from __future__ import annotations

from binascii import hexlify

import numpy as np
import pyarrow as pa
import xxhash

from coresift.tables import string_array


def hash_words(text: bytes | bytearray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n, 2) uint64 upper and lower halves of the xxh3-128 of each `text[starts[i]:ends[i]]`."""
    view, digest = memoryview(text), xxhash.xxh3_128_digest
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    joined = b"".join([digest(view[start:end]) for start, end in spans])
    return np.frombuffer(joined, ">u8").astype(np.uint64).reshape(-1, 2)


def hexadecimal(words: np.ndarray) -> pa.Array:
    """The `seq_id`s of (n, 2) uint64 words: 32 hex digits each."""
    digits = hexlify(words.astype(">u8").tobytes())
    return string_array(np.arange(len(words) + 1) * 32, digits)


def sequence_id(sequence: str) -> str:
    """32 hex digits of a normalised sequence: its xxh3-128."""
    return xxhash.xxh3_128_hexdigest(sequence.encode("ascii"))


def blocks_of(high: np.ndarray, n_blocks: int) -> np.ndarray:
    """(n,) int64 blocks of the hashes' upper halves: 16 leading bits scaled to 0..n_blocks-1."""
    return ((high >> np.uint64(48)).astype(np.int64) * n_blocks) >> 16


def bounds(i: int, n: int, n_blocks: int) -> tuple[int, int]:
    """First block and end block of run `i` of `n` (half open)."""
    return i * n_blocks // n, (i + 1) * n_blocks // n


def runs_of(blocks: np.ndarray, n: int, n_blocks: int) -> np.ndarray:
    """(k,) int64: which of `n` runs each block is in, see `bounds`."""
    return ((blocks + 1) * n - 1) // n_blocks


def overlapping(i: int, n: int, m: int, n_blocks: int) -> list[int]:
    """Which of `m` runs share blocks with run `i` of `n`."""
    low, high = bounds(i, n, n_blocks)
    runs = (bounds(j, m, n_blocks) for j in range(m))
    return [j for j, (start, end) in enumerate(runs) if start < high and low < end]
