"""Bootstrap, the paper's tables, the map of embeddings."""

import numpy as np
import polars as pl
import pytest
from coresift.report.bootstrap import example_counts, interval, over_seeds, resampled_metric
from coresift.report.embedding import principal_axes
from coresift.report.markup import as_text, to_markdown
from coresift.report.paper import COLUMNS, beside_paper, paper_table
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import Sample

ACCURACY = METRICS["class"]["accuracy"]


def noisy(targets, share, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(targets)) < share, targets, 1 - targets)


def sample(targets, run, groups=None):
    zeros = np.zeros(len(targets), dtype=int)
    groups = np.arange(len(targets)) if groups is None else groups
    return Sample(targets, run, groups, zeros, zeros + 1)


def test_interval_is_the_binomial_one_and_reproduces():
    targets = np.random.default_rng(0).integers(0, 2, 400)
    run = noisy(targets, 0.8, 1)
    arguments = (ACCURACY, [[sample(targets, run)]], 400, 1)
    values = over_seeds(resampled_metric(*arguments), 1)
    low, high = interval(values, 0.95)
    assert low < (targets == run).mean() < high
    assert high - low == pytest.approx(4 * 0.02, abs=0.02)  # +- 1.96 * sqrt(pq/n)
    assert (over_seeds(resampled_metric(*arguments), 1) == values).all()


def test_copies_are_resampled_with_what_they_are_copies_of():
    targets = np.random.default_rng(0).integers(0, 2, 60)
    run, zeros = noisy(targets, 0.7, 1), np.zeros(180, dtype=int)
    alone = resampled_metric(ACCURACY, [[sample(targets, run)]], 2000, 0)
    copied = Sample(*(np.repeat(v, 3) for v in (targets, run)), np.arange(180), zeros, zeros + 1,
                    np.repeat(np.arange(60), 3))  # fmt: skip
    assert (copied.n_examples, copied.n_distinct) == (180, 60)
    found = resampled_metric(ACCURACY, [[copied]], 2000, 0)
    np.testing.assert_allclose(found, alone)
    rows = resampled_metric(ACCURACY, [[sample(copied.targets, copied.predictions)]], 2000, 0)
    assert rows.std() < 0.75 * found.std()  # by rows an interval is sqrt(3) too narrow
    order = np.random.default_rng(2).permutation(180)  # copies need not lie together
    apart = copied.take(order)
    apart = Sample(
        apart.targets, apart.predictions, np.arange(180), zeros, zeros + 1, apart.distinct
    )
    np.testing.assert_allclose(resampled_metric(ACCURACY, [[apart]], 2000, 0), alone)


def test_examples_are_resampled_whole_and_seeds_too():
    targets, groups = np.ones(6), np.array([0, 0, 0, 1, 1, 1])
    run = np.array([1, 1, 1, 0, 0, 0])  # example 0 right, example 1 wrong
    values = resampled_metric(ACCURACY, [[sample(targets, run, groups)]], 200, 0)
    assert set(values[0]) == {0.0, 0.5, 1.0}
    good, bad = (sample(targets, values, groups) for values in (np.ones(6), np.zeros(6)))
    values = over_seeds(resampled_metric(ACCURACY, [[good], [bad]], 4000, 0), 0)
    assert set(values) == {0.0, 1.0}  # one of two seeds
    assert values.var() == pytest.approx(0.5 / 2, rel=0.05)  # s^2 / S, s^2 of {0, 1} being 1/2
    values = over_seeds(resampled_metric(ACCURACY, [[good], [bad], [bad]], 4000, 0), 0)
    assert values.var() == pytest.approx((1 / 3) / 3, rel=0.1)
    values = resampled_metric(ACCURACY, [[good, bad]], 50, 0)
    assert set(values[0]) == {0.5}  # evaluation seeds are averaged


def test_counts_are_of_draws_with_replacement():
    counts = example_counts(50, 200, 3)
    assert (counts.sum(1) == 50).all()
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    assert (example_counts(50, 200, 3) == counts).all()
    assert (example_counts(50, 200, 4) != counts).any()


def test_paper_tables_are_those_of_the_facts():
    rna, protein = paper_table("rna"), paper_table("protein")
    assert (rna.height, len(rna.columns)) == (5, 10)
    assert (protein.height, len(protein.columns)) == (5, 5)
    row = rna.filter(pl.col("pretrained_on") == "CCI 0.2M").row(0, named=True)
    assert (row["CRI-On SC"], row["RBP ACC"]) == (32.90, 69.46)
    assert set(rna.columns[1:]) | set(protein.columns[1:]) == set(COLUMNS)


def test_beside_paper_is_in_one_unit_and_labelled():
    rows = [("type_cls", "own", "cci-10", "accuracy", 0.5), ("type_cls", "own", "cci-10", "mcc", 1),
            ("crispr_on", "published", "cci-10", "mse", 0.02), ("own", "own", "a", "accuracy", 0.9),
            ("rbp", "quick", "cci-10", "accuracy", 0.7)]  # fmt: skip
    schema = ["task", "protocol", "selection", "metric", "mean"]
    results = pl.DataFrame(rows, schema=schema, orient="row", strict=False)
    table = beside_paper(results, "rna")
    assert table.select("task", "protocol", "metric").rows() == [
        ("type_cls", "own", "accuracy"), ("crispr_on", "published", "mse")
    ]  # fmt: skip
    assert table["ours: cci-10"].to_list() == [0.5, 0.02]
    assert table["paper: CCI 0.2M"].to_list() == [0.8288, 0.0135]
    text = to_markdown(as_text(table)).splitlines()
    assert text[0].startswith(
        "| task | protocol | metric | ours: cci-10 | paper: full 23M (RNA-FM) |"
    )
    assert text[2].startswith("| type_cls | own | accuracy | 0.5 | 0.9193 |")
    assert beside_paper(results.filter(pl.col("task") == "own"), "rna").height == 0


def test_a_small_p_is_not_shown_as_nothing_nor_nothing_with_a_sign():
    table = pl.DataFrame({"p": [1e-7, 0.00012, None], "gain": [1e-7, -2e-6, None]})
    assert as_text(table).rows() == [("< 0.0001", "0.0"), ("0.0001", "0.0"), ("", "")]


def test_principal_axes_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(200, 3)) @ np.diag([3.0, 2.0, 1.0]) @ rng.normal(size=(3, 6))
    seq_ids = pl.Series([f"{i:032x}" for i in range(200)])
    table = principal_axes(seq_ids, states.astype(np.float32))
    scaled = (states - states.mean(0)) / states.std(0)
    values = np.linalg.eigvalsh(np.cov(scaled.T))[::-1]
    np.testing.assert_allclose(table.select("x", "y").to_numpy().var(0, ddof=1), values[:2], 1e-4)
    assert principal_axes(seq_ids, states.astype(np.float32)).equals(table)
    assert (table.select("x", "y").to_numpy()[table["x"].abs().arg_max(), 0]) > 0
