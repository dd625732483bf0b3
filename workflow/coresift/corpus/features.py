"""What the pool's sequences are like, apart from their letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.corpus.complexity import n_masked, soft_masked
from coresift.corpus.composition import share_of
from coresift.corpus.dedup import iter_pool
from coresift.tables import scan_tables

logger = logging.getLogger(__name__)


def features(buckets: Sequence[str | Path], modality: str) -> Iterator[pl.DataFrame]:
    """Columns of `FEATURE`, bucket by bucket."""
    alphabet = ALPHABETS[modality]
    start, done = time.monotonic(), 0
    for number, frame in enumerate(iter_pool(buckets, ["seq_id", "sequence", "length"]), start=1):
        masked = [n_masked(soft_masked(s, modality)) for s in frame["sequence"].to_list()]
        yield frame.select(
            "seq_id",
            "length",
            composition=share_of(alphabet.composition),
            ambiguous=share_of(alphabet.ambiguous),
            low_complexity=pl.Series(masked, dtype=pl.Float64) / pl.col("length"),
        )
        done += frame.height
        rate = done / max(time.monotonic() - start, 1e-9)
        logger.info("bucket %d of %d: %d sequences, %.0f/s", number, len(buckets), done, rate)


def describe_features(path: str | Path) -> dict[str, Any]:
    """Counts over a table of `FEATURE`: sequences, and residues of each kind."""
    residues = [
        (pl.col(name) * pl.col("length")).round().cast(pl.Int64).sum().alias(name)
        for name in ("composition", "ambiguous", "low_complexity")
    ]
    counts = scan_tables([path]).select(
        *residues,
        sequences=pl.len(),
        residues=pl.col("length").cast(pl.Int64).sum(),
        sequences_ambiguous=(pl.col("ambiguous") > 0).sum(),
        sequences_low_complexity=(pl.col("low_complexity") > 0.5).sum(),
    )
    return counts.collect(engine="streaming").row(0, named=True)
