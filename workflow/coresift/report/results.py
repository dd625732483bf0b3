"""The results: every row by outcome, with deviation, interval and comparisons with controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from coresift.files import write_text
from coresift.report import plots
from coresift.report.bootstrap import interval, over_seeds
from coresift.report.cells import Cell, held_out_cells, task_cells
from coresift.report.comparisons import comparisons_table
from coresift.report.controls import row_of
from coresift.report.heldout import held_out_plot
from coresift.report.markup import as_text, to_latex, to_markdown, wide
from coresift.report.notes import footnotes
from coresift.report.paper import beside_paper
from coresift.report.tables import RESULT


def results_table(cells: Iterable[Cell], confidence: float, seed: int) -> pl.DataFrame:
    """One row a metric and cell (columns of `RESULT`).

    mean is over coreset seeds of the mean over evaluation seeds; std is between coreset seeds
    (between evaluation seeds where there is one coreset); the primary metric has a bootstrap
    interval.
    """
    rows = []
    for cell in cells:
        for name, values in cell.metrics.items():
            spread = cell.by_seed(name)
            primary = name == cell.primary
            resamples = over_seeds(cell.resamples, seed) if primary else None
            low, high = (None, None) if resamples is None else interval(resamples, confidence)
            rows.append(
                {
                    "task": cell.task,
                    "protocol": cell.protocol,
                    "selection": cell.selection,
                    "metric": name,
                    "primary": primary,
                    "mean": float(np.mean([np.mean(v) for v in values])),
                    "std": float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
                    "low": low,
                    "high": high,
                    "runs": sum(len(v) for v in values),
                }
            )
    return pl.DataFrame(rows, schema=RESULT)


def read_cells(files: Any, params: Any) -> list[Cell]:
    """All cells, those of held-out sets first.

    Args:
        files: losses and groups (of held-out sequences; losses empty where there is no set),
            metrics and predictions.
        params: held_out, names aligned with files.losses; cells, (task, name) aligned with
            files.metrics and files.predictions; bootstrap, seed.
    """
    resampling = (params.bootstrap, params.seed)
    cells: list[Cell] = []
    if params.held_out:
        cells += held_out_cells(params.held_out, files.losses, files.groups, *resampling)
    for task in dict.fromkeys(task for task, _ in params.cells):
        places = [i for i, (name, _) in enumerate(params.cells) if name == task]
        names = [params.cells[i][1] for i in places]
        metrics, predictions = (
            [paths[i] for i in places] for paths in (files.metrics, files.predictions)
        )
        cells += task_cells(task, names, metrics, predictions, *resampling)
    return cells


def unbiased(cells: Iterable[Cell], aimed: Mapping[str, str]) -> list[Cell]:
    """The cells that may be compared: a selection not on the sequences that its score is of.

    Args:
        aimed: selections whose score is the influence on a held-out set, and the set.
    """

    def chosen_by(cell: Cell) -> bool:
        held_out = aimed.get(row_of(cell.selection).selection or "")
        return held_out is not None and cell.task == f"heldout_{held_out}"

    return [cell for cell in cells if not chosen_by(cell)]


def _write_formats(table: pl.DataFrame, csv: str, markdown: str, latex: str) -> None:
    write_text(csv, table.write_csv())
    write_text(markdown, to_markdown(as_text(table)))
    write_text(latex, to_latex(as_text(table)))


def write_rows(cells: Sequence[Cell], notes: pl.DataFrame, params: Any, out: Any) -> pl.DataFrame:
    """Write and return the results, and write the wide table; see `write_results`."""
    table = results_table(cells, params.confidence, params.seed)
    write_text(out.csv, table.write_csv())
    text, below = wide(table), footnotes(notes)
    write_text(out.wide, text.write_csv())
    write_text(out.markdown, to_markdown(text) + "".join(f"\n{line}\n" for line in below))
    write_text(out.latex, to_latex(text, below))
    return table


def write_results(cells: Sequence[Cell], notes: pl.DataFrame, params: Any, out: Any) -> None:
    """Write results, comparisons and what stands beside the paper (CSV), the wide table and plots.

    Args:
        cells: see `read_cells`.
        notes: columns of `notes.NOTE`: footnotes of the wide table.
        params: modality, confidence, seed; aimed, see `unbiased`.
        out: paths csv, comparisons, wide and beside (CSV), markdown, latex, beside_markdown,
            beside_latex, and of the plots (SVG) those there is something for: held_out, bars.
    """
    table = write_rows(cells, notes, params, out)
    comparisons = comparisons_table(unbiased(cells, params.aimed), 1 - params.confidence)
    write_text(out.comparisons, comparisons.write_csv())
    beside = beside_paper(table, params.modality)
    _write_formats(beside, out.beside, out.beside_markdown, out.beside_latex)
    tasks = table.filter("primary", ~pl.col("task").str.starts_with("heldout_"))
    if tasks.height:
        plots.save(plots.task_bars(tasks), out.bars)
    held_out = [cell for cell in cells if cell.task.startswith("heldout_")]
    if held_out:
        plots.save(held_out_plot(held_out, table), out.held_out)
