"""Differences: their level by simulation, and the formulas against scipy."""

import numpy as np
import pytest
from coresift.report.difference import Figure, difference, holm
from scipy import stats

LEVEL = 0.05


def figures(rng, n_seeds, seeds, examples, own, n=120, resamples=150):
    """Two rows without a difference; deviations of seeds, of examples by row, and of both."""
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    found = []
    for deviation in seeds:
        values = rng.normal(0, deviation, (n_seeds, 1)) + rng.normal(0, examples, n)
        values = values + rng.normal(0, own, (n_seeds, n))
        found.append(Figure(values.mean(1), (counts @ values.T / n).mean(1), n, True))
    return found


@pytest.mark.parametrize(
    ("n_seeds", "seeds", "examples"),
    [(3, (1, 1), 0), (3, (1, 0.1), 0), (3, (0.3, 0.3), 6), (2, (1, 1), 0), (2, (1, 0.1), 3)],
)
def test_no_difference_is_found_where_there_is_none(n_seeds, seeds, examples):
    rng = np.random.default_rng(0)
    n = 400
    p = np.array(
        [difference(*figures(rng, n_seeds, seeds, examples, own=1), LEVEL).p for _ in range(n)]
    )
    for level in (0.05, 0.2):
        slack = 2.6 * np.sqrt(level * (1 - level) / n)
        assert (p < level).mean() <= level + slack
    assert p.min() < 0.2  # not by never finding anything


def fixed(values, n=1000, spread=0.0, seed=0, drawn=True):
    values = np.array(values, dtype=float)
    noise = np.random.default_rng(seed).normal(0, spread, 400)
    return Figure(values, values.mean() + noise, n, drawn)


def test_seeds_alone_are_welchs_test():
    a, b = [1.0, 1.2, 0.9, 1.4], [2.0, 2.1, 2.05]
    found = difference(fixed(a), fixed(b), LEVEL)
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(np.mean(a) - np.mean(b))
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, expected.df)
    needed = (stats.t.ppf(0.975, expected.df) + stats.t.ppf(0.8, expected.df)) * error
    assert found.detectable == pytest.approx(needed)


def test_examples_widen_what_seeds_leave_narrow():
    a, b = fixed([1.0, 1.001, 0.999], spread=0.5), fixed([2.0, 2.001, 1.999], spread=0.5, seed=1)
    found = difference(a, b, LEVEL)
    error = np.sqrt((a.resamples - b.resamples).var(ddof=1) + 2 * 1e-6 / 3)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.01)
    assert found.p == pytest.approx(2 * stats.norm.sf(1 / error), rel=0.05)


def test_a_baseline_has_no_scatter_and_one_seed_is_not_enough():
    baseline = fixed([2.0], drawn=False)
    found = difference(fixed([1.0, 1.2, 1.4]), baseline, LEVEL)
    assert found.p == pytest.approx(stats.ttest_1samp([1.0, 1.2, 1.4], 2.0).pvalue)
    one = difference(fixed([1.0]), baseline, LEVEL)
    assert one.value == -1.0
    assert (one.p, one.low, one.detectable) == (None, None, None)
    same = difference(fixed([1.0, 1.0]), fixed([1.0, 1.0]), LEVEL)
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)


def test_the_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(0)
    n, power = 400, []
    for _ in range(n):
        a, b = rng.normal(0, 1, (2, 8))
        size = (stats.t.ppf(0.975, 14) + stats.t.ppf(0.8, 14)) * 0.5  # sd 1, eight seeds each
        power.append(difference(fixed(a + size), fixed(b), LEVEL).p < LEVEL)
    assert np.mean(power) == pytest.approx(0.8, abs=0.06)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.array([]))) == 0


@pytest.mark.parametrize("n_seeds", [5, 7, 9, 10, 12])
def test_equal_figures_differ_by_no_rounding(n_seeds):
    for k in range(1, 997, 7):
        a, b = fixed([k / 997] * n_seeds), fixed([k / 997], drawn=False)
        found = difference(a, b, LEVEL)
        assert (found.value, found.p, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)
    assert difference(fixed([1e-9, 1.1e-9]), fixed([2e-9, 2.1e-9]), LEVEL).value != 0


def test_what_has_no_figure_is_not_judged():
    nothing = Figure(np.array([np.nan]), np.full(400, np.nan), 9, False)
    for a, b in ((nothing, fixed([1.0, 1.2])), (fixed([1.0, 1.2]), nothing)):
        found = difference(a, b, LEVEL)
        assert np.isnan(found.value)
        assert (found.p, found.low, found.high, found.detectable) == (None, None, None, None)
