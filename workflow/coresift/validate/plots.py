"""Plots of the validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coresift.validate.deciles import OUTCOMES
from coresift.validate.tables import CONTROL

#: Of `weights`.
_MARKERS = {"sequences": "o", "residues": "s"}
_COLOURS = {"target": "#3b6ea5", "self": "#c46a2b", "loss": "#777777", "length": "#aaaaaa"}


def decile_curves(table: pl.DataFrame) -> Figure:
    """Held-out loss of each tenth of a score: mean, spread over seeds, every model a dot.

    Args:
        table: `deciles.DECILE`.
    """
    curves = table.select("set", "outcome").unique(maintain_order=True).rows()
    scores = table.drop_nulls("decile")["score"].unique(maintain_order=True).to_list()
    figure, grid = plt.subplots(
        len(curves), max(1, len(scores)), figsize=(4 * max(1, len(scores)), 3.2 * len(curves)),
        squeeze=False, sharey="row",
    )  # fmt: skip
    for line, (set_name, outcome) in zip(grid, curves, strict=True):
        here = table.filter(pl.col("set") == set_name, pl.col("outcome") == outcome)
        control = here.filter(pl.col("score") == CONTROL)["loss"]
        for axes, score in zip(line, scores, strict=True):
            rows = here.filter(pl.col("score") == score)
            by = rows.group_by("decile").agg(
                mean=pl.col("loss").mean(), sd=pl.col("loss").std()
            ).sort("decile")  # fmt: skip
            axes.scatter(rows["decile"], rows["loss"], s=8, color="#9db7d2", linewidths=0)
            axes.errorbar(
                by["decile"].to_numpy(), by["mean"].to_numpy(), by["sd"].fill_null(0).to_numpy(),
                color="#3b6ea5", capsize=3,
            )  # fmt: skip
            axes.axhline(control.to_numpy().mean(), color="#c46a2b", linestyle="--", label="random")
            axes.axhline(rows["unigram"][0], color="black", linestyle=":", label="letters alone")
            axes.set_title(f"{score}; {set_name}, {OUTCOMES[outcome]}", fontsize=9)
            axes.set_xlabel("tenth of the score, low first")
        line[0].set_ylabel("held-out loss (nats a masked place)")
        line[0].legend(fontsize=7)
    return figure


def agreement(table: pl.DataFrame) -> Figure:
    """Rank correlation of every way's predictions with the retrainings, and its interval.

    Args:
        table: `agreement.AGREEMENT`.
    """
    of = table["of"].unique(maintain_order=True).to_list()
    pairs = table.select("model", "loss").unique(maintain_order=True).rows()
    figure, grid = plt.subplots(
        len(of), len(pairs), figsize=(1 + 3.6 * len(pairs), 1 + 3.2 * len(of)),
        squeeze=False, sharey=True,
    )  # fmt: skip
    for line, name in zip(grid, of, strict=True):
        for axes, (model, loss) in zip(line, pairs, strict=True):
            rows = table.filter(
                (pl.col("of") == name) & (pl.col("model") == model) & (pl.col("loss") == loss)
            )
            _panel(axes, rows)
            axes.set_title(f"{name}; gradients: {model}, {loss} loss", fontsize=8)
        line[0].set_ylabel("Spearman")
    grid[0][0].legend(fontsize=6)
    return figure


def has_own_way(table: pl.DataFrame, way: Mapping[str, object]) -> bool:
    """Whether the run's own loss and parameters were tried (`validate.losses`, `parameters`)."""
    own = (pl.col("loss") == way["loss"]) & (pl.col("parameters") == way["parameters"])
    return bool(table.filter(own).height)


def datamodel_bars(table: pl.DataFrame, way: Mapping[str, object], damping: float) -> Figure:
    """The datamodelling score by curvature and damping, with the run's own loss and parameters.

    Args:
        table: `agreement.AGREEMENT`, of V. way: the run's own loss, parameters and curvature.
        damping: the run's own.

    Raises:
        ValueError: no row is of the run's own loss and parameters (`validate.losses`).
    """
    asked = table.filter(pl.col("loss") == way["loss"])
    ways = asked.filter(
        pl.col("parameters") == way["parameters"], pl.col("weights") == "residues"
    ).sort("curvature", "damping", maintain_order=True)
    if not has_own_way(table, way):
        raise ValueError(f"no way of the run's own loss and parameters, {dict(way)}")
    models = asked["model"].unique(maintain_order=True).to_list()
    names = _ways(ways).unique(maintain_order=True).to_list()
    own = f"{way['curvature']} {damping:g}" if way["curvature"] != "identity" else "identity"
    figure, grid = plt.subplots(
        1, len(models), figsize=(1 + 4.4 * len(models), 4.2), squeeze=False, sharey=True
    )
    for axes, model in zip(grid[0], models, strict=True):
        for i, score in enumerate(("target", "self")):
            rows = ways.filter(pl.col("model") == model, pl.col("score") == score)
            x = np.array([names.index(name) for name in _ways(rows)]) + 0.4 * (i - 0.5)
            y, low, high = (rows[c].to_numpy().astype(float) for c in ("spearman", "low", "high"))
            axes.bar(
                x, y, 0.38, yerr=np.clip(np.stack([y - low, high - y]), 0, None),
                color=_COLOURS[score], error_kw={"linewidth": 0.8},
                label={"target": "influence on V", "self": "self-influence"}[score],
            )  # fmt: skip
        _lines(axes, asked.filter(pl.col("model") == model))
        shown = [f"{name} (the run's)" if name == own else name for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=7)
        axes.set_title(f"gradients: {model}", fontsize=9)
        axes.set_ylim(-1.05, 1.05)
    grid[0][0].set_ylabel("Spearman over subsets")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside upper center", ncols=len(labels))
    return figure


