"""Assumption 1: whether scores stay when D_sub, fine-tuning and the base change (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from coresift.tables import Schema
from coresift.validate.ranks import partial_spearman, rank_bins, spearman, top_overlap

#: Scores of `SETTING_SCORE` that are compared.
SCORES = ("influence", "residue", "other_loss")

#: One row a changed thing, score and share of the sample.
STABILITY: Schema = {
    "factor": pl.String,  # what differs from the run's own setting
    "value": pl.Float64,  # what it is changed to; null where only the score differs
    "score": pl.String,
    "spearman": pl.Float64,
    "spearman_given_length": pl.Float64,  # partial rank correlation
    "top": pl.Float64,  # share of the sample; what chance would share of it
    "overlap": pl.Float64,  # share of the highest that is the highest of both
    "overlap_within_length": pl.Float64,  # the highest of each bin of length
}


def compare(
    a: np.ndarray, b: np.ndarray, length: np.ndarray, top: Sequence[float], n_bins: int
) -> Iterator[dict[str, float]]:
    """How far two scores (n,) of the same sequences agree, a row for each share in `top`."""
    bins = rank_bins(length, n_bins)
    rho, given = float(spearman(a, b)), partial_spearman(a, b, length)
    for share in top:
        yield {
            "spearman": rho,
            "spearman_given_length": given,
            "top": share,
            "overlap": top_overlap(a, b, share),
            "overlap_within_length": top_overlap(a, b, share, bins),
        }


def stability_table(
    reference: pl.DataFrame,
    others: Sequence[tuple[str, float, pl.DataFrame]],
    top: Sequence[float],
    n_bins: int,
) -> pl.DataFrame:
    """Scores of changed settings against those of the run's own (`STABILITY`).

    Args:
        reference: `SETTING_SCORE`.
        others: (factor, value, `SETTING_SCORE`) of each changed setting.

    Raises:
        ValueError: tables of other sequences.
    """
    length = reference["length"].to_numpy()
    rows: list[Mapping[str, Any]] = []
    for factor, value, scores in others:
        if not scores["seq_id"].equals(reference["seq_id"]):
            raise ValueError(f"{factor} {value}: scores of other sequences than the reference's")
        for name in SCORES:
            a, b = reference[name].to_numpy(), scores[name].to_numpy()
            rows += [
                {"factor": factor, "value": value, "score": name, **found}
                for found in compare(a, b, length, top, n_bins)
            ]
    for name in SCORES[1:]:
        a, b = reference["influence"].to_numpy(), reference[name].to_numpy()
        rows += [
            {"factor": "score", "value": None, "score": f"influence and {name}", **found}
            for found in compare(a, b, length, top, n_bins)
        ]
    return pl.DataFrame(rows, schema=dict(STABILITY)).with_columns(
        pl.selectors.float().fill_nan(None)
    )
