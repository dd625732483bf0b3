"""Rank statistics, the datamodelling score and leave-one-out where the answer is known."""

import numpy as np
import polars as pl
import pytest
from coresift.validate.agreement import (
    Intervals,
    datamodel_table,
    leave_one_out_changes,
    leave_one_out_table,
    noise_of,
)
from coresift.validate.ranks import (
    best_by_chance,
    mean_reliability,
    partial_spearman,
    rank_bins,
    reliability,
    spearman,
    spearman_interval,
    top_overlap,
)
from coresift.validate.tables import PREDICTED, RETRAINED
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

HOW = Intervals(200, 0.95, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_spearman_is_scipys_with_ties(pairs):
    x, y = np.array(pairs, dtype=float).T
    ours = float(spearman(x, y))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(stats.spearmanr(x, y).statistic)


def test_spearman_by_rows():
    x = np.array([[1, 2, 3], [3, 2, 1]])
    np.testing.assert_allclose(spearman(x, np.array([10, 20, 40])), [1, -1])


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_interval_covers_the_true_correlation(rho):
    generator = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's of a bivariate normal
    n, trials = 40, 200
    covered = 0
    for trial in range(trials):
        x = generator.normal(size=n)
        y = rho * x + (1 - rho**2) ** 0.5 * generator.normal(size=n)
        low, high = spearman_interval(x, y, 200, 0.95, trial)
        covered += low <= truth <= high
    assert 0.88 <= covered / trials <= 0.99


def test_interval_is_seeded_and_closed_at_one():
    x = np.arange(10.0)
    assert spearman_interval(x, x, 50, 0.9, 3) == (pytest.approx(1), pytest.approx(1))
    y = np.random.default_rng(0).normal(size=10)
    assert spearman_interval(x, y, 50, 0.9, 3) == spearman_interval(x, y, 50, 0.9, 3)
    assert spearman_interval(x, y, 50, 0.9, 3) != spearman_interval(x, y, 50, 0.9, 4)
    assert np.isnan(spearman_interval(x, np.ones(10), 50, 0.9, 3)).all()


def test_the_best_of_many_ways_by_chance():
    generator = np.random.default_rng(0)
    one = generator.normal(size=(1, 48))
    ways = generator.normal(size=(60, 48))
    alone = best_by_chance(one, 4000, 0.95, 1)
    assert alone == pytest.approx(stats.norm.ppf(0.95) / 47**0.5, abs=0.02)
    assert best_by_chance(np.tile(one, (60, 1)), 4000, 0.95, 1) == pytest.approx(alone)
    of_many = best_by_chance(ways, 4000, 0.95, 1)
    assert of_many == pytest.approx(stats.norm.ppf(0.95 ** (1 / 60)) / 47**0.5, abs=0.04)
    constant = np.vstack([ways, np.ones(48)])
    assert best_by_chance(constant, 4000, 0.95, 1) == of_many
    assert np.isnan(best_by_chance(np.ones((2, 48)), 10, 0.95, 1))


def test_partial_correlation_takes_the_third_variable_out():
    generator = np.random.default_rng(0)
    length = generator.permutation(4000).astype(float)
    x, y = (length + 1000 * generator.normal(size=4000) for _ in range(2))
    assert spearman(x, y) > 0.4
    assert abs(partial_spearman(x, y, length)) < 0.06
    assert partial_spearman(x, y, np.ones(4000)) == pytest.approx(float(spearman(x, y)))
    assert np.isnan(partial_spearman(length, y, length))


def test_overlap_of_the_top_and_within_bins():
    x = np.array([9, 8, 1, 2, 5, 6, 3, 4.0])
    y = np.array([9, 1, 8, 2, 5, 3, 6, 4.0])
    assert top_overlap(x, y, 0.25) == 0.5  # {0, 1} and {0, 2}
    bins = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert top_overlap(x, y, 0.25, bins) == 0.5  # 0 and 0, 5 and 6
    assert top_overlap(x, x, 0.5, bins) == 1


def test_bins_of_equal_count():
    values = np.random.default_rng(0).permutation(100)
    assert np.bincount(rank_bins(values, 4)).tolist() == [25, 25, 25, 25]
    assert (np.diff(rank_bins(values, 4)[values.argsort()]) >= 0).all()
    assert len(set(rank_bins(np.ones(10), 4))) == 1


def test_reliability_of_repeats_and_of_their_mean():
    generator = np.random.default_rng(0)
    truth = generator.normal(size=2000)
    repeats = truth + generator.normal(size=(4, 2000))
    single = reliability(repeats)
    assert single == pytest.approx(6 / np.pi * np.arcsin(0.25), abs=0.04)  # correlation 1/2
    whole = mean_reliability(0.5, 4)
    assert whole == pytest.approx(0.8)
    ceiling = float(np.corrcoef(truth, repeats.mean(0))[0, 1])
    assert ceiling == pytest.approx(whole**0.5, abs=0.02)
    assert np.isnan(reliability(repeats[:1]))
    assert mean_reliability(-0.1, 3) == -0.1


def predicted(target, own=None, tokens=None):
    n = len(target)
    return pl.DataFrame(
        {
            "model": "pool",
            "loss": "masked",
            "parameters": "head",
            "curvature": "identity",
            "damping": None,
            "seq_id": [f"{i:03d}" for i in range(n)],
            "n_tokens": np.full(n, 10) if tokens is None else tokens,
            "self": np.ones(n) if own is None else own,
            "target": target,
            "own_loss": np.ones(n),
        },
        schema=dict(PREDICTED),
    )


def retrained(losses, seq_id="v", start=0):
    """`RETRAINED` of (seeds, runs) losses of one held-out sequence."""
    seeds, runs = np.indices(losses.shape)
    rows = {"run": runs.ravel() + start, "seed": seeds.ravel(), "loss": losses.ravel()}
    return pl.DataFrame({**rows, "seq_id": seq_id, "set": "V"}, schema_overrides=RETRAINED).select(
        *RETRAINED
    )


def only(table, **values):
    for column, value in values.items():
        table = table.filter(pl.col(column) == value)
    return table.row(0, named=True)


def test_the_score_of_a_true_linear_datamodel_is_one():
    generator = np.random.default_rng(0)
    n, m = 20, 40
    subsets = np.array([generator.permutation(n) < n // 2 for _ in range(m)])
    help_, tokens = generator.normal(size=n), generator.integers(5, 50, n)
    losses = np.stack([3 - subsets @ help_, 2 - 2 * (subsets @ help_)])
    table = datamodel_table(retrained(losses), subsets, predicted(help_, tokens=tokens), HOW)
    best = only(table, score="target", weights="sequences")
    assert (best["spearman"], best["low"], best["high"]) == tuple([pytest.approx(1)] * 3)
    assert (best["n"], best["reliability"], best["ceiling"]) == (m, 1, 1)
    assert only(table, score="target", weights="residues")["spearman"] < 0.99
    assert only(table, score="self", weights="sequences")["spearman"] is None  # all alike
    assert 0.2 < best["best_by_chance"] < 0.4
    wrong = datamodel_table(retrained(-losses), subsets, predicted(help_), HOW)
    assert only(wrong, score="target", weights="sequences")["spearman"] == pytest.approx(-1)


def test_residue_weights_are_means_over_the_residues_of_a_subset():
    generator = np.random.default_rng(1)
    n, m = 20, 40
    subsets = np.array([generator.permutation(n) < n // 2 for _ in range(m)])
    help_, tokens = generator.normal(size=n), generator.integers(5, 50, n)
    losses = -(subsets @ (help_ * tokens) / (subsets @ tokens))[None]
    table = datamodel_table(retrained(losses), subsets, predicted(help_, tokens=tokens), HOW)
    found = only(table, score="target", weights="residues")
    assert found["spearman"] == pytest.approx(1)
    assert (found["reliability"], found["ceiling"]) == (None, None)  # one seed says nothing


def test_influence_predicts_retrained_least_squares():
    """Ridge regression, where retraining is exact and C is the true inverse Hessian."""
    generator = np.random.default_rng(0)
    n, d, m, ridge = 200, 4, 50, 1e-3
    x, noise = generator.normal(size=(n, d)), generator.normal(size=n)
    truth = generator.normal(size=d)
    y = x @ truth + noise
    x_v = generator.normal(size=(30, d))
    y_v = x_v @ (truth + 2)  # far from the optimum of V: first order rules

    def fit(rows):
        a = x[rows].T @ x[rows] / rows.sum() + ridge * np.eye(d)
        return np.linalg.solve(a, x[rows].T @ y[rows] / rows.sum()), a

    def loss(w):
        return 0.5 * np.mean((x_v @ w - y_v) ** 2)

    w, hessian = fit(np.ones(n, bool))
    g = (x @ w - y)[:, None] * x
    g_v = ((x_v @ w - y_v)[:, None] * x_v).mean(0)
    influence = g @ np.linalg.solve(hessian, g_v)
    subsets = np.array([generator.permutation(n) < n // 2 for _ in range(m)])
    losses = np.array([loss(fit(s)[0]) for s in subsets])[None]
    table = datamodel_table(retrained(losses), subsets, predicted(influence), HOW)
    assert only(table, score="target", weights="sequences")["spearman"] > 0.8
    without = np.array([loss(fit(np.arange(n) != i)[0]) - loss(w) for i in range(n)])[None]
    own = np.array(
        [0.5 * (x[i] @ fit(np.arange(n) != i)[0] - y[i]) ** 2 - 0.5 * (x[i] @ w - y[i]) ** 2
         for i in range(n)]
    )[None]  # fmt: skip
    self_influence = np.einsum("ni,ni->n", g, np.linalg.solve(hessian, g.T).T)
    rows = predicted(influence, self_influence)
    table = leave_one_out_table({"V": without, "own": own}, rows, HOW)
    assert only(table, of="V", score="target", weights="sequences")["spearman"] > 0.95
    assert only(table, of="own", score="self", weights="sequences")["spearman"] > 0.95
    # To first order the change is I(z; V) / n: the size is right as well, not the order alone.
    slope = np.polyfit(influence / n, without[0], 1)[0]
    assert slope == pytest.approx(1, abs=0.15)


def test_changes_of_leave_one_out():
    ids = ["a", "b"]
    rows = [  # run, seed, seq_id, loss
        *[(-1, 0, "v", 1.0), (0, 0, "v", 1.5), (1, 0, "v", 0.9)],
        *[(-1, 1, "v", 2.0), (0, 1, "v", 2.1), (1, 1, "v", 2.0)],
        *[(-1, 0, "a", 0.1), (0, 0, "a", 0.4), (1, 0, "a", 9.0)],
        *[(-1, 1, "a", 0.2), (0, 1, "a", 0.3), (1, 1, "a", 9.0)],
        *[(-1, 0, "b", 0.5), (0, 0, "b", 9.0), (1, 0, "b", 0.4)],
        *[(-1, 1, "b", 0.5), (0, 1, "b", 9.0), (1, 1, "b", 0.8)],
    ]
    columns = ["run", "seed", "seq_id", "loss"]
    table = pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        set=pl.when(pl.col("seq_id") == "v").then(pl.lit("V")).otherwise(pl.lit("own"))
    )
    changes = leave_one_out_changes(table.sample(fraction=1, shuffle=True, seed=0), ids)
    np.testing.assert_allclose(changes["V"], [[0.5, -0.1], [0.1, 0.0]])
    np.testing.assert_allclose(changes["own"], [[0.3, -0.1], [0.1, 0.3]])
    noise = only(noise_of(changes, {}), of="V")
    assert noise["letters"] is None
    assert noise["mean"] == pytest.approx(0.125)
    assert noise["between_runs"] == pytest.approx(np.std([0.3, -0.05], ddof=1))
    assert noise["between_seeds"] == pytest.approx(((0.08 + 0.005) / 2) ** 0.5)


def test_a_missing_retraining_is_an_error():
    losses = retrained(np.ones((2, 3)))
    with pytest.raises(ValueError, match="2 seeds of 3 runs, but 5 retrainings"):
        datamodel_table(losses[:5], np.ones((3, 2), bool), predicted(np.ones(2)), HOW)
