"""What is drawn for the checks: small pools, their subsets, and the held-out set V."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.subset import PoolError, sample_distinct
from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.hashing import seeded_subsets
from coresift.tables import read_table


def small_pool(buckets: Sequence[str | Path], check: str, size: int, seed: int) -> pl.DataFrame:
    """A seeded sample of the pool, in hash order (`SEQUENCE`), independent of D_sub.

    Args:
        check: that asks for it: a key of `validate`.

    Raises:
        PoolError: the pool has fewer than `size` sequences.
    """
    frames = iter_pool(buckets, list(SEQUENCE))
    sample = sample_distinct(frames, SEQUENCE, size, seed, f"validate_{check}")
    if sample.height < size:
        raise PoolError(
            f"validate.{check}.sequences is {size}, but the pool has only {sample.height}"
        )
    return sample


def target_set(path: str | Path, name: str, size: int, seed: int) -> pl.DataFrame:
    """V: at most `size` sequences of a held-out set, by seeded hash, in hash order (`HELD_OUT`).

    Raises:
        PoolError: there is no such set.
    """
    sets = read_table(path, HELD_OUT)
    rows = sets.filter(pl.col("set") == name)
    if not rows.height:
        there = ", ".join(sets["set"].unique().sort()) or "none"
        raise PoolError(f"validate.heldout: no held-out set {name!r}; there is: {there}")
    return sample_distinct([rows], HELD_OUT, size, seed, "validate_heldout")


def residues_of(pool: pl.DataFrame, epochs: float, share: float = 1.0) -> int:
    """Residues of one retraining: passes over a mean part of the small pool, of that share."""
    return max(1, round(epochs * share * int(pool["length"].cast(pl.Int64).sum())))


def subsets_of(n: int, options: Mapping[str, Any], seed: int) -> np.ndarray:
    """(subsets, n) bool: random subsets of round(share * n) of n sequences.

    Subset i is the same however many there are.

    Args:
        options: values of `settings.Datamodel`.
    """
    size = max(1, round(options["share"] * n))
    members = seeded_subsets(n, size, options["subsets"], seed, "validate_subsets", str(size))
    subsets = np.zeros((options["subsets"], n), dtype=bool)
    np.put_along_axis(subsets, members, True, axis=1)
    return subsets
