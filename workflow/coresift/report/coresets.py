"""What was selected: overlap, coverage of strata, drift from the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from coresift.files import write_text
from coresift.report import plots
from coresift.selection.diagnostics import drift, overlap_matrix, stratum_coverage, taken

#: What of `FEATURE` drift is measured in, beside the length and the scores.
FEATURES = ["composition", "ambiguous", "low_complexity"]


def describe_coresets(
    scores: pl.DataFrame,
    ranked: Sequence[str],
    coresets: Mapping[str, pl.DataFrame],
    features: pl.DataFrame,
    groups: Mapping[str, np.ndarray],
    composition_name: str,
    cci: Mapping[str, Any],
    out: Any,
) -> None:
    """Write the tables and plots that need no trained model.

    Args:
        scores: columns seq_id, length and `ranked`, in seq_id order.
        ranked: the scores that selections rank, that of `selection.score` first.
        coresets: by name, columns of `CORESET`.
        features: columns seq_id and `FEATURES`, the same sequences in the same order.
        groups: by grouping, (n,) integer codes in that order.
        composition_name: axis label of the composition.
        cci: values of `selection.settings.Cci`: the strata that coverage is counted in.
        out: paths overlap, drift, strata (CSV) and overlap_plot, strata_plot, drift_plot (SVG).

    Raises:
        ValueError: scores and features are not of the same sequences.
    """
    if not features["seq_id"].equals(scores["seq_id"]):
        raise ValueError(f"{scores.height} scores and {features.height} features: not the same")
    masks = taken(scores["seq_id"], coresets)
    overlap = overlap_matrix(masks)
    write_text(out.overlap, overlap.write_csv())
    plots.save(plots.overlap_heatmap(overlap), out.overlap_plot)
    pool = scores.with_columns(features.select(FEATURES))
    write_text(out.drift, drift(pool, ["length", *FEATURES, *ranked], groups, masks).write_csv())
    strata = [stratum_coverage(scores, score, masks, cci) for score in ranked]
    write_text(out.strata, pl.concat(strata).write_csv())
    plots.save(plots.stratum_coverage(strata[0]), out.strata_plot)
    drawn = {name: pool.filter(pl.Series(mask)) for name, mask in masks.items()}
    plots.save(plots.drift(pool, drawn, composition_name), out.drift_plot)
