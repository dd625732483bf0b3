"""Composition of the pool's sequences: one number each, by modality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.corpus.dedup import iter_pool


def share_of(letters: str) -> pl.Expr:
    """Share of a sequence's residues that are among `letters`."""
    sequence = pl.col("sequence").str
    return sequence.count_matches(f"[{letters}]") / sequence.len_bytes()


def composition(buckets: Sequence[str | Path], modality: str) -> pl.DataFrame:
    """Share of `Alphabet.composition` letters (GC for RNA): columns seq_id, composition."""
    share = share_of(ALPHABETS[modality].composition)
    return pl.concat(
        frame.select("seq_id", share.alias("composition"))
        for frame in iter_pool(buckets, ["seq_id", "sequence"])
    )
