"""What a coreset looks like beside its pool and its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from scipy import stats

from coresift.selection.cci import pool_strata
from coresift.selection.strategies import hash_ranked


def overlap_matrix(coresets: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Shared sequences and Jaccard index of every pair: columns a, b, shared, jaccard."""
    ids = {name: set(frame["seq_id"]) for name, frame in coresets.items()}
    rows = [
        (a, b, len(ids[a] & ids[b]), len(ids[a] & ids[b]) / len(ids[a] | ids[b]))
        for a in ids
        for b in ids
    ]
    return pl.DataFrame(rows, schema=["a", "b", "shared", "jaccard"], orient="row")


def stratum_coverage(
    scores: pl.DataFrame, coresets: Mapping[str, pl.DataFrame], cci: Mapping[str, Any]
) -> pl.DataFrame:
    """How much of each CCI stratum a coreset takes, whatever strategy drew it.

    Args:
        scores: columns of `SCORE`.
        coresets: by name, columns of `CORESET`.
        cci: values of `selection.settings.Cci`.

    Returns:
        Columns coreset, stratum (PRUNED first, then from the lowest score up), lowest influence
        of the stratum, pool (its sequences) and taken. Empty strata have no row.
    """
    pool = pool_strata(hash_ranked(scores, 0), **cci).select("seq_id", "influence", "stratum")
    strata = pool.group_by("stratum").agg(
        pl.col("influence").min().alias("lowest"), pl.len().alias("pool")
    )
    frames = []
    for name, coreset in coresets.items():
        taken = pool.join(coreset.select("seq_id"), on="seq_id", how="semi")
        counts = taken.group_by("stratum").len("taken")
        frames.append(
            strata.join(counts, on="stratum", how="left")
            .sort("stratum")
            .select(pl.lit(name).alias("coreset"), pl.all().exclude("coreset"))
        )
    return pl.concat(frames).with_columns(pl.col("taken").fill_null(0))


def drift(scores: pl.DataFrame, coreset: pl.DataFrame, composition: pl.DataFrame) -> dict[str, Any]:
    """Length, composition and score of a coreset against the pool.

    Args:
        scores: columns of `SCORE`.
        coreset: columns of `CORESET`.
        composition: columns seq_id, composition, see `corpus.composition`.

    Returns:
        Counts, means and the two-sample Kolmogorov-Smirnov statistics of length and composition.
    """
    pool = scores.join(composition, on="seq_id")
    chosen = pool.join(coreset.select("seq_id"), on="seq_id", how="semi")
    row: dict[str, Any] = {
        "sequences": chosen.height,
        "residues": int(chosen["length"].cast(pl.Int64).sum()),
    }
    for column in ("length", "composition", "influence"):
        here, there = chosen[column].to_numpy(), pool[column].to_numpy()
        row[f"mean_{column}"] = float(here.mean())
        row[f"pool_mean_{column}"] = float(there.mean())
        row[f"{column}_ks"] = float(stats.ks_2samp(here, there).statistic)
    return row
