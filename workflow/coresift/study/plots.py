"""Plots of the study."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coresift.report.controls import UNIGRAM, row_of
from coresift.report.plots import colours_of
from coresift.study.book import FINAL, Book, title_of


def shown_round(book: Book) -> str:
    """The round that is drawn: the one that counts, or the last that has been started."""
    return FINAL if FINAL in book.started else book.started[-1]


#: Runs from which on an interval is drawn: of two it is as wide as the picture.
_BAND = 3


def budget_curves(book: Book) -> Figure:
    """Held-out loss against the budget: mean of each selection, and the interval of the mean."""
    table = book.curves(shown_round(book))
    tasks = table["task"].unique(maintain_order=True).to_list()
    figure, grid = plt.subplots(1, len(tasks), figsize=(5.4 * len(tasks), 4.4), squeeze=False)
    for axes, task in zip(grid[0], tasks, strict=True):
        _curves(axes, book, table.filter(pl.col("task") == task))
        axes.set_title(title_of(task), fontsize=9)
    grid[0][0].set_ylabel("held-out loss (nats a masked place)")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=6, loc="outside lower center", ncols=4)
    return figure


def _curves(axes: Axes, book: Book, rows: pl.DataFrame) -> None:
    """Full marks have an interval over seeds; where there are fewer runs, they are hollow."""
    parts = [(row_of(row["selection"]), row) for row in rows.to_dicts()]
    drawn = ("random", "random_x10")
    shown = [part for part, _ in parts if part.kind in drawn or not part.is_control]
    names = dict.fromkeys(part.selection for part in shown if part.selection is not None)
    colours = colours_of([name for name in names if name])
    for place, name in enumerate(names):
        own = [(book.share_of_pool(str(part.budget)), row) for part, row in parts
               if part.selection == name]  # fmt: skip
        own.sort(key=lambda pair: pair[0])
        # A little apart, or the intervals at a budget hide each other.
        x = np.array([share for share, _ in own]) * 1.025 ** (place - len(names) / 2)
        mean, low, high = (np.array([row[k] for _, row in own]) for k in ("mean", "low", "high"))
        known = np.array([row["runs"] >= _BAND for _, row in own])
        colour, line = colours[str(name)], "--" if row_of(f"{name}-1").is_control else "-"
        axes.plot(x, mean, line, linewidth=0.9, color=colour)
        axes.plot(x[~known], mean[~known], "o", markersize=3, color=colour, fillstyle="none")
        axes.errorbar(x[known], mean[known], np.stack([mean - low, high - mean])[:, known], fmt="o",
                      markersize=3, linewidth=0.8, color=colour, label=name)  # fmt: skip
        axes.fill_between(x[known], low[known], high[known], color=colour, alpha=0.1, linewidth=0)
    letters = [row["mean"] for part, row in parts if part.name == UNIGRAM]
    if letters:
        axes.axhline(letters[0], color="black", linestyle=":", linewidth=1, label="letters alone")
    budgets = {
        str(part.budget): book.share_of_pool(str(part.budget)) for part in shown if part.budget
    }
    axes.set_xscale("log")
    axes.set_xticks([*budgets.values()], [*budgets], fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel("budget (residues)")


#: Gains up to this are drawn to scale, nats.
_LINEAR = 0.02


def differences(book: Book) -> Figure:
    """Gain over the strongest control with its interval, and the gain that is asked for."""
    part = shown_round(book)
    rows = book.decisions.filter(pl.col("round") == part).drop_nulls("low")
    if not rows.height:
        rows = book.decisions.drop_nulls("low")
    tasks = rows["task"].unique(maintain_order=True).to_list()
    n = max(rows.filter(pl.col("task") == task).height for task in tasks)
    figure, grid = plt.subplots(
        1, len(tasks), figsize=(4.6 * len(tasks), 1.4 + 0.2 * n), squeeze=False
    )
    for axes, task in zip(grid[0], tasks, strict=True):
        own = rows.filter(pl.col("task") == task)
        y = np.arange(own.height)
        gain, low, high = (own[c].to_numpy().astype(float) for c in ("gain", "low", "high"))
        axes.errorbar(gain, y, xerr=np.abs(np.stack([gain - low, high - gain])), fmt="o",
                      markersize=3, color="#3b6ea5", linewidth=0.9)  # fmt: skip
        asked = own["asked"].to_numpy().astype(float)
        axes.plot(asked, y, "|", color="#b03a2e", markersize=8, label="gain that counts")
        labels = [f"{r['selection']} {r['budget']}" for r in own.to_dicts()]
        axes.set_yticks(y, labels, fontsize=6)
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_title(title_of(task), fontsize=9)
        axes.set_xlabel("gain over the strongest control (nats, symlog)", fontsize=8)
        # One selection that loses far more than all others would make points of these.
        axes.set_xscale("symlog", linthresh=_LINEAR)
        ticks = [-0.3, -0.1, -_LINEAR, 0, _LINEAR, 0.1, 0.3]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=7)
        axes.minorticks_off()
        axes.invert_yaxis()
    grid[0][0].legend(fontsize=6)
    return figure
