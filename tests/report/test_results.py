"""Rows, outcomes and comparisons from the files of a run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.report.cells import task_cells
from coresift.report.comparisons import comparisons_table, corrected
from coresift.report.controls import absent, comparisons, row_of, short
from coresift.report.notes import NOTE, TRAINING
from coresift.report.results import read_cells, unbiased, write_results
from coresift.report.tables import COMPARISON, RESULT, SEEN, read_csv
from coresift.report.verdict import above_unigram, marks_table, sentences
from coresift.tables import read_table


def test_held_out_loss_is_the_first_column_and_the_unigram_a_row(written):
    table = read_csv(written.out.csv, RESULT)
    assert table["task"].unique(maintain_order=True).to_list() == ["heldout_pool", "toy"]
    paths = [p for p in written.files.losses if p.name.startswith("cci-10-s")]
    values = [read_table(path, HELD_OUT_LOSS)["loss"].mean() for path in paths]
    row = table.filter(selection="cci-10", metric="loss").row(0, named=True)
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["std"] == pytest.approx(np.std(values, ddof=1))
    assert row["low"] < row["mean"] < row["high"]
    assert row["runs"] == 4
    metrics = table.filter(task="heldout_pool", selection="unigram")["metric"].to_list()
    assert metrics == ["loss", "macro_source", "macro_near", "accuracy"]
    head = written.out.markdown.read_text().splitlines()
    assert head[0] == "| selection | heldout_pool (loss) | toy (accuracy, quick) |"
    assert head[2].startswith(f"| cci-10 | {row['mean']:.4f} ± {row['std']:.4f} [")
    assert r"cci-10 & " in written.out.latex.read_text()
    for plot in (written.out.bars, written.out.held_out):
        assert plot.read_text().count("<svg") == 1


def test_task_rows_are_means_over_seeds(written):
    table = read_csv(written.out.csv, RESULT).filter(task="toy", metric="accuracy")
    files = [p for p in written.files.metrics if p.name.startswith("random-10-s")]
    values = [json.loads(p.read_text())["metrics"]["accuracy"]["values"][0] for p in files]
    row = table.filter(selection="random-10").row(0, named=True)
    assert (row["mean"], row["std"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert table["selection"][-1] == "kmer"


def test_comparisons_find_the_differences_that_are_there(written):
    table = read_csv(written.out.comparisons, COMPARISON)
    marks = {(r["task"], r["selection"], r["control"]): r["mark"] for r in table.to_dicts()}
    held_out = {(a, b): mark for (task, a, b), mark in marks.items() if task == "heldout_pool"}
    assert held_out["cci-10", "random-10"] == "better"
    assert held_out["cci-10", "random_length:cci-10"] == "better"
    assert held_out["top_influence-10", "random-10"] == "worse"
    assert held_out["top_influence-10", "unigram"] == "worse"
    assert (
        held_out["pool-10", "random-10"] == held_out["random_x10-10", "random-10"] == "no different"
    )
    assert marks["toy", "cci-10", "random-10"] == "better"
    assert marks["toy", "top_influence-10", "random-10"] == "no different"
    cci = table.filter(task="heldout_pool", selection="cci-10", control="random-10").row(
        0, named=True
    )
    assert cci["difference"] == pytest.approx(-0.1, abs=0.01)
    assert cci["gain"] == -cci["difference"]
    assert cci["low"] < cci["difference"] < cci["high"] < 0
    assert (table["p_adjusted"] >= table["p"]).all()


def test_pairs_are_rows_and_their_controls():
    names = ["cci-10", "target:trna-10", "random-10", "random-20", "random_length:target:trna-10",
             "random_kept-10", "pool-10", "untrained", "kmer", "unigram", "mine"]  # fmt: skip
    found = {(a, b): role for a, b, role in comparisons(names)}
    judged = ("cci-10", "target:trna-10", "random-10", "random-20", "mine")
    floors = {(a, b): "floor" for a in judged for b in ("untrained", "kmer", "unigram")}
    assert found == floors | {
        ("cci-10", "random-10"): "random",
        ("cci-10", "random_kept-10"): "matched",
        ("cci-10", "pool-10"): "more_data",
        ("target:trna-10", "random-10"): "random",
        ("target:trna-10", "random_length:target:trna-10"): "matched",
        ("target:trna-10", "pool-10"): "more_data",
        ("pool-10", "random-10"): "regime",
    }
    missing = ["random_complexity", "random_tokens", "random_groups", "random_x10"]
    assert absent(names) == [*missing, "constant", "cnn"]
    assert short("random_length:target:trna-10") == "length"
    assert [short(name) for name in ("random-10", "random_x10-10", "kmer")] == [
        "random",
        "x10",
        "kmer",
    ]
    assert row_of("random_groups:cci.residue-10").matched_to == "cci.residue"
    names = ["cci-50Mr", "random-50Mr", "random-50", "random_length:cci-50Mr"]
    assert set(comparisons(names)) == {
        ("cci-50Mr", "random-50Mr", "random"),
        ("cci-50Mr", "random_length:cci-50Mr", "matched"),
    }


def test_correction_leaves_unknown_what_has_no_p():
    rows = [{"p": p, "gain": 1.0} for p in (0.01, None, 0.04)]
    found = corrected(rows, 0.05)
    assert [row["p_adjusted"] for row in found] == [0.02, None, 0.04]
    assert [row["mark"] for row in found] == ["better", "unknown", "better"]


def test_a_trained_head_of_one_seed_is_not_known(written):
    """The network's and a given checkpoint's weights are drawn; a k-mer fit is not."""
    (kmer,) = (c for c in read_cells(written.files, written.params) if c.selection == "kmer")
    assert kmer.figure.known
    network = replace(kmer, selection="cnn")
    assert not network.figure.known
    several = replace(network, metrics={"accuracy": [[0.7, 0.8]]})
    assert several.figure.known
    assert several.figure.values.tolist() == [0.7, 0.8]
    given = replace(kmer, selection="rnafm", task="heldout_pool")
    assert given.figure.known


def test_a_model_without_a_loss_is_not_judged_and_costs_others_nothing(written):
    cells = [c for c in read_cells(written.files, written.params) if c.task == "heldout_pool"]
    before = comparisons_table(cells, 0.05)
    nothing = [[float("nan")]]
    lost = replace(
        cells[-1], selection="headless", metrics={"loss": nothing, "accuracy": nothing},
        resamples=np.full((1, cells[0].resamples.shape[1]), np.nan), drawn=False,
    )  # fmt: skip
    after = comparisons_table([*cells, lost], 0.05)
    own = after.filter(selection="headless")
    assert own.height
    assert own["mark"].unique().to_list() == ["unknown"]
    assert after.filter(pl.col("selection") != "headless").equals(before)
    row = {"task": "heldout_pool", "metric": "loss", "selection": "headless", "mean": float("nan")}
    results = pl.DataFrame([row, {**row, "selection": "unigram", "mean": 1.38}])
    assert above_unigram(results) == []


def test_rows_of_other_examples_are_refused(written, tmp_path):
    files = written.files
    short_table = pl.read_parquet(files.predictions[-1]).head(50)
    short_table.write_parquet(tmp_path / "short.parquet")
    arguments = ("toy", ["a-1-s0", "kmer"], files.metrics[-2:],
                 [files.predictions[-2], tmp_path / "short.parquet"])  # fmt: skip
    with pytest.raises(ValueError, match=r"short.parquet: 50 distinct test examples; a-1 has 200"):
        task_cells(*arguments, 10, 0)


def test_a_run_without_held_out_sets_has_tasks_alone(written):
    params = SimpleNamespace(**{**vars(written.params), "held_out": []})
    cells = read_cells(written.files, params)
    assert {cell.task for cell in cells} == {"toy"}


@pytest.mark.parametrize("outcome", ["heldout_pool", "nothing"])
def test_a_run_without_tasks_has_its_tables(written, tmp_path, outcome):
    cells = [cell for cell in written.cells if cell.task == outcome]
    out = SimpleNamespace(**{name: tmp_path / name for name in vars(written.out)})
    write_results(cells, pl.DataFrame(schema=NOTE), written.params, out)
    table, comparisons = read_csv(out.csv, RESULT), read_csv(out.comparisons, COMPARISON)
    assert set(table["task"]) == {cell.task for cell in cells}
    assert out.held_out.exists() == (outcome == "heldout_pool")
    assert not out.bars.exists()
    assert marks_table(comparisons).columns[:1] == ["selection"]
    assert sentences(table, comparisons, pl.DataFrame(schema=SEEN), 0.05, {})


def test_a_selection_is_not_compared_on_the_sequences_it_was_chosen_by(written):
    def controls(aimed):
        table = comparisons_table(unbiased(written.cells, aimed), 0.05)
        rows = table.filter(selection="cci-10")
        return rows.group_by("task").len().sort("task").rows()

    (pool, n), (task, m) = controls({})
    assert (pool, task) == ("heldout_pool", "toy")
    assert controls({"cci": "other", "top_influence": "pool"}) == [(pool, n), (task, m)]
    assert controls({"cci": "pool"}) == [(task, m)]


def test_notes_and_trainings_are_said(written):
    notes, trainings = read_csv(written.out.notes, NOTE), read_csv(written.out.trainings, TRAINING)
    assert notes.rows() == [
        ("toy", "quick", "train", "copies", 3),
        ("toy", "quick", "train", "dropped_in_test", 5),
        ("toy", "quick", "test", "copies", 1),
        ("toy", "quick", "test", "of_100_compared_are_in_pool", 3),
    ]
    assert "kmer" not in trainings["selection"]
    assert trainings.filter(selection="cci-10").rows() == [
        ("toy", "quick", "cci-10", 4, 4.0, 2.0, "patience 4")
    ]
    below = [
        "toy (quick), train: 3 copies; 5 dropped in test",
        "toy (quick), test: 1 copies; 3 of 100 compared are in pool",
    ]
    markdown, latex = written.out.markdown.read_text(), written.out.latex.read_text()
    assert markdown.split("|")[-1].split("\n\n") == ["", *below[:1], below[1] + "\n"]
    assert latex.endswith("".join(rf"\par {line}" + "\n" for line in below))
