"""How many examples a task has, and how long: of its files, or as published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from coresift.cost.calibration import EstimateError
from coresift.settings import Positive, Section
from coresift.tasks.data import encoded_columns, read_task
from coresift.tasks.settings import SIZES, Task, task_table
from coresift.tasks.splits import SPLITS


class Published(Section):
    """A task's published size: key `sizes` of resources/tasks.yaml."""

    source: str = Field(description="where the numbers are from, and of what the lengths are")
    train: Positive
    valid: Positive
    test: Positive
    mean: float = Field(ge=1, description="residues of a sequence that the model reads")
    longest: Positive

    def lengths(self, split: str) -> np.ndarray:
        """(n,) residues of a typical split: quantiles of a log-normal distribution.

        It is the one that has the published mean, and whose largest of all examples is expected
        where the published one is (at the quantile 1 - 1 / 2n). Rising.
        """
        n, total = getattr(self, split), sum(getattr(self, s) for s in SPLITS)
        top = float(ndtri(1 - 0.5 / total))
        spread = top - np.sqrt(max(0.0, top**2 - 2 * np.log(self.longest / self.mean)))
        curve = np.exp(spread * ndtri((np.arange(n) + 0.5) / n))
        lengths = np.rint(curve * self.mean / curve.mean()).astype(np.int64)
        return lengths.clip(1, self.longest)


@dataclass(frozen=True)
class Examples:
    """Residues of a task's examples.

    Attributes:
        lengths: by split, (columns, examples): of every sequence that the model reads.
        published: they are not of the task's files, which are not here.
    """

    lengths: dict[str, np.ndarray]
    published: bool

    def tokens(self, split: str, most: int) -> np.ndarray:
        """(columns, examples) tokens, cropped to `most`."""
        return np.minimum(self.lengths[split] + 2, most)


def here(task: Task) -> bool:
    """Whether a task's files are."""
    return all(Path(file).exists() for file in task.data.files())


def published(task: Task) -> Published | None:
    """The published size of a task's preset."""
    sizes = None if task.preset is None else task_table()[task.preset].get(SIZES)
    return None if sizes is None else Published.model_validate(sizes)


def examples(task: Task, modality: str) -> Examples | None:
    """Lengths of a task's examples; None where its files are not here and no size is published.

    Raises:
        TaskDataError: its files are here and cannot be read.
        EstimateError: the sample has no example of the published size.
    """
    columns = encoded_columns(task, modality)
    if here(task):
        read = read_task(task, modality)
        lengths = {
            split: np.stack([read.split(split)[c].str.len_bytes().to_numpy() for c in columns])
            for split in SPLITS
        }
        return Examples({s: n.astype(np.int64) for s, n in lengths.items()}, False)
    size = published(task)
    if size is None:
        return None
    return Examples({s: _sampled(task, size, s, columns) for s in SPLITS}, True)


def _sampled(task: Task, size: Published, split: str, columns: Iterable[str]) -> np.ndarray:
    """(columns, examples) residues; partners are as long as each other."""
    lengths, sample = size.lengths(split), task.sample
    if sample is not None:
        lengths = lengths[lengths <= (sample.max_length or np.inf)]
        if not len(lengths):
            raise EstimateError(
                f"{task.preset}: no {split} example is within {sample.max_length} residues "
                "(sample.max_length), of the published size"
            )
        most = getattr(sample, split) or len(lengths)
        if most < len(lengths):
            lengths = lengths[np.linspace(0, len(lengths) - 1, most).round().astype(int)]
    return np.stack([lengths for _ in columns])
