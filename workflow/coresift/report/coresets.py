"""What was selected: overlap, coverage of strata, drift of length and composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from coresift.files import write_text
from coresift.report import plots
from coresift.selection.diagnostics import drift, overlap_matrix, stratum_coverage


def describe_coresets(
    scores: pl.DataFrame,
    coresets: Mapping[str, pl.DataFrame],
    composition: pl.DataFrame,
    composition_name: str,
    cci: Mapping[str, Any],
    out: Any,
) -> None:
    """Write the tables and plots that need no trained model.

    Args:
        scores: columns of `SCORE`.
        coresets: by name, columns of `CORESET`.
        composition: columns seq_id, composition; `composition_name` is its axis label.
        cci: values of `selection.settings.Cci`: the strata that coverage is counted in.
        out: paths overlap, drift, strata (CSV) and overlap_plot, strata_plot, drift_plot (SVG).
    """
    overlap = overlap_matrix(coresets)
    write_text(out.overlap, overlap.write_csv())
    plots.save(plots.overlap_heatmap(overlap), out.overlap_plot)
    rows = [{"coreset": n, **drift(scores, c, composition)} for n, c in coresets.items()]
    write_text(out.drift, pl.DataFrame(rows).write_csv())
    strata = stratum_coverage(scores, coresets, cci)
    write_text(out.strata, strata.write_csv())
    plots.save(plots.stratum_coverage(strata), out.strata_plot)
    pool = scores.select("seq_id", "length").join(composition, on="seq_id")
    drawn = {n: pool.join(c, on="seq_id", how="semi") for n, c in coresets.items()}
    plots.save(plots.drift(pool, drawn, composition_name), out.drift_plot)
