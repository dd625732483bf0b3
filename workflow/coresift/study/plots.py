"""Plots of the study."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coresift.report.controls import UNIGRAM, row_of
from coresift.report.plots import colours_of
from coresift.study.book import FINAL, Book, title_of
from coresift.study.cells import HELD_OUT, by_budget, by_selection
from coresift.study.decide import ends_of_gain


def shown_round(book: Book) -> str:
    """The round that is drawn: the one that counts, or the last that has been started."""
    return FINAL if FINAL in book.started else book.started[-1]


#: Runs from which on an interval is drawn: of two it is as wide as the picture.
_BAND = 3


def budget_curves(book: Book) -> Figure:
    """Held-out loss against the budget, and below it the gain over random: means and intervals.

    The interval of a loss has what models share, the held-out sequences; that of a gain has not.
    """
    table = book.curves(shown_round(book))
    tasks = table["task"].unique(maintain_order=True).to_list()
    figure, grid = plt.subplots(
        2, len(tasks), figsize=(5.4 * len(tasks), 7.6), squeeze=False, sharex="col"
    )
    gains = gains_by_budget(book, shown_round(book))
    colours = colours_of([name for name in map(_drawn, table["selection"]) if name])
    for losses, below, task in zip(*grid, tasks, strict=True):
        _curves(losses, book, table.filter(pl.col("task") == task), colours)
        losses.set_title(title_of(task), fontsize=9)
        _gains(below, book, gains.filter(pl.col("task") == task), colours)
        below.set_xlabel("budget (residues)")
    grid[0][0].set_ylabel("held-out loss (nats a masked place)")
    grid[1][0].set_ylabel("gain over random (nats, symlog)")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=6, loc="outside lower center", ncols=4)
    return figure


#: What a line is drawn with: a colour by selection.
Colours = Mapping[str, tuple[float, ...]]


def _drawn(name: str) -> str | None:
    """The selection of a row, if it has a curve: what is matched to one has none."""
    row = row_of(name)
    return row.selection if row.kind in ("random", "random_x10") or not row.is_control else None


def _curves(axes: Axes, book: Book, rows: pl.DataFrame, colours: Colours) -> None:
    """Losses, and that of letters; full marks have an interval over seeds."""
    names = rows["selection"]
    placed = rows.with_columns(row=names, selection=by_selection(names), budget=by_budget(names))
    _lines(axes, book, placed, colours, "mean", "runs")
    letters = placed.filter(pl.col("row") == UNIGRAM)["mean"]
    if len(letters):
        axes.axhline(letters[0], color="black", linestyle=":", linewidth=1, label="letters alone")
    shown = placed.filter(pl.col("selection").is_in([*colours]))["budget"]
    budgets = {budget: book.share_of_pool(budget) for budget in shown}
    axes.set_xscale("log")
    axes.set_xticks([*budgets.values()], [*budgets], fontsize=8)
    axes.minorticks_off()


def _lines(
    axes: Axes, book: Book, rows: pl.DataFrame, colours: Colours, value: str, runs: str
) -> None:
    """A line a selection over the budgets; where there are fewer than three runs, hollow marks.

    Args:
        rows: columns selection, budget, low, high and those named by value and runs.
    """
    for place, name in enumerate(colours):
        own = rows.filter(pl.col("selection") == name).to_dicts()
        own.sort(key=lambda row: book.share_of_pool(row["budget"]))
        # A little apart, or the intervals at a budget hide each other.
        x = np.array([book.share_of_pool(row["budget"]) for row in own])
        x = x * 1.025 ** (place - len(colours) / 2)
        middle, low, high = (
            np.array([row[k] for row in own], np.float64) for k in (value, "low", "high")
        )
        known = np.array([row[runs] >= _BAND for row in own], bool)
        colour, line = colours[name], "--" if row_of(f"{name}-1").is_control else "-"
        axes.plot(x, middle, line, linewidth=0.9, color=colour)
        axes.plot(x[~known], middle[~known], "o", markersize=3, color=colour, fillstyle="none")
        reach = np.stack([middle - low, high - middle])[:, known]
        axes.errorbar(x[known], middle[known], reach, fmt="o", markersize=3, linewidth=0.8,
                      color=colour, label=name)  # fmt: skip
        axes.fill_between(x[known], low[known], high[known], color=colour, alpha=0.1, linewidth=0)


def gains_by_budget(book: Book, part: str) -> pl.DataFrame:
    """Gains over random of a round's selections at every budget, each of one round.

    Returns:
        Columns task, selection, budget, gain, low, high (null of one seed), seeds: of the round
        itself, else of that with most seeds.
    """
    rows = book.comparisons.filter(pl.col("role").is_in(["random", "regime"]), HELD_OUT)
    each = rows.sort(pl.col("round") != part, -pl.col("seeds"), maintain_order=True).unique(
        ["task", "selection"], keep="first", maintain_order=True
    )
    found = each.with_columns(
        selection=by_selection(each["selection"]), budget=by_budget(each["selection"])
    )
    ends = pl.DataFrame(
        [ends_of_gain(row) for row in each.to_dicts()],
        schema={"low": pl.Float64, "high": pl.Float64},
    )
    planned = [row_of(f"{name}-1").selection for name in book.rounds[part].names]
    return (
        found.select("task", "selection", "budget", "gain", "seeds")
        .with_columns(ends)
        .filter(pl.col("selection").is_in(planned))
    )


def _gains(axes: Axes, book: Book, rows: pl.DataFrame, colours: Colours) -> None:
    """Gains over random with the interval of the difference."""
    _lines(axes, book, rows, colours, "gain", "seeds")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_yscale("symlog", linthresh=_LINEAR)
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS], fontsize=7)
    axes.minorticks_off()


#: Gains up to this are drawn to scale, nats.
_LINEAR = 0.02
_TICKS = [-0.3, -0.1, -_LINEAR, 0, _LINEAR, 0.1, 0.3]


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
        axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS], fontsize=7)
        axes.minorticks_off()
        axes.invert_yaxis()
    grid[0][0].legend(fontsize=6)
    return figure
