"""Bootstrap, comparisons, tables and the page."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from coresift.files import write_json
from coresift.report.bootstrap import interval, resampled_metric, two_sided_p
from coresift.report.embedding import principal_axes
from coresift.report.markup import as_text, to_markdown
from coresift.report.page import read_verdict, verdict
from coresift.report.paper import COLUMNS, beside_paper, paper_table
from coresift.report.results import COMPARISON, write_results
from coresift.tables import conform, write_table
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import Sample
from coresift.tasks.tables import PREDICTION

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
    values = resampled_metric(*arguments)
    low, high = interval(values, 0.95)
    assert low < (targets == run).mean() < high
    assert high - low == pytest.approx(4 * 0.02, abs=0.02)  # +- 1.96 * sqrt(pq/n)
    assert (resampled_metric(*arguments) == values).all()


def test_examples_are_resampled_whole_and_seeds_too():
    targets, groups = np.ones(6), np.array([0, 0, 0, 1, 1, 1])
    run = np.array([1, 1, 1, 0, 0, 0])  # example 0 right, example 1 wrong
    values = resampled_metric(ACCURACY, [[sample(targets, run, groups)]], 200, 0)
    assert set(values) == {0.0, 0.5, 1.0}
    good, bad = (sample(targets, values, groups) for values in (np.ones(6), np.zeros(6)))
    values = resampled_metric(ACCURACY, [[good], [bad]], 4000, 0)
    assert set(values) == {0.0, 1.0}  # one of two seeds
    assert values.var() == pytest.approx(0.5 / 2, rel=0.05)  # s^2 / S, s^2 of {0, 1} being 1/2
    values = resampled_metric(ACCURACY, [[good], [bad], [bad]], 4000, 0)
    assert values.var() == pytest.approx((1 / 3) / 3, rel=0.1)
    values = resampled_metric(ACCURACY, [[good, bad]], 50, 0)
    assert set(values) == {0.5}  # evaluation seeds are averaged


def test_two_sided_p():
    assert two_sided_p(np.ones(99)) == pytest.approx(2 / 100)
    assert two_sided_p(np.array([-1.0, 1.0] * 10)) == 1.0


@pytest.fixture
def written(tmp_path):
    """Two coreset seeds of a good and a random selection, on one task."""
    targets = np.random.default_rng(3).integers(0, 2, 300)
    keys, metrics, predictions = [], [], []
    for name, share in (("cci-10-s0", 0.9), ("cci-10-s1", 0.9), ("random-10-s0", 0.6),
                        ("random-10-s1", 0.6), ("kmer", 0.6)):  # fmt: skip
        run = noisy(targets, share, len(keys) % 4 + (name == "kmer") * 2)
        frame = pl.DataFrame({"target": targets, "prediction": run}).with_row_index("example_id")
        frame = frame.with_columns(seed=0, position=0, length=1)
        folder = tmp_path / name
        write_table(folder / "p.parquet", conform(frame, PREDICTION), PREDICTION)
        report = {"kind": "class", "primary": "accuracy", "metrics": {
            "accuracy": {"values": [float((run == targets).mean())]},
            "macro_f1": {"values": [0.5]},
        }}  # fmt: skip
        write_json(folder / "m.json", report)
        keys.append(("toy", name))
        metrics.append(folder / "m.json")
        predictions.append(folder / "p.parquet")
    names = ("csv", "comparisons", "wide", "beside", "markdown", "latex", "bars",
             "beside_markdown", "beside_latex")  # fmt: skip
    out = SimpleNamespace(**{name: tmp_path / name for name in names})
    write_results(keys, metrics, predictions, "rna", 300, 0.95, 0, out)
    return out, metrics


def test_results(written):
    out, metrics = written
    table = pl.read_csv(out.csv).filter("primary")
    assert table["selection"].to_list() == ["cci-10", "random-10", "kmer"]
    values = [json.loads(m.read_text())["metrics"]["accuracy"]["values"][0] for m in metrics]
    row = table.row(0, named=True)
    assert row["mean"] == pytest.approx(np.mean(values[:2]))
    assert row["std"] == pytest.approx(np.std(values[:2], ddof=1))
    assert row["low"] < row["mean"] < row["high"]
    assert (row["runs"], table["runs"][2]) == (2, 1)
    text = out.markdown.read_text().splitlines()
    assert text[0] == "| selection | toy (accuracy) |"
    assert text[2].startswith(f"| cci-10 | {row['mean']:.4f} ± {row['std']:.4f} [")
    assert r"cci-10 & " in out.latex.read_text()
    assert out.bars.read_text().count("<svg") == 1


def test_comparisons_find_the_difference_that_is_there(written):
    table = pl.read_csv(written[0].comparisons)
    assert table.columns == list(COMPARISON)
    pairs = {(r["a"], r["b"]): r for r in table.to_dicts()}
    gain = pairs["cci-10", "random-10"]
    assert gain["low"] > 0.1
    assert gain["p_adjusted"] < 0.05
    same = pairs["random-10", "kmer"]
    assert same["low"] < 0 < same["high"]
    assert same["p"] > 0.05
    assert (table["p_adjusted"] >= table["p"]).all()
    assert verdict(table, 0.05) == ["toy: better than random: cci-10."]


def comparison(a, b, difference, p, metric="accuracy"):
    return {"task": "t", "metric": metric, "a": a, "b": b, "difference": difference, "low": 0.0,
            "high": 0.0, "p": p, "p_adjusted": p}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([comparison("cci-10", "random-10", 0.1, 0.5)], "no selection differs from random"),
        ([comparison("random-10", "cci-10", 0.1, 0.01)], "t: worse than random: cci-10."),
        ([comparison("cci-10", "random-10", 0.1, 0.01, "rmse")], "t: worse than random: cci-10."),
        ([comparison("cci-10", "random-20", 0.1, 0.01)], "no random control of the same budget"),
        ([comparison("random-10", "kmer", 0.1, 0.01)], "no random control"),
    ],
)
def test_verdict(rows, expected):
    assert expected in verdict(pl.DataFrame(rows), 0.05)[0]


def test_the_verdict_of_few_seeds_begins_with_a_caution(tmp_path):
    path = tmp_path / "comparisons.csv"
    pl.DataFrame([comparison("cci-10", "random-10", 0.1, 0.01)]).write_csv(path)
    files = SimpleNamespace(comparisons=path)
    sure, few = (
        read_verdict(files, SimpleNamespace(confidence=0.95, n_seeds=n_seeds)) for n_seeds in (3, 2)
    )
    assert sure == ["t: better than random: cci-10."]
    assert few[0].startswith("Fewer than three coreset seeds")
    assert few[1:] == sure


def test_paper_tables_are_those_of_the_facts():
    rna, protein = paper_table("rna"), paper_table("protein")
    assert (rna.height, len(rna.columns)) == (5, 10)
    assert (protein.height, len(protein.columns)) == (5, 5)
    row = rna.filter(pl.col("pretrained_on") == "CCI 0.2M").row(0, named=True)
    assert (row["CRI-On SC"], row["RBP ACC"]) == (32.90, 69.46)
    assert set(rna.columns[1:]) | set(protein.columns[1:]) == set(COLUMNS)


def test_beside_paper_is_in_one_unit_and_labelled():
    rows = [("type_cls", "cci-10", "accuracy", 0.5), ("type_cls", "cci-10", "mcc", 0.4),
            ("crispr_on", "cci-10", "mse", 0.02), ("own", "cci-10", "accuracy", 0.9)]  # fmt: skip
    results = pl.DataFrame(rows, schema=["task", "selection", "metric", "mean"], orient="row")
    table = beside_paper(results, "rna")
    assert table.select("task", "metric").rows() == [("type_cls", "accuracy"), ("crispr_on", "mse")]
    assert table["ours: cci-10"].to_list() == [0.5, 0.02]
    assert table["paper: CCI 0.2M"].to_list() == [0.8288, 0.0135]
    text = to_markdown(as_text(table)).splitlines()
    assert text[0].startswith("| task | metric | ours: cci-10 | paper: full 23M (RNA-FM) |")
    assert text[2].startswith("| type_cls | accuracy | 0.5 | 0.9193 |")
    assert beside_paper(results.filter(pl.col("task") == "own"), "rna").height == 0


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