def _ways(rows: pl.DataFrame) -> pl.Series:
    """Curvature and damping of each row, as one text."""
    texts = [
        f"{c} {d:g}" if d is not None else c for c, d in rows.select("curvature", "damping").rows()
    ]
    return pl.Series(texts, dtype=pl.String)


def _panel(axes: Axes, rows: pl.DataFrame) -> None:
    ways = rows.drop_nulls("curvature")
    labels = _labels(ways).unique(maintain_order=True).to_list()
    series = ways.select("score", "weights").unique(maintain_order=True).rows()
    for i, (score, weights) in enumerate(series):
        part = ways.filter((pl.col("score") == score) & (pl.col("weights") == weights))
        x = np.array([labels.index(label) for label in _labels(part)])
        y, low, high = (part[c].to_numpy().astype(float) for c in ("spearman", "low", "high"))
        error = np.clip(np.stack([y - low, high - y]), 0, None)
        axes.errorbar(
            x + 0.15 * (i - (len(series) - 1) / 2), y, error, fmt=_MARKERS[weights], markersize=3,
            linewidth=0.8, color=_COLOURS[score], label=f"{score}, by {weights}",
        )  # fmt: skip
    _lines(axes, rows)
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6)
    axes.set_ylim(-1.05, 1.05)


def _lines(axes: Axes, rows: pl.DataFrame) -> None:
    """Controls, the ceiling and zero."""
    for row in rows.filter(pl.col("curvature").is_null()).iter_rows(named=True):
        if row["spearman"] is not None:
            axes.axhline(
                row["spearman"], color=_COLOURS[row["score"]], linestyle="--", label=row["score"]
            )
    ceiling = rows["ceiling"][0]
    if ceiling is not None:
        axes.axhline(ceiling, color="black", linestyle=":", label="ceiling by noise")
    axes.axhline(0, color="black", linewidth=0.6)


def _labels(ways: pl.DataFrame) -> pl.Series:
    """Parameters, curvature and damping of each row, as one text."""
    return ways.select(
        pl.concat_str(
            "parameters", "curvature", pl.col("damping").cast(pl.String).fill_null(""),
            separator=" ",
        )
    ).to_series()  # fmt: skip


def stability(table: pl.DataFrame, scores: Sequence[str]) -> Figure:
    """Agreement with the run's own setting, by what is changed.

    Args:
        table: `stability.STABILITY`.
    """
    first = table.filter((pl.col("top") == pl.col("top").min()) & pl.col("score").is_in(scores))
    smallest = float(first["top"][0])
    labels = _changes(first).unique(maintain_order=True).to_list()
    measures = {
        "spearman": "Spearman",
        "spearman_given_length": "Spearman, length taken out",
        "overlap": f"overlap of the top {smallest:.0%}",
    }
    figure, grid = plt.subplots(
        1, len(measures), figsize=(3.2 * len(measures), 1.4 + 0.3 * len(labels)), sharey=True
    )
    for axes, (column, title) in zip(grid, measures.items(), strict=True):
        for i, score in enumerate(scores):
            part = first.filter(pl.col("score") == score)
            y = [labels.index(label) for label in _changes(part)]
            axes.scatter(part[column], y, s=18, color=f"C{i}", label=score)
        axes.set_title(title, fontsize=9)
        axes.set_xlim(min(0.0, float(np.nanmin(first[column].to_numpy().astype(float)))), 1.02)
        axes.grid(axis="y", linewidth=0.3)
    grid[0].set_yticks(range(len(labels)), labels, fontsize=8)
    grid[0].invert_yaxis()
    grid[0].legend(fontsize=7)
    return figure


def _changes(rows: pl.DataFrame) -> pl.Series:
    return rows.select(
        pl.concat_str("factor", pl.col("value").map_elements(lambda v: f"{v:g}", pl.String),
                      separator=" ")
    ).to_series()  # fmt: skip
