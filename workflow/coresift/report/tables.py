"""The results table: every selection and baseline by task, with deviation and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.io import PREDICTION, read_json, read_table
from coresift.tasks.metrics import METRICS, bootstrap_interval
from coresift.tasks.sample import from_table


def summarise_cell(
    metric_files: Sequence[str | Path],
    prediction_files: Sequence[str | Path],
    n_resamples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """One row a metric for one selection and task.

    mean is over coreset seeds of the mean over evaluation seeds; std is between coreset seeds
    (between evaluation seeds where there is one coreset); the interval of the primary metric
    resamples test examples, the same ones for every run.
    """
    reports = [read_json(path) for path in metric_files]
    first = reports[0]
    rows = []
    for name in first["metrics"]:
        values = [r["metrics"][name]["values"] for r in reports]
        means = [float(np.mean(v)) for v in values]
        spread = means if len(means) > 1 else values[0]
        row: dict[str, Any] = {
            "metric": name,
            "primary": name == first["primary"],
            "mean": float(np.mean(means)),
            "std": float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
            "low": None,
            "high": None,
            "runs": sum(len(v) for v in values),
        }
        if row["primary"]:
            tables = [read_table(path, PREDICTION) for path in prediction_files]
            runs = [run for table in tables for run in from_table(table, first["kind"])]
            row["low"], row["high"] = bootstrap_interval(
                METRICS[first["kind"]][name], runs, n_resamples, confidence, seed
            )
        rows.append(row)
    return rows


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


def results_table(
    cells: Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]],
    n_resamples: int,
    confidence: float,
    seed: int,
) -> pl.DataFrame:
    """Rows of every (task, selection) cell of (metric files, prediction files)."""
    rows = [
        {"task": task, "selection": selection, **row}
        for (task, selection), (metrics, predictions) in cells.items()
        for row in summarise_cell(metrics, predictions, n_resamples, confidence, seed)
    ]
    return pl.DataFrame(rows, schema=RESULT)


def wide(table: pl.DataFrame) -> pl.DataFrame:
    """Selections as rows, primary metrics of the tasks as columns: mean ± std [low, high]."""
    text = pl.format(
        "{}{} [{}, {}]",
        pl.col("mean").map_elements(lambda v: f"{v:.4f}", pl.String),
        pl.when(pl.col("std").is_null())
        .then(pl.lit(""))
        .otherwise(
            pl.format(
                " ± {}",
                pl.col("std").fill_null(0.0).map_elements(lambda v: f"{v:.4f}", pl.String),
            )
        ),
        pl.col("low").map_elements(lambda v: f"{v:.4f}", pl.String),
        pl.col("high").map_elements(lambda v: f"{v:.4f}", pl.String),
    )
    main = table.filter("primary").with_columns(
        cell=text, column=pl.format("{} ({})", "task", "metric")
    )
    return main.pivot(on="column", index="selection", values="cell").fill_null("")


def to_markdown(table: pl.DataFrame) -> str:
    """A Markdown table of strings."""
    lines = [" | ".join(table.columns), " | ".join("---" for _ in table.columns)]
    lines += [" | ".join(map(str, row)) for row in table.iter_rows()]
    return "".join(f"| {line} |\n" for line in lines)


def to_latex(table: pl.DataFrame) -> str:
    """A booktabs table of strings."""
    escape = str.maketrans({"_": r"\_", "%": r"\%", "±": r"$\pm$"})
    rows = [table.columns, *table.iter_rows()]
    body = [" & ".join(str(c).translate(escape) for c in row) + r" \\" for row in rows]
    head = rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}"
    return "\n".join(
        [head, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""]
    )
