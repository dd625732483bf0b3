"""How a budget is shared among groups."""

from __future__ import annotations

import numpy as np


def capped_quotas(sizes: np.ndarray, weights: np.ndarray, budget: int) -> np.ndarray:
    """(n,) float64 shares of a budget in proportion to weights, none above its group's size.

    The share of group g is min(size_g, level * weight_g), with the level at which they sum to the
    budget: what full groups leave is shared among the others. O(n log n).

    Args:
        sizes: (n,) members, at least one each.
        weights: (n,) positive.
        budget: at most the sum of the sizes.
    """
    ratio = sizes / weights
    order = np.argsort(ratio, kind="stable")
    # Groups fill in this order: full[k] members are in the first k, open_[k] weight in the rest.
    full = np.concatenate(([0.0], np.cumsum(sizes[order], dtype=np.float64)[:-1]))
    open_ = np.cumsum(weights[order][::-1], dtype=np.float64)[::-1]
    levels = (budget - full) / open_
    enough = np.flatnonzero(levels <= ratio[order])
    level = levels[enough[0]] if len(enough) else np.inf
    return np.minimum(sizes, level * weights).astype(np.float64)


def systematic_counts(quotas: np.ndarray, total: int, start: float) -> np.ndarray:
    """(n,) int64 counts that sum to `total`, each its quota rounded down or up.

    Systematic sampling with unequal probabilities (Madow 1949, Ann. Math. Stat. 20, 333): the
    chance to be rounded up is the fraction of the quota, so that the counts' mean is the quotas
    even where there are more groups than the budget. The largest remainders, the other usual
    way, would give small groups nothing then.

    Args:
        quotas: (n,) sum to `total`, in an order that should be random.
        start: where the first step is, uniform in [0, 1).
    """
    counts = np.floor(quotas).astype(np.int64)
    left = total - int(counts.sum())
    parts = np.flatnonzero(quotas > counts)
    # A part is shorter than 1 and the steps are 1 apart: none is stepped on twice.
    ends = np.cumsum(quotas[parts] - counts[parts])
    stepped = np.searchsorted(ends[:-1], np.arange(left) + start, side="right")
    counts[parts[stepped]] += 1
    return counts
