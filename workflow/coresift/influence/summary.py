"""What the scores of a pool look like, what they go with, and how far two scores agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from coresift.corpus.dedup import iter_pool
from coresift.corpus.tables import FEATURE, group_schema
from coresift.influence.errors import ScoreError
from coresift.tables import read_table

#: What a score is held against. Memory grows by one array of ranks for each.
TRAITS = ("length", "composition", "ambiguous", "low_complexity", "loss", "cluster_size")
#: Columns of `tables.SCORE` that are scores or losses, beside a config's own.
MAIN, NORMS = ("influence", "residue"), ("loss", "grad_norm", "error_norm")
#: Sequences shown of either end of a score.
EXTREMES = 10


def score_summary(
    scores: pl.DataFrame, extra: Sequence[str], traits: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Quantiles of each score and its Spearman correlation with what is known of the sequences.

    Args:
        scores: columns of `tables.score_schema(extra)`.
        traits: (n,) values in the rows' order, by name of `TRAITS`; what is absent gives null.

    Returns:
        sequences, and for every score quantiles (0, 1, 25, 50, 75, 99, 100 %) and spearman by
        trait, null where one of the two is constant.
    """
    ranks = {name: stats.rankdata(values) for name, values in traits.items()}
    summary: dict[str, Any] = {"sequences": scores.height}
    for column in (*MAIN, *extra, *NORMS):
        values = scores[column].to_numpy()
        own = stats.rankdata(values)
        summary[column] = {
            "quantiles": np.quantile(values, [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1]).tolist(),
            "spearman": {
                name: correlation(own, ranks[name]) if name in ranks else None for name in TRAITS
            },
        }
    return summary


def traits_of(
    scores: pl.DataFrame, features: str | Path, groups: str | Path | None
) -> dict[str, np.ndarray]:
    """What is known of the scored sequences, by name of `TRAITS`, in their order.

    Args:
        scores: in seq_id order.
        features: table of `FEATURE`. groups: table with the column cluster (null: a cluster of its
            own), if there are clusters; both are of the same sequences as the scores.

    Raises:
        ScoreError: they are not.
    """
    known = read_table(features, FEATURE)
    columns = {name: known[name] for name in known.columns[1:]} | {"loss": scores["loss"]}
    tables = {str(features): known}
    if groups is not None:
        clusters = read_table(groups, group_schema(["cluster"]))
        tables[str(groups)] = clusters
        columns["cluster_size"] = clusters.select(
            pl.when(pl.col("cluster").is_null()).then(1).otherwise(pl.len().over("cluster"))
        ).to_series()
    for path, table in tables.items():
        if not table["seq_id"].equals(scores["seq_id"]):
            raise ScoreError(f"{path}: other sequences than the scores'")
    return {name: values.to_numpy() for name, values in columns.items()}


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson correlation of two (n,) arrays; null where one is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def score_agreement(
    scores: pl.DataFrame, names: Iterable[str], sizes: Sequence[int]
) -> pl.DataFrame:
    """How far two scores agree: rank correlation, and what their k most influential share.

    Args:
        scores: in seq_id order, with the columns `names`.
        sizes: k; one above the pool's size is left out.

    Returns:
        Columns a, b, spearman (null where a score is constant), k, shared (fraction of k), a row
        for each pair of scores and k.
    """
    sizes = [k for k in sizes if k <= scores.height]
    ranks, tops = {}, {}
    for name in names:
        values = scores[name].to_numpy()
        ranks[name] = stats.rankdata(values)
        order = (-values).argsort(kind="stable")
        tops[name] = {k: np.sort(order[:k]) for k in sizes}
    rows = []
    for a, b in combinations(ranks, 2):
        rho = correlation(ranks[a], ranks[b])
        for k in sizes:
            shared = len(np.intersect1d(tops[a][k], tops[b][k], assume_unique=True)) / k
            rows.append((a, b, rho, k, shared))
    schema = dict(
        a=pl.String, b=pl.String, spearman=pl.Float64, k=pl.Int64, shared=pl.Float64
    )  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def extreme_sequences(
    scores: pl.DataFrame, names: Iterable[str], pool: Sequence[str | Path], size: int = EXTREMES
) -> pl.DataFrame:
    """The sequences with the highest and lowest scores; ties by seq_id.

    Args:
        scores: in seq_id order, with the columns `names`.
        pool: buckets of `SEQUENCE` with all of them.

    Returns:
        Columns score, end (most or least), rank (from 1), seq_id, source_id (the first of its
        copies), length, value, sequence.
    """
    parts = []
    for name in names:
        values = scores[name].to_numpy()
        for end, key in (("most", -values), ("least", values)):
            rows = key.argsort(kind="stable")[:size]
            found = scores[rows.tolist()].select("seq_id", value=name)
            parts.append(
                found.with_columns(score=pl.lit(name), end=pl.lit(end)).with_row_index("rank", 1)
            )
    chosen = pl.concat(parts)
    wanted = chosen.select("seq_id").unique()
    known = pl.concat(
        frame.join(wanted, on="seq_id", how="semi")
        for frame in iter_pool(pool, ["seq_id", "source_ids", "length", "sequence"])
    ).with_columns(source_id=pl.col("source_ids").list.first())
    columns = ["score", "end", "rank", "seq_id", "source_id", "length", "value", "sequence"]
    return chosen.join(known, on="seq_id", maintain_order="left").select(columns)
