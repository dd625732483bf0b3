"""Seeded hashes: every random choice is a function of (seed, what it is for, key).

A hash rank, unlike a shuffle, does not depend on how the rows are cut into files or jobs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash


def uniform_hash(keys: Sequence[str], seed: int, purpose: str) -> np.ndarray:
    """(n,) uint64, uniform for each key, independent between purposes and seeds."""
    prefix = f"{purpose}\0{seed}\0"
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest((prefix + key).encode()) for key in keys), np.uint64, len(keys))


def in_share(keys: Sequence[str], share: float, seed: int, purpose: str) -> np.ndarray:
    """(n,) bool: whose hash is among the lowest `share` of all hashes; nested in `share`."""
    return uniform_hash(keys, seed, purpose) / np.float64(2**64) < share


def seeded_generator(seed: int, purpose: str, key: str = "") -> np.random.Generator:
    """A numpy generator whose stream is fixed by (seed, purpose, key)."""
    return np.random.default_rng(xxhash.xxh3_64_intdigest(f"{purpose}\0{seed}\0{key}".encode()))


def content_hash(value: Any) -> str:
    """32 hex digits of a JSON-ready value."""
    return xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True).encode())


def seeded_subsets(
    n: int, size: int, n_subsets: int, seed: int, purpose: str, key: str
) -> np.ndarray:
    """(n_subsets, size) sorted indices below `n`: independent subsets by (seed, purpose, key)."""
    draws = seeded_generator(seed, purpose, key).random((n_subsets, n))
    return np.sort(np.argsort(draws, axis=1, kind="stable")[:, :size], axis=1)
