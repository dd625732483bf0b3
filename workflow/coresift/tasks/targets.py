"""From label text to targets: one row an example or a residue, or a map over its residues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.tasks.maps import Maps
from coresift.tasks.readers.record import TaskDataError
from coresift.tasks.sample import MASKED
from coresift.tasks.settings import UNKNOWN, Task


@dataclass(frozen=True)
class Targets:
    """Targets of a task's examples.

    Attributes:
        rows: one array an example: (1,) class ids or values, (1, labels), (residues,) ids, or a
            (residues, residues) map; -1 where masked.
        n_outputs: width of the head's output.
        classes: names of classes or labels in id order; empty where there are none.
    """

    rows: list[np.ndarray] | Maps
    n_outputs: int
    classes: list[str]

    @property
    def homeless(self) -> np.ndarray:
        """(n,) residues of each example that its file has and that have no sure place in it."""
        found = self.rows.homeless if isinstance(self.rows, Maps) else {}
        return np.array([found.get(i, 0) for i in range(len(self.rows))], dtype=np.int64)


def make_targets(task: Task, examples: pl.DataFrame, modality: str) -> Targets:
    """Parse the labels of all examples; classes come from the config or the train split.

    Raises:
        TaskDataError: a label cannot be read, or its class is not known.
    """
    if task.kind == "pairwise":
        return _pairwise(task, examples, modality)
    parse = {"multilabel": _multilabel, "scalar": _scalar, "token": _token}
    return parse.get(task.target, _class)(task, examples)


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
            raise TaskDataError(
                f"{example}: class {label!r} is not one of {classes} (classes, data.skip_labels)"
            )
        rows.append(np.array([index[label]]))
    return Targets(rows, len(classes), classes)


def _multilabel(task: Task, examples: pl.DataFrame) -> Targets:
    if task.data.label_separator is not None:
        return _named_labels(task, examples, task.data.label_separator)
    rows = []
    width = task.n_labels
    for example, label in examples.select("example_id", "label").iter_rows():
        digits = label.replace(",", " ").split() if not label.isdigit() else list(label)
        width = width or len(digits)
        if set(digits) - {"0", "1"} or len(digits) != width:
            raise TaskDataError(
                f"{example}: {label!r} is not {width} labels of 0 or 1 (n_labels; names need "
                "data.label_separator)"
            )
        rows.append(np.array([digits], dtype=np.float32))
    names = task.data.label if isinstance(task.data.label, list) else []
    return Targets(rows, int(width or 0), names)


def _named_labels(task: Task, examples: pl.DataFrame, separator: str) -> Targets:
    found = [
        [name.strip() for name in label.split(separator) if name.strip()]
        for label in examples["label"]
    ]
    train = (examples["split"] == "train").to_list()
    of_train = {name for names, known in zip(found, train, strict=True) if known for name in names}
    classes = task.classes or sorted(of_train)
    index = {name: i for i, name in enumerate(classes)}
    rows = []
    for example, names in zip(examples["example_id"], found, strict=True):
        unknown = sorted(set(names) - set(index))
        if unknown:
            raise TaskDataError(f"{example}: labels {unknown} are not in {classes} (classes)")
        row = np.zeros((1, len(classes)), dtype=np.float32)
        row[0, [index[name] for name in names]] = 1
        rows.append(row)
    return Targets(rows, len(classes), classes)


def _scalar(task: Task, examples: pl.DataFrame) -> Targets:
    rows = []
    for example, label in examples.select("example_id", "label").iter_rows():
        try:
            value = float(label)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise TaskDataError(f"{example}: {label!r} is not a finite number (kind, data.label)")
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
            raise TaskDataError(f"{example}: labels {unknown} are not in {classes} (classes)")
        if len(label) != len(sequence):
            raise TaskDataError(
                f"{example}: {len(label)} labels for a sequence of {len(sequence)} residues "
                "(data.label, data.sequence)"
            )
        rows.append(np.array([index[c] for c in label]))
    return Targets(rows, len(classes), classes)


def _pairwise(task: Task, examples: pl.DataFrame, modality: str) -> Targets:
    labels, sequences = examples["label"].to_list(), examples["sequence"].to_list()
    maps = Maps(labels, sequences, modality, task.pairwise)
    for i, example in enumerate(examples["example_id"]):
        try:
            maps.check(i)
        except (OSError, ValueError) as error:
            raise TaskDataError(f"{example}: {error} (data.label)") from error
    return Targets(maps, 1, [])


def check_known(
    task: Task, targets: Targets, known: ScaledTargets, splits: Mapping[str, np.ndarray]
) -> None:
    """Hold what is read of train and valid, and counts in test, to what every row needs.

    Args:
        splits: numbers of the examples of each split.

    Raises:
        TaskDataError: no label of a split is known, or train has one class only.
    """
    files = ", ".join(task.data.files())
    for name, members in splits.items() if task.kind in ("token", "pairwise") else ():
        labels = known.truth if name == "test" else known.raw
        if not any((labels(i) != MASKED).any() for i in members):
            raise TaskDataError(f"{files}: no label of the {name} split is known")
    if task.target in ("class", "token"):
        found = np.unique(np.concatenate([known.raw(i) for i in splits["train"]]))
        found = found[found != MASKED]
        if len(found) == 1:
            raise TaskDataError(
                f"{files}: the train split has one class only, {targets.classes[found[0]]!r}; "
                "there is nothing to learn"
            )


class ScaledTargets:
    """Targets as the loss sees them: cropped to the model's input, numbers scaled.

    Scalars are standardised by train's mean and deviation; distances are divided by train's
    deviation only, so that they stay apart from the mask.

    Metrics see more: the residues within the task's `max_tokens`, the same for every model. What a
    model does not read of them gets the prediction of one that knows nothing (`complete`).
    """

    def __init__(
        self, task: Task, targets: Targets, lengths: np.ndarray, room: int, train: np.ndarray
    ) -> None:
        self._targets = targets
        self._counted = lengths.clip(max=task.max_tokens - 2)
        self._lengths = self._counted.clip(max=room)
        self._per_residue = task.kind in ("token", "pairwise")
        self._distance = task.metrics == "pairwise_distance"
        self._number = task.target == "scalar" or self._distance
        self._shift, self._scale = 0.0, 1.0
        #: The prediction of what is not read: no pair, the mean distance, or none, which is wrong.
        self._unread = 0.0 if task.metrics == "pairwise_structure" else float("nan")
        if self._number:
            mean, self._scale = self._moments(train)
            self._shift = 0.0 if self._distance else mean
            self._unread = mean

    def _moments(self, train: np.ndarray) -> tuple[float, float]:
        """Mean and deviation of train's known numbers, one example at a time."""
        n, total, squares = 0, 0.0, 0.0
        for i in train:
            values = self.raw(i).astype(np.float64)
            values = values[values != MASKED] if self._distance else values
            n, total, squares = n + values.size, total + values.sum(), squares + (values**2).sum()
        mean = total / max(1, n)
        return mean, max(squares / max(1, n) - mean**2, 0.0) ** 0.5 or 1.0

    def length(self, example: int) -> int:
        """Residues that the model reads."""
        return int(self._lengths[example])

    def counted(self, example: int) -> int:
        """Residues that count in metrics."""
        return int(self._counted[example])

    def raw(self, example: int) -> np.ndarray:
        """Target of what the model reads, in the label's unit."""
        return self._first(example, self.length(example))

    def truth(self, example: int) -> np.ndarray:
        """Target of what counts in metrics, in the label's unit."""
        return self._first(example, self.counted(example))

    def complete(self, example: int, prediction: np.ndarray) -> np.ndarray:
        """A prediction of what counts in metrics, from one of what the model reads."""
        missing = self.counted(example) - self.length(example)
        if not self._per_residue or missing == 0:
            return prediction
        margins = [(0, missing)] * prediction.ndim
        return np.pad(prediction.astype(np.float64), margins, constant_values=self._unread)

    def _first(self, example: int, n: int) -> np.ndarray:
        target = self._targets.rows[example]
        return target[(slice(n),) * target.ndim] if self._per_residue else target

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
