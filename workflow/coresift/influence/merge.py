"""Shard scores -> one table: every sequence of the pool once, all finite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.influence.errors import ScoreError
from coresift.influence.tables import score_schema
from coresift.tables import TableWriter, not_finite, read_table


def merge_scores(
    shards: Sequence[str | Path],
    pool: Sequence[str | Path],
    extra: Sequence[str],
    path: str | Path,
) -> None:
    """Concatenate shards in hash order; the bytes do not depend on how many there are.

    Args:
        extra: columns beside those of `SCORE`.

    Raises:
        ScoreError: a score is not finite, or rows and pool differ; nothing is written then.
    """
    schema = score_schema(extra)
    with TableWriter(path, schema) as writer:
        seen = []
        for shard in shards:
            frame = read_table(shard, schema)
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
