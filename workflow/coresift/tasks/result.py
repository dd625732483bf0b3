"""What an evaluation writes: metrics over seeds and the table of predictions."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from coresift.tasks.data import Examples
from coresift.tasks.metrics import METRICS
from coresift.tasks.notes import NO_SPLIT, Notes, count_by_split
from coresift.tasks.sample import Sample, to_table
from coresift.tasks.seeds import over_seeds
from coresift.tasks.settings import Task
from coresift.tasks.splits import SPLITS
from coresift.tasks.targets import Targets


@dataclass(frozen=True)
class Run:
    """One seed: a sample of the test split, and how its training went (None without epochs)."""

    sample: Sample
    training: dict[str, Any] | None = None


def result(
    task: Task,
    examples: Examples,
    targets: Targets,
    runs: dict[int, Run],
    unread: np.ndarray,
    extra: dict[str, Any],
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics over seeds and the table of predictions, from the runs by seed.

    Args:
        unread: (columns, n) residues of each sequence that are not read (`count_cropped`).
    """
    values = {
        name: [metric(run.sample) for run in runs.values()]
        for name, metric in METRICS[task.metrics].items()
    }
    metrics = {
        "kind": task.metrics,
        "protocol": task.protocol_name,
        "primary": task.primary,
        "classes": targets.classes,
        "examples": {s: examples.split(s).height for s in SPLITS},
        "notes": _notes(examples, targets, unread),
        "seeds": list(runs),
        "training": [{"seed": s, **run.training} for s, run in runs.items() if run.training],
        "metrics": over_seeds(values),
        **extra,
    }
    tables = (to_table(run.sample, examples.frame, seed) for seed, run in runs.items())
    return metrics, pl.concat(tables)


def _notes(examples: Examples, targets: Targets, unread: np.ndarray) -> Notes:
    """All that is to be said of the examples, by split."""
    notes = copy.deepcopy(examples.notes)
    splits = {split: examples.indices(split) for split in SPLITS}
    count_by_split(notes, splits, "cropped_sequences", (unread > 0).sum(0))
    count_by_split(notes, splits, "cropped_residues", unread.sum(0))
    count_by_split(notes, splits, "residues_of_unknown_place", targets.homeless)
    return {split: notes[split] for split in (*SPLITS, NO_SPLIT) if split in notes}
