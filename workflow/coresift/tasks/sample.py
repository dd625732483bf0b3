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
        distinct: (rows,) number of the distinct sequence or pair of each row's example, equal for
            copies; None where every example is one of its own.

    A prediction is NaN where the model did not read the residue, or one of the pair.
    """

    targets: np.ndarray
    predictions: np.ndarray
    groups: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray
    distinct: np.ndarray | None = None

    @cached_property
    def numbers(self) -> np.ndarray:
        """(rows,) number of each row's example among those that have rows, from 0."""
        return np.unique(self.groups, return_inverse=True)[1]

    @property
    def n_examples(self) -> int:
        """Number of examples that have rows."""
        return int(self.numbers[-1]) + 1 if len(self.numbers) else 0

    @cached_property
    def distinct_numbers(self) -> np.ndarray:
        """(n_examples,) number of each example's distinct sequence or pair, from 0."""
        if self.distinct is None:
            return np.arange(self.n_examples)
        first = np.flatnonzero(np.diff(self.numbers, prepend=-1))
        return np.unique(self.distinct[first], return_inverse=True)[1]

    @property
    def n_distinct(self) -> int:
        """Number of distinct sequences or pairs that have rows."""
        return int(self.distinct_numbers.max(initial=-1)) + 1

    def take(self, rows: np.ndarray) -> Sample:
        """Some of the rows, in the order given."""
        return Sample(
            self.targets[rows],
            self.predictions[rows],
            self.groups[rows],
            self.positions[rows],
            self.lengths[rows],
            None if self.distinct is None else self.distinct[rows],
        )

    def examples(self) -> list[Sample]:
        """One sample an example."""
        cuts = np.flatnonzero(np.diff(self.groups)) + 1
        return [self.take(rows) for rows in np.split(np.arange(len(self.groups)), cuts)]


def _pair_rows(task: Task, target: np.ndarray, output: np.ndarray, least: float) -> np.ndarray:
    """Flat indices of the entries that the metrics of a pairwise task need.

    distance: every known entry. structure: true pairs and those above `least`. contact: the L most
    probable in the upper triangle from `min_separation` on, and of those not read the one that says
    where they begin. Beside these entry 0, so that every example has a row.
    """
    known = target != MASKED
    if task.pairwise.target == "distance":
        needed = known
    elif task.pairwise.target == "structure":
        needed = known & ((target == 1) | (output > least))
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
    task: Task,
    known: Known,
    examples: np.ndarray,
    predictions: Iterable[np.ndarray],
    least: float = 0.5,
) -> Sample:
    """Gather targets and predictions of examples; what no metric reads is left out.

    Masked rows are dropped (for pairwise all but entry 0).

    Args:
        least: probability above which a base pair may be a predicted one.
    """
    parts = []
    for example, output in zip(examples, predictions, strict=True):
        target, length = known.truth(example), known.counted(example)
        output = known.complete(example, output)
        if task.kind == "pairwise":
            positions = _pair_rows(task, target, output, least)
            target, output = target.ravel()[positions], output.ravel()[positions]
        elif task.kind == "token":
            positions = np.flatnonzero(target != MASKED)
            target, output = target[positions], output[positions]
        else:
            positions = np.arange(len(target))
        size = len(positions)
        parts.append((target, output, np.full(size, example), positions, np.full(size, length)))
    return Sample(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def to_table(sample: Sample, examples: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Rows of `PREDICTION`.

    Args:
        examples: columns example_id and distinct; the sample's groups are its rows.
    """
    groups, lengths = sample.groups, sample.lengths
    target, value, position = sample.targets, sample.predictions, sample.positions
    if target.ndim == 2:  # multilabel: one row a label
        width = target.shape[1]
        position = np.tile(np.arange(width), len(target))
        groups, lengths = np.repeat(groups, width), np.repeat(lengths, width)
        target, value = target.ravel(), value.ravel()
    columns = {
        "example_id": examples["example_id"].gather(groups),
        "distinct": examples["distinct"].gather(groups),
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
        names = ("target", "prediction", "position", "length", "distinct")
        targets, predictions, positions, lengths, distinct = (rows[n].to_numpy() for n in names)
        if metrics == "multilabel":
            width = int(positions.max()) + 1
            targets, predictions = targets.reshape(-1, width), predictions.reshape(-1, width)
            groups, positions, lengths = groups[::width], positions[::width], lengths[::width]
            distinct = distinct[::width]
        samples.append(Sample(targets, predictions, groups, positions, lengths, distinct))
    return samples
