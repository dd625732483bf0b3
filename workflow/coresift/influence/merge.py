"""Shard scores -> one table: every sequence of the pool once, all finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import polars as pl
from scipy import stats

from coresift.corpus.dedup import iter_pool
from coresift.influence.scoring import ScoreError
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


def score_agreement(
    main: pl.DataFrame, variants: pl.DataFrame, names: Sequence[str], sizes: Sequence[int]
) -> pl.DataFrame:
    """How far two scores agree: rank correlation, and what their k most influential share.

    Args:
        main: `SCORE` in seq_id order. variants: `VARIANT` in seq_id order.
        sizes: k; one above the pool's size is left out.

    Returns:
        Columns a, b, spearman, k, shared (fraction of k), a row for each pair of scores and k.
    """
    scores = {"influence": main["influence"].to_numpy()}
    for name in names:
        scores[name] = variants.filter(pl.col("variant") == name)["influence"].to_numpy()
    order = {name: (-values).argsort(kind="stable") for name, values in scores.items()}
    rows = []
    for a, b in combinations(scores, 2):
        rho = float(stats.spearmanr(scores[a], scores[b]).statistic)
        for k in (k for k in sizes if k <= main.height):
            shared = len(set(order[a][:k]) & set(order[b][:k])) / k
            rows.append((a, b, rho, k, shared))
    return pl.DataFrame(rows, schema=["a", "b", "spearman", "k", "shared"], orient="row")
