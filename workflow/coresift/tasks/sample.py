"""Test examples row by row: what metrics read, and its table of predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl

from coresift.tables import conform
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION

#: Target of a residue or pair that is not known.
MASKED = -1


@dataclass(frozen=True)
class Sample:
    """Targets and predictions of some examples, all rows of an example together.

    Attributes:
        targets, predictions: (rows,) class ids, values or probabilities; (rows, labels) for
            multilabel.
        groups: (rows,) example of each row: ascending, not every number need be there.
        positions: (rows,) residue, or i * length + j for a pair; 0 for one row an example.
        lengths: (rows,) residues of the example that count.

    A prediction is NaN where the model did not read the residue, or one of the pair.
    """

    targets: np.ndarray
    predictions: np.ndarray
    groups: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray

    @cached_property
    def numbers(self) -> np.ndarray:
        """(rows,) number of each row's example among those that have rows, from 0."""
        return np.unique(self.groups, return_inverse=True)[1]

    @property
    def n_examples(self) -> int:
        """Number of examples that have rows."""
        return int(self.numbers[-1]) + 1 if len(self.numbers) else 0

    def take(self, rows: np.ndarray) -> Sample:
        """Some of the rows, in the order given."""
        parts = (self.targets, self.predictions, self.groups, self.positions, self.lengths)
        return Sample(*(part[rows] for part in parts))

    def examples(self) -> list[Sample]:
        """One sample an example."""
        cuts = np.flatnonzero(np.diff(self.groups)) + 1
        return [self.take(rows) for rows in np.split(np.arange(len(self.groups)), cuts)]


def _pair_rows(task: Task, target: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Flat indices of the entries that the metrics of a pairwise task need.

    distance: every known entry. structure: true or predicted pairs. contact: the L most probable
    in the upper triangle from `min_separation` on, and of those not read the one that says where
    they begin. Beside these entry 0, so that every example has a row.
    """
    known = target != MASKED
    if task.pairwise.target == "distance":
        needed = known
    elif task.pairwise.target == "structure":
        needed = known & ((target == 1) | (output > 0.5))
    else:
        allowed = np.flatnonzero(np.triu(known, task.pairwise.min_separation))
        values = output.ravel()[allowed]
        order = np.argsort(-values, kind="stable")
        needed = np.zeros(target.shape, dtype=bool)
        needed.ravel()[allowed[order[: len(target)]]] = True
        unread = allowed[np.isnan(values)]
        needed.ravel()[unread[np.argsort(unread % len(target), kind="stable")[:1]]] = True
    needed[0, 0] = True
    return np.flatnonzero(needed)


class Known(Protocol):
    """What is known of a task's examples, by number."""

    def truth(self, example: int) -> np.ndarray:
        """Target in the label's unit: rows, or (L, L) for kind pairwise."""
        ...

    def complete(self, example: int, prediction: np.ndarray) -> np.ndarray:
        """A prediction with what the model does not read."""
        ...

    def counted(self, example: int) -> int:
        """Residues that count in metrics."""
        ...


def make_sample(
    task: Task, known: Known, examples: np.ndarray, predictions: Iterable[np.ndarray]
) -> Sample:
    """Gather targets and predictions of examples; what no metric reads is left out.

    Masked rows are dropped (for pairwise all but entry 0).
    """
    parts = []
    for example, output in zip(examples, predictions, strict=True):
        target, length = known.truth(example), known.counted(example)
        output = known.complete(example, output)
        if task.kind == "pairwise":
            positions = _pair_rows(task, target, output)
            target, output = target.ravel()[positions], output.ravel()[positions]
        elif task.kind == "token":
            positions = np.flatnonzero(target != MASKED)
            target, output = target[positions], output[positions]
        else:
            positions = np.arange(len(target))
        size = len(positions)
        parts.append((target, output, np.full(size, example), positions, np.full(size, length)))
    return Sample(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def to_table(sample: Sample, example_ids: pl.Series, seed: int) -> pl.DataFrame:
    """Rows of `PREDICTION`; the sample's groups are indices of `example_ids`."""
    names = example_ids.gather(sample.groups)
    target, value, position = sample.targets, sample.predictions, sample.positions
    lengths = sample.lengths
    if target.ndim == 2:  # multilabel: one row a label
        width = target.shape[1]
        position = np.tile(np.arange(width), len(target))
        names = example_ids.gather(np.repeat(sample.groups, width))
        lengths = np.repeat(lengths, width)
        target, value = target.ravel(), value.ravel()
    columns = {
        "example_id": names,
        "seed": seed,
        "position": position,
        "length": lengths,
        "target": target,
        "prediction": value,
    }
    return conform(pl.DataFrame(columns), PREDICTION)


def from_table(table: pl.DataFrame, metrics: str) -> list[Sample]:
    """The samples of a predictions table, one a seed in ascending order.

    Args:
        table: columns of `PREDICTION`.
        metrics: the task's set of metrics, `kind` in metrics.json.
    """
    samples = []
    for seed in table["seed"].unique().sort():
        rows = table.filter(pl.col("seed") == seed)
        groups = rows["example_id"].rle_id().to_numpy()
        columns = [rows[name].to_numpy() for name in ("target", "prediction", "position", "length")]
        targets, predictions, positions, lengths = columns
        if metrics == "multilabel":
            width = int(positions.max()) + 1
            targets, predictions = targets.reshape(-1, width), predictions.reshape(-1, width)
            groups, positions, lengths = groups[::width], positions[::width], lengths[::width]
        samples.append(Sample(targets, predictions, groups, positions, lengths))
    return samples
