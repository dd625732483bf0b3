"""From label text to target rows: one row an example, or one a residue for kind token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.config import Task
from coresift.tasks.data import TaskDataError

#: Characters of a token label that are masked out.
MASKED = frozenset("-x?")


@dataclass(frozen=True)
class Targets:
    """Targets of a task's examples.

    Attributes:
        rows: one array an example: (1,) class ids or values, (1, labels), or (residues,) ids
            with -1 where masked.
        n_outputs: width of the head's output.
        classes: class names in id order; empty for scalar and multilabel.
    """

    rows: list[np.ndarray]
    n_outputs: int
    classes: list[str]


def make_targets(task: Task, examples: pl.DataFrame) -> Targets:
    """Parse the labels of all examples; classes come from the config or the train split.

    Raises:
        TaskDataError: a label cannot be read, or its class is not known.
    """
    parse = {"multilabel": _multilabel, "scalar": _scalar, "token": _token}.get(task.kind, _class)
    return parse(task, examples)


def _classes(task: Task, examples: pl.DataFrame, per_token: bool) -> list[str]:
    if task.classes is not None:
        return task.classes
    labels = examples.filter(pl.col("split") == "train")["label"]
    if per_token:
        return sorted(set("".join(labels)) - MASKED)
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
    index = {name: i for i, name in enumerate(classes)} | dict.fromkeys(MASKED, -1)
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
