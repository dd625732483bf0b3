"""What an evaluation writes: metrics over seeds and the table of predictions."""

from __future__ import annotations

from typing import Any

import polars as pl

from coresift.tasks.data import SPLITS, Examples
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import Sample, to_table
from coresift.tasks.seeds import over_seeds
from coresift.tasks.settings import Task
from coresift.tasks.targets import Targets


def result(
    task: Task,
    examples: Examples,
    targets: Targets,
    runs: dict[int, Sample],
    extra: dict[str, Any],
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics over seeds and the table of predictions, from samples of the test split by seed."""
    values = {
        name: [metric(run) for run in runs.values()]
        for name, metric in METRICS[task.metrics].items()
    }
    metrics = {
        "kind": task.metrics,
        "primary": task.primary,
        "classes": targets.classes,
        "examples": {s: examples.split(s).height for s in SPLITS},
        "notes": examples.notes | targets.notes,
        "seeds": list(runs),
        "metrics": over_seeds(values),
        **extra,
    }
    ids = examples.frame["example_id"]
    return metrics, pl.concat(to_table(run, ids, seed) for seed, run in runs.items())
