"""Whether two rows of one outcome differ: coreset seeds and test examples are both random.

Seeds are few and unpaired (a seed's draw of one strategy says nothing of another's); examples are
many and the same for both rows. So a difference of means D has the variance

    V = s_a^2 / S_a + s_b^2 / S_b + V_e,

s^2 being the variance between the seeds' figures, V_e that of D when examples are drawn anew and
the seeds stay (a bootstrap, paired). D / sqrt(V) is held against Student's t with Satterthwaite's
degrees of freedom, V^2 / sum(V_i^2 / df_i): the quasi-F of designs where subjects and items both
are random (Clark 1973; Satterthwaite 1946). V counts the seeds' own noise on examples twice: it is
too large rather than too small. Where seeds are two or three and V_e is small the t has too many
degrees of freedom: at the level 0.002 it rejects 2 to 4 times too often with three seeds, 7 to 10
with two. So the seeds by themselves are asked as well (Welch 1947, the same without V_e), and the
larger of the two p-values counts, the wider of the two intervals: a difference must hold over new
seeds, and over new seeds and examples. A bootstrap of seeds would reject at 5 % in 12 % (three
seeds) or 21 % (two) of comparisons without any difference; this in no more than 5 %, see the tests.

Draws that share a hash rank (`selection.draws: shared`), or weights that start alike, make seeds of
two rows go together: they are not paired here, which is on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Chance that a difference of the size `detectable` is found (Bloom 1995).
POWER = 0.8
#: Sums of equal figures differ by so much of them.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Figure:
    """One row of one outcome.

    Attributes:
        values: (S,) by coreset seed; by evaluation seed where the row is no coreset.
        resamples: (R,) mean over the seeds for R samples of the examples, the same for all rows.
        n_examples: test examples.
        drawn: another seed would give another figure: false for a baseline without chance, and
            for the held-out loss of a given checkpoint.
    """

    values: np.ndarray
    resamples: np.ndarray
    n_examples: int
    drawn: bool

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(self.values.mean())

    @property
    def known(self) -> bool:
        """Whether anything is known of how far seeds scatter."""
        return not self.drawn or len(self.values) > 1


@dataclass(frozen=True)
class Difference:
    """Figure a minus figure b; None where a row has one seed, whose scatter nobody knows, or no
    figure (NaN: a loss of a model without a head for it, a metric that is not defined).

    Attributes:
        low, high: confidence interval at 1 - level.
        p: two-sided, of no difference; in one comparison, not corrected.
        detectable: smallest difference that is found with the chance `POWER` at the level, in one
            comparison: (t_{1 - level/2} + t_{POWER}) sqrt(V).
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class _Error:
    """Variance of a difference and its degrees of freedom."""

    variance: float
    df: float

    def quantile(self, share: float) -> float:
        return float(stats.t.ppf(share, self.df)) * self.variance**0.5

    def p(self, value: float) -> float:
        if self.variance == 0:
            return float(value == 0)
        return float(2 * stats.t.sf(abs(value) / self.variance**0.5, self.df))


def _total(parts: Sequence[_Error]) -> _Error:
    """The sum of independent parts with Satterthwaite's degrees of freedom."""
    variance = sum(part.variance for part in parts)
    spread = sum(part.variance**2 / part.df for part in parts)
    return _Error(variance, variance**2 / spread if spread else 1.0)


def _variance(values: np.ndarray, size: float) -> float:
    """Variance of figures of about `size`; 0 of what rounding alone sets apart."""
    variance = float(values.var(ddof=1))
    return variance if variance > (_ROUNDING * size) ** 2 else 0.0


def _errors(a: Figure, b: Figure) -> list[_Error]:
    """By what a difference is judged: seeds alone where there are any, seeds and examples."""
    seeds = [
        _Error(_variance(f.values, f.mean) / len(f.values), len(f.values) - 1)
        for f in (a, b)
        if len(f.values) > 1
    ]
    examples = _variance(a.resamples - b.resamples, a.mean)
    both = _total([*seeds, _Error(examples, max(1, a.n_examples - 1))])
    return [_total(seeds), both] if seeds else [both]


def difference(a: Figure, b: Figure, level: float) -> Difference:
    """How far a is from b, and whether that is chance, see the module."""
    value = a.mean - b.mean
    if abs(value) <= _ROUNDING * max(abs(a.mean), abs(b.mean)):
        value = 0.0
    if not (a.known and b.known and math.isfinite(value)):
        return Difference(value)
    errors = _errors(a, b)
    reach = max(error.quantile(1 - level / 2) for error in errors)
    needed = max(error.quantile(1 - level / 2) + error.quantile(POWER) for error in errors)
    p = max(error.p(value) for error in errors)
    return Difference(value, value - reach, value + reach, p, needed)


def holm(p: np.ndarray) -> np.ndarray:
    """P-values adjusted so that any false difference among them has the level's chance (Holm 1979).

    Args:
        p: (m,) p-values, of tests that may depend on each other.
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
