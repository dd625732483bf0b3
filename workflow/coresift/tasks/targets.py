"""From label text to targets: one row an example or a residue, or a map over its residues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.config import Task
from coresift.tasks.data import TaskDataError
from coresift.tasks.sample import MASKED
from coresift.tasks.structure import dot_bracket_partners, pair_matrix

#: Characters of a token label that are masked out.
UNKNOWN = frozenset("-x?")


class Maps:
    """(L, L) float32 maps made when asked for: memory is one map, not the data set's.

    A label is a dot-bracket string or the path of an .npy file (the map, -1 or NaN where unknown).
    """

    def __init__(self, labels: list[str]) -> None:
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> np.ndarray:
        label = self._labels[index]
        if label.endswith(".npy"):
            return np.nan_to_num(np.load(label).astype(np.float32), nan=-1.0)
        return pair_matrix(dot_bracket_partners(label))


@dataclass(frozen=True)
class Targets:
    """Targets of a task's examples.

    Attributes:
        rows: one array an example: (1,) class ids or values, (1, labels), (residues,) ids, or a
            (residues, residues) map; -1 where masked.
        n_outputs: width of the head's output.
        classes: class names in id order; empty for scalar and multilabel.
    """

    rows: list[np.ndarray] | Maps
    n_outputs: int
    classes: list[str]


def make_targets(task: Task, examples: pl.DataFrame) -> Targets:
    """Parse the labels of all examples; classes come from the config or the train split.

    Raises:
        TaskDataError: a label cannot be read, or its class is not known.
    """
    parse = {
        "multilabel": _multilabel,
        "scalar": _scalar,
        "token": _token,
        "pairwise": _pairwise,
    }.get(task.kind, _class)
    return parse(task, examples)


def _classes(task: Task, examples: pl.DataFrame, per_token: bool) -> list[str]:
    if task.classes is not None:
        return task.classes
    labels = examples.filter(pl.col("split") == "train")["label"]
    if per_token:
        return sorted(set("".join(labels)) - UNKNOWN)
    return sorted(set(labels))


def _class(task: Task, examples: pl.DataFrame) -> Targets:
    classes = _classes(task, examples, per_token=False)
    index = {name: i for i, name in enumerate(classes)}
    rows = []
    for example, label in examples.select("example_id", "label").iter_rows():
        if label not in index:
            raise TaskDataError(f"{example}: class {label!r} is not one of {classes}")
        rows.append(np.array([index[label]]))
    return Targets(rows, len(classes), classes)


def _multilabel(task: Task, examples: pl.DataFrame) -> Targets:
    rows = []
    width = task.n_labels
    for example, label in examples.select("example_id", "label").iter_rows():
        digits = label.replace(",", " ").split() if not label.isdigit() else list(label)
        width = width or len(digits)
        if set(digits) - {"0", "1"} or len(digits) != width:
            raise TaskDataError(f"{example}: {label!r} is not {width} labels of 0 or 1")
        rows.append(np.array([digits], dtype=np.float32))
    return Targets(rows, int(width or 0), [])


def _scalar(task: Task, examples: pl.DataFrame) -> Targets:
    rows = []
    for example, label in examples.select("example_id", "label").iter_rows():
        try:
            value = float(label)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise TaskDataError(f"{example}: {label!r} is not a finite number")
        rows.append(np.array([value]))
    return Targets(rows, 1, [])


def _token(task: Task, examples: pl.DataFrame) -> Targets:
    classes = _classes(task, examples, per_token=True)
    index = {name: i for i, name in enumerate(classes)} | dict.fromkeys(UNKNOWN, MASKED)
    rows = []
    columns = examples.select("example_id", "label", "sequence")
    for example, label, sequence in columns.iter_rows():
        unknown = sorted(set(label) - set(index))
        if unknown:
            raise TaskDataError(f"{example}: labels {unknown} are not in {classes}")
        if len(label) != len(sequence):
            raise TaskDataError(
                f"{example}: {len(label)} labels for a sequence of {len(sequence)} residues"
            )
        rows.append(np.array([index[c] for c in label]))
    return Targets(rows, len(classes), classes)


def _pairwise(task: Task, examples: pl.DataFrame) -> Targets:
    maps = Maps(examples["label"].to_list())
    columns = examples.select("example_id", "label", "sequence")
    for example, label, sequence in columns.iter_rows():
        size = len(sequence)
        try:
            if label.endswith(".npy"):
                shape = np.load(label, mmap_mode="r").shape
            else:
                shape = (len(dot_bracket_partners(label)),) * 2
        except (OSError, ValueError) as error:
            raise TaskDataError(f"{example}: no map of residue pairs: {error}") from error
        if shape != (size, size):
            raise TaskDataError(f"{example}: a map of {shape} for a sequence of {size} residues")
    return Targets(maps, 1, [])


class ScaledTargets:
    """Targets as the loss sees them: cropped to the model's input, numbers scaled.

    Scalars are standardised by train's mean and deviation; distances are divided by train's
    deviation only, so that they stay apart from the mask.
    """

    def __init__(self, task: Task, targets: Targets, room: int, train: np.ndarray) -> None:
        self._targets = targets
        self._per_residue = task.kind in ("token", "pairwise")
        self._room = room
        self._distance = task.metrics == "pairwise_distance"
        self._number = task.kind == "scalar" or self._distance
        self._shift, self._scale = 0.0, 1.0
        if self._number:
            mean, self._scale = self._moments(train)
            self._shift = 0.0 if self._distance else mean

    def _moments(self, train: np.ndarray) -> tuple[float, float]:
        """Mean and deviation of train's known numbers, one example at a time."""
        n, total, squares = 0, 0.0, 0.0
        for i in train:
            values = self.raw(i).astype(np.float64)
            values = values[values != MASKED] if self._distance else values
            n, total, squares = n + values.size, total + values.sum(), squares + (values**2).sum()
        mean = total / max(1, n)
        return mean, max(squares / max(1, n) - mean**2, 0.0) ** 0.5 or 1.0

    def raw(self, example: int) -> np.ndarray:
        """Target in the label's unit."""
        target = self._targets.rows[example]
        return target[(slice(self._room),) * target.ndim] if self._per_residue else target

    def __call__(self, example: int) -> np.ndarray:
        """Target in the loss's unit."""
        raw = self.raw(example)
        if not self._number:
            return raw
        scaled = (raw - self._shift) / self._scale
        return np.where(raw == MASKED, raw, scaled) if self._distance else scaled

    def unscale(self, prediction: np.ndarray) -> np.ndarray:
        """A prediction in the label's unit."""
        return prediction * self._scale + self._shift
