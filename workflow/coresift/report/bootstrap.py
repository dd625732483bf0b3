"""Bootstrap intervals and paired comparisons of selections.

A resample draws test examples (the same ones for every selection of a task, so differences are
paired) and coreset seeds; evaluation seeds are averaged. With few coreset seeds the spread between
them is underestimated: three or more are worth their cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coresift.hashing import seeded_generator
from coresift.tasks.metrics import Metric


def resampled_metric(
    metric: Metric,
    targets: np.ndarray,
    runs: Sequence[Sequence[np.ndarray]],
    groups: np.ndarray,
    n_resamples: int,
    seed: int,
) -> np.ndarray:
    """(n_resamples,) values of `metric`, averaged over runs.

    Args:
        targets: (rows, ...) targets, the same for every run.
        runs: by coreset seed, then by evaluation seed: predictions aligned with `targets`.
        groups: (rows,) example of each row: examples are resampled whole (a sequence's tokens
            are not independent).
        n_resamples: bootstrap samples.
        seed: of the resampling; equal seeds draw equal examples and coreset seeds.
    """
    examples, seeds = (seeded_generator(seed, name) for name in ("examples", "coreset_seeds"))
    _, first = np.unique(groups, return_index=True)
    members = np.split(np.arange(len(groups)), np.sort(first)[1:])
    single = len(members) == len(groups)
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        drawn = examples.integers(len(members), size=len(members))
        rows = drawn if single else np.concatenate([members[j] for j in drawn])
        chosen, counts = np.unique(seeds.integers(len(runs), size=len(runs)), return_counts=True)
        means = [np.mean([metric(targets[rows], run[rows]) for run in runs[s]]) for s in chosen]
        values[i] = np.average(means, weights=counts)
    return values


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float:
    """Bootstrap p-value of 'no difference': twice the smaller tail, never 0."""
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(differences) + 1))
