"""What a coreset looks like beside its pool and its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy import stats


def overlap_matrix(coresets: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Shared sequences and Jaccard index of every pair: columns a, b, shared, jaccard."""
    ids = {name: set(frame["seq_id"]) for name, frame in coresets.items()}
    rows = [
        (a, b, len(ids[a] & ids[b]), len(ids[a] & ids[b]) / len(ids[a] | ids[b]))
        for a in ids
        for b in ids
    ]
    return pl.DataFrame(rows, schema=["a", "b", "shared", "jaccard"], orient="row")


def drift(scores: pl.DataFrame, coreset: pl.DataFrame) -> dict[str, Any]:
    """Length and score of a coreset against the pool; the KS statistic of its lengths."""
    chosen = scores.join(coreset.select("seq_id"), on="seq_id", how="semi")
    ks = stats.ks_2samp(chosen["length"].to_numpy(), scores["length"].to_numpy())
    return {
        "sequences": chosen.height,
        "residues": int(chosen["length"].cast(pl.Int64).sum()),
        "mean_length": float(np.mean(chosen["length"].to_numpy())),
        "pool_mean_length": float(np.mean(scores["length"].to_numpy())),
        "length_ks": float(ks.statistic),
        "mean_influence": float(np.mean(chosen["influence"].to_numpy())),
    }


def score_summary(scores: pl.DataFrame) -> dict[str, Any]:
    """Quantiles of each score and its Spearman correlation with length."""
    summary: dict[str, Any] = {"sequences": scores.height}
    for column in ("influence", "loss", "grad_norm", "error_norm"):
        values = scores[column].to_numpy()
        rho = stats.spearmanr(values, scores["length"].to_numpy()).statistic
        quantiles = np.quantile(values, [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1])
        summary[column] = {
            "quantiles": [float(q) for q in quantiles],
            "spearman_length": float(rho) if np.isfinite(rho) else None,
        }
    return summary
