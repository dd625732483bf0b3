"""The results: every selection by task, with deviation, interval and paired comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from coresift.files import read_json, write_text
from coresift.report import plots
from coresift.report.bootstrap import interval, resampled_metric, two_sided_p
from coresift.report.markup import as_text, to_latex, to_markdown, wide
from coresift.report.paper import beside_paper
from coresift.selection.names import without_seed
from coresift.tables import read_table
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import from_table
from coresift.tasks.tables import PREDICTION

RESULT = {
    "task": pl.String,
    "selection": pl.String,
    "metric": pl.String,
    "primary": pl.Boolean,
    "mean": pl.Float64,
    "std": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "runs": pl.Int64,
}
COMPARISON = {
    "task": pl.String,
    "metric": pl.String,
    "a": pl.String,
    "b": pl.String,
    "difference": pl.Float64,  # mean of a minus mean of b
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "p_adjusted": pl.Float64,  # Benjamini-Hochberg over the pairs of the task
}


@dataclass(frozen=True)
class Cell:
    """One selection on one task.

    Attributes:
        reports: the metrics of each coreset seed.
        resamples: (n_resamples,) bootstrap values of the primary metric.
    """

    task: str
    selection: str
    reports: list[dict[str, Any]]
    resamples: np.ndarray


def read_cell(
    task: str,
    selection: str,
    metrics: Sequence[str | Path],
    predictions: Sequence[str | Path],
    n_resamples: int,
    seed: int,
) -> Cell:
    """Read one selection's files, one of each a coreset seed, and resample its primary metric."""
    reports = [read_json(path) for path in metrics]
    kind, primary = reports[0]["kind"], reports[0]["primary"]
    runs = [from_table(read_table(path, PREDICTION), kind) for path in predictions]
    values = resampled_metric(METRICS[kind][primary], runs, n_resamples, seed)
    return Cell(task, selection, reports, values)


def results_table(cells: Iterable[Cell], confidence: float) -> pl.DataFrame:
    """One row a metric and cell (columns of `RESULT`).

    mean is over coreset seeds of the mean over evaluation seeds; std is between coreset seeds
    (between evaluation seeds where there is one coreset); the primary metric has an interval.
    """
    rows = []
    for cell in cells:
        first = cell.reports[0]
        for name in first["metrics"]:
            values = [report["metrics"][name]["values"] for report in cell.reports]
            means = [float(np.mean(v)) for v in values]
            spread = means if len(means) > 1 else values[0]
            primary = name == first["primary"]
            low, high = interval(cell.resamples, confidence) if primary else (None, None)
            rows.append(
                {
                    "task": cell.task,
                    "selection": cell.selection,
                    "metric": name,
                    "primary": primary,
                    "mean": float(np.mean(means)),
                    "std": float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
                    "low": low,
                    "high": high,
                    "runs": sum(len(v) for v in values),
                }
            )
    return pl.DataFrame(rows, schema=RESULT)


def comparisons_table(
    cells: Sequence[Cell], results: pl.DataFrame, confidence: float
) -> pl.DataFrame:
    """Every pair of selections of each task by the primary metric (columns of `COMPARISON`)."""
    means = {(r["task"], r["selection"]): r for r in results.filter("primary").to_dicts()}
    frames = [pl.DataFrame(schema=COMPARISON)]
    for task in dict.fromkeys(cell.task for cell in cells):
        rows = []
        for a, b in combinations([cell for cell in cells if cell.task == task], 2):
            differences = a.resamples - b.resamples
            low, high = interval(differences, confidence)
            one, other = means[task, a.selection], means[task, b.selection]
            rows.append(
                {
                    "task": task,
                    "metric": one["metric"],
                    "a": a.selection,
                    "b": b.selection,
                    "difference": one["mean"] - other["mean"],
                    "low": low,
                    "high": high,
                    "p": two_sided_p(differences),
                }
            )
        if rows:
            adjusted = stats.false_discovery_control([row["p"] for row in rows])
            columns = pl.DataFrame(rows).with_columns(p_adjusted=pl.Series(adjusted))
            frames.append(columns.cast(COMPARISON))  # type: ignore[arg-type]
    return pl.concat(frames)


def write_results(
    keys: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    predictions: Sequence[str],
    modality: str,
    n_resamples: int,
    confidence: float,
    seed: int,
    out: Any,
) -> None:
    """Write results, comparisons and what stands beside the paper (CSV), the wide table and bars.

    Args:
        keys: (task, coreset name or 'kmer') of each metrics and predictions file.
        metrics, predictions: files, aligned with `keys`.
        out: paths csv, comparisons, wide and beside (CSV), markdown, latex,
            beside_markdown, beside_latex and bars.
    """
    grouped: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for (task, name), metric, prediction in zip(keys, metrics, predictions, strict=True):
        files = grouped.setdefault((task, without_seed(name)), ([], []))
        files[0].append(metric)
        files[1].append(prediction)
    cells = [
        read_cell(task, selection, *files, n_resamples, seed)
        for (task, selection), files in grouped.items()
    ]
    table = results_table(cells, confidence)
    write_text(out.csv, table.write_csv())
    write_text(out.comparisons, comparisons_table(cells, table, confidence).write_csv())
    text = wide(table)
    write_text(out.wide, text.write_csv())
    write_text(out.markdown, to_markdown(text))
    write_text(out.latex, to_latex(text))
    beside = beside_paper(table, modality)
    write_text(out.beside, beside.write_csv())
    write_text(out.beside_markdown, to_markdown(as_text(beside)))
    write_text(out.beside_latex, to_latex(as_text(beside)))
    plots.save(plots.task_bars(table.filter("primary")), out.bars)
