"""What the scores of a pool look like, and how far two scores agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from scipy import stats


def score_summary(scores: pl.DataFrame, composition: pl.DataFrame) -> dict[str, Any]:
    """Quantiles of each score and its Spearman correlation with length and composition."""
    pool = scores.join(composition, on="seq_id", maintain_order="left")
    summary: dict[str, Any] = {"sequences": scores.height}
    for column in ("influence", "loss", "grad_norm", "error_norm"):
        values = scores[column].to_numpy()
        quantiles = np.quantile(values, [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1])
        summary[column] = {"quantiles": [float(q) for q in quantiles]}
        for other in ("length", "composition"):
            rho = stats.spearmanr(values, pool[other].to_numpy()).statistic
            summary[column][f"spearman_{other}"] = float(rho) if np.isfinite(rho) else None
    return summary


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
