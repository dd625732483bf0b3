"""Plots of the report. Bytes are fixed: no dates, a fixed hash salt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from coresift.files import atomic_path
from coresift.selection.names import without_seed

mpl.rcParams.update({"svg.hashsalt": "coresift", "figure.constrained_layout.use": True})


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG, atomically, and close it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    plt.close(figure)


def colours_of(coresets: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Selection -> colour, shared by its seeds."""
    return {
        s: mpl.colormaps["tab20"](i % 20)
        for i, s in enumerate(dict.fromkeys(map(without_seed, coresets)))
    }


def score_distribution(scores: pl.DataFrame) -> Figure:
    """Histogram of self-influence and its relation to length."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    values = scores["influence"].to_numpy()
    left.hist(values, bins=60, color="#3b6ea5")
    left.set(xlabel="self-influence", ylabel="sequences", title=f"{len(values):,} sequences")
    right.hexbin(
        scores["length"].to_numpy(), values, gridsize=45, bins="log", cmap="viridis", mincnt=1
    )
    right.set(xlabel="length (residues)", ylabel="self-influence", title="score and length")
    return figure


def task_bars(table: pl.DataFrame) -> Figure:
    """Primary metric with its interval, by task and strategy."""
    tasks: Sequence[str] = table["task"].unique(maintain_order=True).to_list()
    figure, grid = plt.subplots(1, len(tasks), figsize=(1.2 + 3.2 * len(tasks), 3.4), squeeze=False)
    for axes, task in zip(grid[0], tasks, strict=True):
        rows = table.filter(pl.col("task") == task)
        x = np.arange(rows.height)
        mean = rows["mean"].to_numpy()
        error = np.abs(np.stack([mean - rows["low"].to_numpy(), rows["high"].to_numpy() - mean]))
        axes.bar(x, mean, yerr=error, color="#3b6ea5", capsize=3)
        axes.set_xticks(x, rows["selection"].to_list(), rotation=60, ha="right", fontsize=7)
        axes.set_title(f"{task} ({rows['protocol'][0]})")
        axes.set_ylabel(rows["metric"][0])
    return figure


def overlap_heatmap(matrix: pl.DataFrame) -> Figure:
    """Jaccard index of every pair of coresets."""
    names = matrix["a"].unique(maintain_order=True).to_list()
    values = matrix["jaccard"].to_numpy().reshape(len(names), len(names))
    size = 2 + 0.35 * len(names)
    figure, axes = plt.subplots(figsize=(size, size))
    axes.imshow(values, vmin=0, vmax=1, cmap="viridis")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.set_title("Jaccard index", fontsize=9)
    return figure


def stratum_coverage(table: pl.DataFrame) -> Figure:
    """Share of each CCI stratum that a coreset takes; the dropped hard stratum stands last."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(7, 4.6), sharex=True, height_ratios=(1, 2.2)
    )
    names = table["coreset"].unique(maintain_order=True).to_list()
    last = int(table["stratum"].to_numpy().max()) + 1
    colours = colours_of(names)
    for name in names:
        rows = table.filter(pl.col("coreset") == name)
        place = np.where(rows["stratum"] < 0, last, rows["stratum"])
        order = np.argsort(place)
        x, colour = place[order], colours[without_seed(name)]
        share = (rows["taken"] / rows["pool"]).to_numpy()[order]
        bottom.plot(x, share, marker=".", markersize=3, linewidth=1, color=colour, label=name)
    top.bar(x, rows["pool"].to_numpy()[order], color="#8a99a8")
    top.set(ylabel="sequences", yscale="log", title="CCI strata of the pool and what is taken")
    bottom.set(xlabel="stratum, by rising self-influence (last: dropped by CCI)", ylabel="share")
    bottom.legend(fontsize=7, ncols=2)
    return figure


def drift(
    pool: pl.DataFrame, coresets: Mapping[str, pl.DataFrame], composition_name: str
) -> Figure:
    """Cumulative distribution of length and composition in the pool and every coreset.

    Args:
        pool, coresets: columns length and composition.
        composition_name: axis label of the composition.
    """
    figure, grid = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    colours = colours_of(coresets)
    quantiles = np.linspace(0, 1, 201)
    labels = {"length": "length (residues)", "composition": composition_name}
    for axes, (column, label) in zip(grid, labels.items(), strict=True):
        for name, frame in coresets.items():
            x = np.quantile(frame[column].to_numpy(), quantiles)
            axes.plot(x, quantiles, color=colours[without_seed(name)], linewidth=1, label=name)
        x = np.quantile(pool[column].to_numpy(), quantiles)
        axes.plot(x, quantiles, color="black", linewidth=1.6, linestyle="--", label="pool")
        axes.set_xlabel(label)
    grid[0].set(ylabel="share of sequences", xscale="log")
    grid[1].legend(fontsize=6)
    return figure


def embedding(points: pl.DataFrame, coresets: Mapping[str, pl.DataFrame]) -> Figure:
    """A sample of the pool on two axes, once a strategy and budget: what its first seed takes."""
    shown: dict[str, pl.DataFrame] = {}
    for name, frame in coresets.items():
        shown.setdefault(without_seed(name), frame)
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.6 * columns, 2.6 * rows), sharex=True, sharey=True, squeeze=False
    )
    colours = colours_of(shown)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, (name, coreset) in zip(grid.flat, shown.items(), strict=False):
        taken = points.join(coreset, on="seq_id", how="semi")
        axes.scatter(points["x"], points["y"], s=3, color="#c9d2da", linewidths=0)
        axes.scatter(taken["x"], taken["y"], s=5, color=colours[name], linewidths=0)
        axes.set_title(f"{name}: {taken.height} of {points.height}", fontsize=8)
        axes.set(xticks=[], yticks=[])
    return figure
