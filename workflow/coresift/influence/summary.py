"""What the scores of a pool look like."""

from __future__ import annotations

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
