"""Shard scores -> one table: every sequence of the pool once, all finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.influence.errors import ScoreError
from coresift.influence.tables import SCORE, VARIANT
from coresift.tables import TableWriter, not_finite, read_table


def merge_scores(
    shards: Sequence[str | Path], pool: Sequence[str | Path], path: str | Path
) -> None:
    """Concatenate shards in hash order; the bytes do not depend on how many there are.

    Raises:
        ScoreError: a score is not finite, or rows and pool differ; nothing is written then.
    """
    with TableWriter(path, SCORE) as writer:
        seen = []
        for shard in shards:
            frame = read_table(shard, SCORE)
            bad = not_finite(frame)
            if bad.height:
                raise ScoreError(f"{shard}: {bad.height} scores not finite: {bad['seq_id'][0]}")
            seen.append(frame["seq_id"])
            writer.append(frame)
        expected = pl.concat(frame["seq_id"] for frame in iter_pool(pool, ["seq_id"]))
        found = pl.concat(seen)
        if not found.equals(expected):
            raise ScoreError(
                f"{len(expected)} sequences in the pool, {len(found)} scores "
                f"({found.n_unique()} distinct)"
            )


def variant_rows(scores: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Scores by variant (`SCORE`) -> one long table (`VARIANT`), in seq_id order."""
    rows = [
        frame.select("seq_id", pl.lit(name).alias("variant"), "influence")
        for name, frame in scores.items()
    ]
    return pl.concat(rows).sort("seq_id", maintain_order=True)


def merge_variants(
    shards: Sequence[str | Path], seq_ids: pl.Series, names: Sequence[str], path: str | Path
) -> None:
    """Concatenate the variants of the shards in hash order.

    Raises:
        ScoreError: the rows are not every variant of every sequence; nothing is written then.
    """
    with TableWriter(path, VARIANT) as writer:
        done = 0
        for shard in shards:
            frame = read_table(shard, VARIANT)
            expected = seq_ids[done : done + frame.height // len(names)]
            rows = [frame.filter(pl.col("variant") == name) for name in names]
            if not all(part["seq_id"].equals(expected) for part in rows):
                raise ScoreError(f"{shard}: not every variant of every sequence of its shard")
            done += len(expected)
            writer.append(frame)
        if done != len(seq_ids):
            raise ScoreError(f"{len(seq_ids)} sequences in the pool, variants of {done}")
