"""Learning curves: training loss, and the held-out loss at validation points."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from coresift.report.plots import colours_of
from coresift.selection.names import without_seed

#: Points of a training curve that are drawn; a step's own loss is noise, and a page has bounds.
_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """One training, step by step.

    Attributes:
        residues: (steps,) seen after each step.
        loss: (steps,) nats a masked place of the step.
        validation: (steps,) held-out loss, NaN where it was not measured.
    """

    residues: np.ndarray
    loss: np.ndarray
    validation: np.ndarray


def read_curve(path: str | Path) -> Curve:
    """The curve of a metrics.jsonl."""
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    loss, validation = (
        np.array([record.get(key) for record in records], dtype=np.float64)  # None is NaN
        for key in ("loss", "validation_loss")
    )
    return Curve(np.cumsum([r["residues"] for r in records]), loss, validation)


def read_curves(names: Sequence[str], metrics: Sequence[str | Path]) -> dict[str, Curve]:
    """The curve of every coreset's model."""
    return {name: read_curve(file) for name, file in zip(names, metrics, strict=True)}


def thinned(values: np.ndarray) -> np.ndarray:
    """At most `_POINTS` means of runs of (steps,) values."""
    return np.array([part.mean() for part in np.array_split(values, min(_POINTS, len(values)))])


def learning_curves(curves: Mapping[str, Curve], unigram: float | None) -> Figure:
    """Loss against residues seen, by selection: thin lines in training, dots held-out.

    Args:
        unigram: held-out loss of letter frequencies, nats; None without a held-out set.
    """
    figure, axes = plt.subplots(figsize=(8, 4))
    colours = colours_of(curves)
    for name, curve in curves.items():
        colour = colours[without_seed(name)]
        axes.plot(
            thinned(curve.residues), thinned(curve.loss), linewidth=0.5, alpha=0.5, color=colour
        )
        there = np.isfinite(curve.validation)
        axes.plot(
            curve.residues[there], curve.validation[there], "o-", markersize=3, linewidth=0.8,
            color=colour,
        )  # fmt: skip
    for selection, colour in colours.items():
        axes.plot([], [], color=colour, label=selection)
    if unigram is not None:
        axes.axhline(unigram, color="#b03a2e", linewidth=1, linestyle="--")
        axes.plot([], [], color="#b03a2e", linestyle="--", label="letter frequencies, held-out")
    axes.set(xlabel="residues seen", ylabel="loss (nats a masked place)")
    figure.legend(fontsize=7, loc="outside lower center", ncols=4)
    return figure
