"""The first plot: held-out loss of every row, beside what letter frequencies reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coresift.report.cells import Cell
from coresift.report.controls import FLOORS, UNIGRAM, row_of

#: Losses further above the unigram's than this share of the way from the best row to it are drawn
#: at the edge: an untrained model would squeeze all others together.
_BEYOND = 0.3
_STYLES: dict[str, dict[str, Any]] = {
    "selection": {"color": "#3b6ea5"},
    "control": {"color": "#8a6d3b", "markerfacecolor": "white"},
    "no training": {"color": "#888888", "markerfacecolor": "white"},
}


def _style(name: str) -> str:
    if name in FLOORS:
        return "no training"
    return "control" if row_of(name).is_control else "selection"


def _edge(best: float, unigram: float, worst: float) -> float:
    """The largest loss on the axis."""
    reach = max(unigram - best, 0.02 * unigram)
    return min(worst, max(best, unigram) + _BEYOND * reach)


def _draw_row(axes: Axes, y: int, cell: Cell, row: dict[str, Any], edge: float) -> None:
    """A dot a seed and the interval of the mean; an arrow with the figure if beyond the edge."""
    kind = _style(cell.selection)
    style = _STYLES[kind]
    if row["mean"] > edge:
        axes.plot([edge], [y], ">", clip_on=False, label=kind, **style)
        axes.annotate(
            f"{row['mean']:.3f}", (edge, y), (-6, 0), textcoords="offset points",
            ha="right", va="center", fontsize=7,
        )  # fmt: skip
        return
    values = cell.by_seed("loss")
    axes.plot([row["low"], min(row["high"], edge)], [y, y], color=style["color"], linewidth=1.2)
    axes.plot(values, np.full(len(values), y), "o", markersize=4, label=kind, **style)
    axes.plot([row["mean"]], [y], "|", markersize=10, color=style["color"])


def _draw_set(axes: Axes, cells: Sequence[Cell], table: pl.DataFrame) -> None:
    rows = {row["selection"]: row for row in table.iter_rows(named=True)}
    shown = [cell for cell in cells if cell.selection != UNIGRAM]
    means = [rows[cell.selection]["mean"] for cell in shown]
    unigram = rows[UNIGRAM]["mean"]
    edge = _edge(min(means), unigram, max([*means, unigram]) * 1.002)
    near = [cell for cell in shown if rows[cell.selection]["mean"] <= edge]
    edge = max([edge, *(max(c.by_seed("loss")) for c in near)])
    axes.axvline(unigram, color="#b03a2e", linewidth=1, linestyle="--", label="letter frequencies")
    for y, cell in enumerate(shown):
        _draw_row(axes, y, cell, rows[cell.selection], edge)
    axes.set_yticks(range(len(shown)), [cell.selection for cell in shown], fontsize=7)
    axes.set(xlabel="loss (nats a masked place)", title=cells[0].task.removeprefix("heldout_"))
    axes.set_xlim(right=edge + 0.02 * (edge - min(means)))
    axes.invert_yaxis()
    axes.grid(axis="y", color="#e5e9ee", linewidth=0.6)
    axes.set_axisbelow(True)


def held_out_plot(cells: Sequence[Cell], table: pl.DataFrame) -> Figure:
    """Loss by row, one panel a held-out set: dots are seeds, bars the interval of their mean.

    Args:
        cells: of the held-out sets, `unigram` among the rows.
        table: columns of `tables.RESULT`.
    """
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    n_rows = len({cell.selection for cell in cells})
    figure, grid = plt.subplots(
        1, len(tasks), figsize=(2.6 + 4.2 * len(tasks), 1.3 + 0.24 * n_rows), squeeze=False,
        sharey=True,
    )  # fmt: skip
    for axes, task in zip(grid[0], tasks, strict=True):
        rows = table.filter("primary", pl.col("task") == task)
        _draw_set(axes, [cell for cell in cells if cell.task == task], rows)
    handles = {
        label: handle
        for axes in grid[0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend([*handles.values()], [*handles], fontsize=7, loc="outside lower center", ncols=4)
    return figure
