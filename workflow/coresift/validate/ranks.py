"""Rank correlation, its interval, what is left of it without length, and noise of repeats."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from coresift.hashing import seeded_generator


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis; ties get their mean rank.

    Args:
        x, y: (..., n), of shapes that broadcast.

    Returns:
        (...) float64; NaN where a row is constant.
    """
    return correlation(rankdata(x, axis=-1), rankdata(y, axis=-1))


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis; NaN where a row is constant."""
    x = x - x.mean(-1, keepdims=True)
    y = y - y.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def spearman_interval(
    x: np.ndarray, y: np.ndarray, n_resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval of Spearman's correlation over pairs.

    Equal seeds and n draw equal pairs. Resamples without a correlation (all one pair) are left out.

    Args:
        x, y: (n,).
    """
    rows = seeded_generator(seed, "pairs").integers(len(x), size=(n_resamples, len(x)))
    values = spearman(x[rows], y[rows])
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def best_by_chance(x: np.ndarray, n_resamples: int, confidence: float, seed: int) -> float:
    """What the largest of k Spearman correlations with one order stays below by chance.

    The quantile `confidence` of the largest, over random orders: the ways that are tried are alike,
    so they count as fewer than k.

    Args:
        x: (k, n) predictions; one that is constant correlates with nothing and is left out.
    """
    ways = [ranks for ranks in rankdata(x, axis=-1) if np.ptp(ranks)]
    if not ways:
        return float("nan")
    orders = seeded_generator(seed, "orders").permuted(
        np.tile(np.arange(x.shape[-1], dtype=np.float64), (n_resamples, 1)), axis=1
    )
    largest = np.max([correlation(orders, ranks) for ranks in ways], axis=0)
    return float(np.quantile(largest, confidence))


def partial_spearman(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Rank correlation of x and y with a third variable's taken out, (n,) each.

    Kendall & Stuart: (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)); NaN where x or y is a
    function of the third. Where that is constant there is nothing to take out.
    """
    r_xy, r_xz, r_yz = (float(spearman(a, b)) for a, b in ((x, y), (x, given), (y, given)))
    if len(np.unique(given)) == 1:
        return r_xy
    scale = (1 - r_xz**2) * (1 - r_yz**2)
    return (r_xy - r_xz * r_yz) / scale**0.5 if scale > 1e-12 else float("nan")


def rank_bins(values: np.ndarray, n_bins: int) -> np.ndarray:
    """(n,) bins of equal count, 0 .. n_bins - 1; equal values share one."""
    edges = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def top_overlap(
    x: np.ndarray, y: np.ndarray, share: float, bins: np.ndarray | None = None
) -> float:
    """Share of the highest `share` of x that is among the highest of y; ties by row order.

    Args:
        x, y: (n,).
        bins: (n,); the highest of each bin are taken, where they are given.
    """
    bins = np.zeros(len(x), dtype=int) if bins is None else bins
    both = taken = 0
    for value in np.unique(bins):
        rows = np.flatnonzero(bins == value)
        k = max(1, round(share * len(rows)))
        top_x, top_y = (set(np.argsort(-v[rows], kind="stable")[:k]) for v in (x, y))
        both += len(top_x & top_y)
        taken += k
    return both / taken


def between_repeats(repeats: np.ndarray) -> float | None:
    """Standard deviation of the repeats of one thing, pooled over things; None for one repeat.

    Args:
        repeats: (seeds, n).
    """
    return float(repeats.var(0, ddof=1).mean() ** 0.5) if len(repeats) > 1 else None


def reliability(repeats: np.ndarray) -> float:
    """Mean Spearman correlation of every two rows of (seeds, n); NaN for one row.

    How far one repeat's order is that of another: no prediction can be asked to do much better than
    the square root of the reliability of the rows' mean (`mean_reliability`).
    """
    pairs = np.triu_indices(len(repeats), 1)
    values = spearman(repeats[pairs[0]], repeats[pairs[1]]) if len(pairs[0]) else np.array([np.nan])
    return float(values.mean())


def mean_reliability(single: float, n: int) -> float:
    """Reliability of a mean of n repeats of reliability `single` (Spearman-Brown)."""
    return n * single / (1 + (n - 1) * single) if single > 0 else single
