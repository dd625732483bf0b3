"""What is known of every row on every outcome: a held-out set's loss, or a task's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from coresift.files import read_json
from coresift.heldout.summary import HeldOut, read_held_out, resampled, summarise
from coresift.report.bootstrap import resampled_metric
from coresift.report.controls import EXACT
from coresift.report.difference import Figure
from coresift.selection.names import without_seed
from coresift.tables import read_table
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import from_table
from coresift.tasks.tables import PREDICTION


@dataclass(frozen=True)
class Cell:
    """One row (a selection's seeds, or a baseline) on one outcome.

    Attributes:
        task: name of the task, or `heldout_{set}`.
        selection: name of the row, without seed.
        primary: the metric that is compared.
        metrics: values by metric, coreset seed and evaluation seed.
        resamples: (S, R) bootstrap values of the primary metric by coreset seed, of the same
            examples for all rows of an outcome.
        n_examples: distinct test examples, or units of held-out sequences (`HeldOut.units`).
        drawn: a seed drew it (a coreset, random weights); not a baseline or a given checkpoint.
        protocol: of the task (`Task.protocol_name`); None of a held-out set.
    """

    task: str
    selection: str
    primary: str
    metrics: Mapping[str, list[list[float]]]
    resamples: np.ndarray
    n_examples: int
    drawn: bool
    protocol: str | None = None

    def by_seed(self, metric: str) -> list[float]:
        """A metric's values: by coreset seed, or by evaluation seed where there is one coreset."""
        values = self.metrics[metric]
        return [float(np.mean(v)) for v in values] if len(values) > 1 else values[0]

    @cached_property
    def figure(self) -> Figure:
        """The primary metric, for comparisons."""
        values = self.metrics[self.primary]
        seeds = [float(np.mean(v)) for v in values] if self.drawn else self.by_seed(self.primary)
        return Figure(np.array(seeds), self.resamples.mean(0), self.n_examples, self.by_chance)

    @property
    def by_chance(self) -> bool:
        """Whether another seed would give another figure: a draw, or a head trained from one."""
        trained = not (self.task.startswith("heldout_") or self.selection in EXACT)
        return self.drawn or trained


def rows_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Places of each row's seeds among models or files, by the row's name."""
    rows: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        rows.setdefault(without_seed(name), []).append(place)
    return rows


def task_cells(
    task: str,
    names: Sequence[str],
    metrics: Sequence[str | Path],
    predictions: Sequence[str | Path],
    n_resamples: int,
    seed: int,
) -> list[Cell]:
    """The rows of one task.

    Args:
        names: coresets and baselines, aligned with their files of metrics and predictions.

    Raises:
        ValueError: two rows are not of the same test examples.
    """
    cells: list[Cell] = []
    for row, places in rows_of(names).items():
        reports = [read_json(metrics[place]) for place in places]
        kind, primary = reports[0]["kind"], reports[0]["primary"]
        runs = [from_table(read_table(predictions[i], PREDICTION), kind) for i in places]
        size = runs[0][0].n_distinct
        if cells and cells[0].n_examples != size:
            raise ValueError(
                f"{predictions[places[0]]}: {size} distinct test examples; "
                f"{cells[0].selection} has {cells[0].n_examples}: not comparable"
            )
        values = {m: [r["metrics"][m]["values"] for r in reports] for m in reports[0]["metrics"]}
        resamples = resampled_metric(METRICS[kind][primary], runs, n_resamples, seed)
        drawn = names[places[0]] != row
        protocol = reports[0]["protocol"]
        cells.append(Cell(task, row, primary, values, resamples, size, drawn, protocol))
    return cells


def _set_cells(name: str, held_out: HeldOut, n_resamples: int, seed: int) -> list[Cell]:
    """The rows of one held-out set."""
    figures = summarise(held_out)
    drawn = resampled(replace(held_out, groups={}), n_resamples, seed)["loss"]
    return [
        Cell(
            f"heldout_{name}",
            row,
            "loss",
            {m: [[float(figures[m][0, i])] for i in places] for m in held_out.metrics},
            drawn[:, places].T,
            held_out.n_units,
            held_out.models[places[0]] != row,
        )
        for row, places in rows_of(held_out.models).items()
    ]


def held_out_cells(
    names: Sequence[str],
    losses: Sequence[str | Path],
    groups: str | Path,
    n_resamples: int,
    seed: int,
) -> list[Cell]:
    """The rows of every held-out set.

    Args:
        names: models and `unigram`, aligned with their `losses`.
        groups: groupings of the held-out sequences, see `heldout.summary.read_held_out`.
    """
    tables = dict(zip(names, losses, strict=True))
    return [
        cell
        for name, held_out in read_held_out(tables, groups).items()
        for cell in _set_cells(name, held_out, n_resamples, seed)
    ]
