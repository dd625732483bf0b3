"""Bootstrap intervals and paired comparisons of selections.

A resample draws test examples (the same ones for every selection of a task, so differences are
paired) and coreset seeds; evaluation seeds are averaged. Of S coreset seeds it draws S - 1: the
variance of a mean of S - 1 draws is then s^2 / S, unbiased however few there are (Rao & Wu 1988).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from coresift.hashing import seeded_generator
from coresift.tasks.metrics import Metric
from coresift.tasks.sample import Sample


def resampled_metric(
    metric: Metric, runs: Sequence[Sequence[Sample]], n_resamples: int, seed: int
) -> np.ndarray:
    """(n_resamples,) values of `metric`, averaged over runs.

    Examples are resampled whole: a sequence's residues are not independent.

    Args:
        runs: by coreset seed, then by evaluation seed: samples of the same examples in one order.
        n_resamples: bootstrap samples.
        seed: of the resampling; equal seeds draw equal examples and coreset seeds.
    """

    def examples(size: int) -> Iterator[np.ndarray]:
        generator = seeded_generator(seed, "examples")
        return (generator.integers(size, size=size) for _ in range(n_resamples))

    values = np.array(
        [
            np.mean([metric.resample(run, examples(run.n_examples)) for run in part], axis=0)
            for part in runs
        ]
    )
    seeds = seeded_generator(seed, "coreset_seeds").integers(
        len(runs), size=(n_resamples, max(1, len(runs) - 1))
    )
    return np.take_along_axis(values.T, seeds, axis=1).mean(axis=1)


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float:
    """Bootstrap p-value of 'no difference': twice the smaller tail, never 0."""
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(differences) + 1))
