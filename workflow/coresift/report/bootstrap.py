"""Bootstrap samples of test examples and of coreset seeds, and the interval of one selection.

A resample draws distinct test examples with their copies, which are no evidence of their own, the
same ones for every selection of a task; evaluation seeds are averaged. Of S coreset seeds it draws
S - 1: the variance of a mean of S - 1 draws is then s^2 / S, unbiased however few there are (Rao &
Wu 1988). Percentiles of so few seeds are still too narrow: whether two selections differ is asked
in `report.difference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from coresift.hashing import seeded_generator
from coresift.tasks.metrics import Metric
from coresift.tasks.sample import Sample


@lru_cache(maxsize=1)
def example_counts(n: int, n_resamples: int, seed: int) -> np.ndarray:
    """(n_resamples, n) uint16: how often each of n is drawn, by equal n and seed equal."""
    generator = seeded_generator(seed, "examples")
    counts = np.empty((n_resamples, n), np.uint16)
    for row in counts:
        row[:] = np.bincount(generator.integers(n, size=n), minlength=n)
    return counts


def resampled_metric(
    metric: Metric, runs: Sequence[Sequence[Sample]], n_resamples: int, seed: int
) -> np.ndarray:
    """(S, n_resamples) values of `metric` by coreset seed, averaged over evaluation seeds.

    Examples are resampled whole, and copies of one sequence or pair together: a sequence's residues
    and its copies are not independent.

    Args:
        runs: by coreset seed, then by evaluation seed: samples of the same examples in one order.
        n_resamples: bootstrap samples.
        seed: of the resampling; equal seeds draw equal examples.
    """

    def values(sample: Sample) -> np.ndarray:
        counts = example_counts(sample.n_distinct, n_resamples, seed)
        return metric.resample(sample, counts[:, sample.distinct_numbers])

    return np.array([np.mean([values(sample) for sample in part], axis=0) for part in runs])


def over_seeds(values: np.ndarray, seed: int) -> np.ndarray:
    """(R,) means over drawn coreset seeds of (S, R) resampled values."""
    n_seeds, n_resamples = values.shape
    drawn = seeded_generator(seed, "coreset_seeds").integers(
        n_seeds, size=(n_resamples, max(1, n_seeds - 1))
    )
    return np.take_along_axis(values.T, drawn, axis=1).mean(axis=1)


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
