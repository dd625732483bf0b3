"""Rounds, the rule of what helps, the page and what it is made from, on made-up figures."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from coresift.config import load_config
from coresift.export.sources import describe_sources
from coresift.files import write_json
from coresift.heldout.masks import Masks
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.heldout.unigram import unigram_losses
from coresift.report.cells import Cell
from coresift.report.comparisons import comparisons_table
from coresift.settings import ConfigError
from coresift.study.book import Book
from coresift.study.cells import cells_of, of_round, runs_of
from coresift.study.decide import changes, chosen, decisions, ranking
from coresift.study.facts import times
from coresift.study.gather import group_names, held_out_runs, trait_runs
from coresift.study.join import JoinError, joined, with_kept
from coresift.study.plots import gains_by_budget
from coresift.study.settings import Round
from coresift.study.sources import by_source, deciding
from coresift.study.tables import RUN
from coresift.study.write import read_book, texts, write_raw, write_study
from coresift.tables import conform, write_table
from scipy import stats

SEEDS = 6
#: Held-out loss by row of a round: `cci` has more than its lengths, `top_influence` only those,
#: `loss` less than what counts.
LOSSES = {
    "cci-1kr": 1.20,
    "random_length:cci-1kr": 1.29,
    "top_influence-1kr": 1.25,
    "random_length:top_influence-1kr": 1.25,
    "loss-1kr": 1.285,
    "random_length:loss-1kr": 1.30,
    "bottom_influence-1kr": 1.40,
    "random_length:bottom_influence-1kr": 1.30,
    "random-1kr": 1.30,
    "random_x10-1kr": 1.25,
}
CHANGED = {"loss-1kr": "cci_hard-1kr", "bottom_influence-1kr": "cci.masked-1kr"}
ROUND = {
    "strategies": ["random", "random_x10", "cci", "top_influence", "loss", "bottom_influence"],
    "controls": ["random_length"],
    "budgets": ["1k residues"],
    "seeds": [*range(SEEDS)],
}


def config(rounds):
    values = {"run": "study_toy", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
    return load_config({**values, "study": {"rounds": rounds}})


def facts(rounds, **more):
    return {
        "config": config(rounds).model_dump(mode="json", by_alias=True),
        "rounds": list(rounds),
        "commit": "abc",
        "machine": {"processor": "p", "cores": 2, "system": "s"},
        "sources": [{"file": "a.fa", "bytes": 3, "sha256": "0" * 64}],
        "pool": {"sequences": 1000, "residues": 100_000},
        "times": {"pretrain": {"jobs": 2, "wall_s": 3600.0, "cpu_s": 7200.0}},
        "way": {"loss": "unmasked", "parameters": "head", "curvature": "diag_fisher"},
        "damping": 0.1,
        "validate": {},
        "trainings": [],
        "identity": {"seen": [], "by_identity": []},
        **more,
    }


def made_up(task="heldout_pool"):
    """Figures of every row of `LOSSES`."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.002, 100)
    frames = []
    for row, loss in LOSSES.items():
        values = loss + rng.normal(0, 0.003, SEEDS)
        metrics = {
            "loss": [[float(v)] for v in values],
            "loss_source=a": [[float(v) - 0.5] for v in values],
        }
        cell = Cell(task, row, "loss", metrics, values[:, None] + noise, 50, True)
        frames.append(runs_of(cell, [f"{row}-s{s}" for s in range(SEEDS)]))
    letters = {"loss": [[1.38]], "loss_source=a": [[1.37]]}
    frames.append(
        runs_of(Cell(task, "unigram", "loss", letters, 1.38 + noise[None], 50, False), ["unigram"])
    )
    return pl.concat(frames)


def traits():
    names = [f"{row}-s{seed}" for row in LOSSES for seed in range(SEEDS)]
    top = np.array(["top_influence" in name for name in names])
    return trait_runs(
        pl.DataFrame(
            {
                "coreset": names,
                "mean_length": np.where(top, 25.0, 100.0),
                "pool_mean_length": 100.0,
                "mean_low_complexity": np.where(top, 0.4, 0.1),
                "pool_mean_low_complexity": 0.1,
            }
        )
    )


@pytest.fixture(scope="module")
def book():
    runs = pl.concat([made_up(), made_up("heldout_pool_macro"), traits()])
    later = {
        "screen": {**ROUND, "strategies": ["random", "cci"], "seeds": [90]},
        "shared": {**ROUND, "seeds": [0, 99]},  # has no model of its own yet
    }
    return Book(runs, {"": facts({"finalists": ROUND, **later})})


def test_a_round_names_its_coresets():
    made = Round(strategies=["cci", "random"], controls=["random_length"],
                 budgets=["1k residues"], seeds=[3])  # fmt: skip
    assert made.coresets() == ["cci-1kr-s3", "random-1kr-s3", "random_length:cci-1kr-s3"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"strategies": ["cci.luck"]}, "cci.luck ranks 'luck', no such score"),
        ({"strategies": ["cci_x"]}, "no CCI variant 'cci_x'"),
        ({"strategies": ["cluster_sqrt"]}, "cluster_sqrt needs clusters"),
        ({"tasks": ["t"]}, "study.rounds.r.tasks: no task ['t']"),
        ({"seeds": [1, 1]}, "seeds has a value twice"),
        ({"budgets": []}, "study.rounds.r.budgets"),
    ],
)
def test_a_wrong_round_is_refused_by_key(change, expected):
    with pytest.raises(ConfigError) as error:
        config({"r": {**ROUND, **change}})
    assert expected in str(error.value)


def test_a_round_in_part_is_run_though_one_of_tasks_has_its_models():
    part = {**ROUND, "seeds": [*range(SEEDS), 50]}
    made = facts({"finalists": part})
    made["config"]["study"]["rounds"]["on_tasks"] = {**part, "tasks": ["t"]}
    made["rounds"].append("on_tasks")
    assert Book(made_up(), {"": made}).started == ["finalists"]


def test_a_round_has_no_rule_s_name():
    with pytest.raises(ConfigError, match=r"study: .*rounds.runs: this name is taken"):
        config({"runs": ROUND})


def test_what_a_round_draws_is_held_to_the_pool_with_the_rest():
    requests = config({"r": ROUND}).requests()
    assert {"cci", "random", "random_length:loss"} <= set(requests)


def test_residues_of_a_training_whatever_its_budget():
    values = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
    pretrain = load_config({**values, "pretrain": {"residues": 500}}).pretrain
    assert (pretrain.total(10.0), pretrain.seen) == (500, {"residues": 500})
    own = load_config({**values, "pretrain": {"epochs": 3}}).pretrain
    assert (own.total(10.0), own.seen) == (30.0, {"epochs": 3.0})
    with pytest.raises(ConfigError, match="residues: the same for all is compute: equal_tokens"):
        load_config({**values, "pretrain": {"residues": 5, "compute": "equal_epochs"}})


def test_rows_give_the_cells_back():
    rng = np.random.default_rng(1)
    metrics = {"accuracy": [[0.5, 0.25], [1.0, 0.75]], "mcc": [[0.0, 0.1], [0.2, 0.3]]}
    cell = Cell("t", "cci-10", "accuracy", metrics, rng.random((2, 7)).astype("f4"), 9, True)
    (back,) = cells_of(runs_of(cell, ["cci-10-s0", "cci-10-s4"]))
    assert (back.task, back.selection, back.primary) == ("t", "cci-10", "accuracy")
    assert back.metrics == metrics
    assert (back.n_examples, back.drawn) == (9, True)
    np.testing.assert_array_equal(back.resamples, cell.resamples)


def test_models_and_tasks_of_a_round_and_what_is_no_coreset():
    names = ["cci-1kr-s0", "untrained-s0", "cci-10-s0", "cci-1kr-s1", "unigram", "untrained-s1"]
    tasks = pl.DataFrame({"task": ["heldout_pool", "coreset", "mine", "other"]})
    runs = pl.DataFrame({"model": names}).join(tasks, how="cross")
    part = Round(strategies=["cci"], budgets=["1k residues"], seeds=[1], tasks=["mine"])
    kept = of_round(runs, part)
    assert kept["model"].unique(maintain_order=True).to_list() == names[3:]
    assert kept["task"].unique(maintain_order=True).to_list() == ["heldout_pool", "mine"]


def test_what_helps_beats_its_strongest_control_by_what_counts(book):
    table = book.decisions.filter(pl.col("task") == "heldout_pool")
    said = dict(zip(table["selection"], table["decision"], strict=True))
    assert said == {"cci": "helps", "top_influence": "not shown", "loss": "too little",
                    "bottom_influence": "worse"}  # fmt: skip
    cci = table.row(by_predicate=pl.col("selection") == "cci", named=True)
    assert cci["control"] == "random_length:cci-1kr"
    assert cci["gain"] == pytest.approx(0.09, abs=0.006)
    assert cci["low"] < cci["gain"] < cci["high"]
    assert cci["asked"] == pytest.approx(0.5 * 0.05, abs=0.003)


def test_without_ten_times_the_data_nothing_is_decided():
    runs = made_up().filter(~pl.col("model").str.starts_with("random_x10"))
    comparisons = comparisons_table(cells_of(runs), 0.05)
    named = comparisons.insert_column(0, pl.lit("r").alias("round"))
    assert set(decisions(named, 0.5, {"r": Round(**ROUND)})["decision"]) == {"unknown"}
    unplanned = Round(**{**ROUND, "strategies": ["random", "cci", "top_influence"]})
    table = decisions(named, 0.5, {"r": unplanned})
    said = dict(zip(table["selection"], table["decision"], strict=True))
    assert (said["cci"], said["top_influence"]) == ("unknown", "not shown")


def test_without_a_matched_control_nothing_helps():
    runs = made_up().filter(~pl.col("model").str.contains(":"))
    comparisons = comparisons_table(cells_of(runs), 0.05)
    named = comparisons.insert_column(0, pl.lit("r").alias("round"))
    table = decisions(named, 0.5, {"r": Round(**{**ROUND, "controls": []})})
    said = dict(zip(table["selection"], table["decision"], strict=True))
    assert (said["cci"], said["bottom_influence"]) == ("uncontrolled", "worse")


@pytest.mark.parametrize(
    "missing",
    ["random_length:cci", "random_length:cci-1kr-s3", "random-1kr-s0", "random_x10", "cci-1kr-s5"],
)
def test_while_a_model_is_missing_nothing_is_decided(book, missing):
    left = book.runs.filter(~pl.col("model").str.starts_with(missing))
    table = Book(left, book.facts).decisions.filter(pl.col("selection") == "cci")
    assert set(table["decision"]) == {"unknown"}
    page = texts(Book(left, book.facts), "toy")["toy.md"]
    assert "controls are missing (gains over random in brackets): cci at 1kr (+" in page


def test_a_change_is_held_against_the_selection_without_it():
    own = [replace(cell, selection=CHANGED.get(cell.selection, cell.selection))
           for cell in cells_of(made_up())]  # fmt: skip
    beside = [replace(cell, selection="cci-1kr") for cell in own if cell.selection == "random-1kr"]
    table = changes({"": own, "longer": beside}, 0.05)
    assert table.select("run", "selection", "control").rows() == [
        ("the study's", "cci_hard-1kr", "cci-1kr"),
        ("the study's", "cci.masked-1kr", "cci-1kr"),
        ("longer", "cci-1kr", "cci-1kr"),
    ]
    assert (table["low"] < table["gain"]).all()
    assert (table["gain"] < table["high"]).all()
    assert (table["high"] < 0).all()  # all are worse: so are the ends of their intervals
    assert table["gain"].to_list() == pytest.approx([-0.085, -0.2, -0.1], abs=0.006)
    assert set(table["mark"]) == {"worse"}
    assert changes({}, 0.05).height == 0


def test_the_page_of_ablations_and_of_a_run_beside():
    own = made_up().with_columns(
        pl.col("model").str.replace("bottom_influence", "cci.residue", literal=True)
    )
    beside = made_up().filter(pl.col("model").str.contains("^(cci-|random-|unigram)"))
    longer = beside.with_columns(
        pl.col("value") + 0.05,
        variant=pl.lit("longer"),
        resamples=pl.col("resamples").list.eval(pl.element() + 0.05),
    )
    ablations = {**ROUND, "strategies": ["random", "cci", "cci.residue"]}
    own_facts = facts({"ablations": {**ablations, "controls": []}})
    beside_facts = facts({"again": {**ROUND, "strategies": ["random", "cci"], "controls": []}})
    book = Book(pl.concat([own, longer]), {"": own_facts, "longer": beside_facts})
    page = texts(book, "toy")["toy.md"]
    assert re.search(
        r"changes of the method \(exploratory, 2 tested\), gains over the selection without: "
        r"better none; worse cci.residue-1kr -0.(19|20)\d \(over random -0.10\d\) and cci-1kr "
        r"\(longer\) -0.05\d \(over random \+0.04\d\).",
        page,
    )
    row = r"\| longer \| cci-1kr \| -0.0\d+ \[-0.0\d+, -0.0\d+\] worse \| \+0.04\d \|"
    assert re.search(row, page)
    assert re.search(r"\| longer: again \| 12 \| 12 \|", page)
    # Of other budgets or trained otherwise, it is no change of one thing.
    beside_facts["config"]["study"]["rounds"]["again"]["budgets"] = ["2k residues"]
    again = Book(book.runs, book.facts)
    assert "changes of the method (exploratory, 1 tested)" in texts(again, "toy")["toy.md"]
    beside_facts["config"]["study"]["rounds"]["again"]["budgets"] = ROUND["budgets"]
    beside_facts["config"]["pretrain"]["residues"] = 5000
    page = texts(Book(book.runs, book.facts), "toy")["toy.md"]
    assert "changes of the method (exploratory, 1 tested)" in page
    otherwise = page.split("### Trained otherwise: `longer`")[1]
    assert "Every model: 5,000 residues, whatever its coreset." in otherwise
    assert re.search(r"\| loss, pool \| cci-1kr \| 1.2", otherwise)
    assert "- 1kr: random teaches 1 of 1: a." in otherwise
    assert re.search(r"\| loss, pool \| cci-1kr \| 0.(09|10)", otherwise)


@pytest.mark.parametrize(
    ("shift", "within", "beyond"), [(0.02, "smaller", "none"), (0.05, "none", "smaller")]
)
def test_a_run_beside_is_held_against_other_draws_of_the_subset(shift, within, beyond):
    own = made_up()
    runs, kept = [own], {"": facts({"ablations": {**ROUND, "controls": []}})}
    for label, worse, change in (
        ("redraw_1", 0.01, {"seed": 1}),
        ("redraw_2", -0.03, {"seed": 2}),
        ("smaller", shift, {"size": 5}),
    ):
        top = own.filter(pl.col("model").str.contains("^(top_influence-|unigram)"))
        moved = [pl.col("value") + worse, pl.col("resamples").list.eval(pl.element() + worse)]
        runs.append(top.with_columns(*moved, variant=pl.lit(label)))
        kept[label] = facts({"changed": {**ROUND, "strategies": ["top_influence"], "controls": []}})
        kept[label]["config"]["subset"] |= change
        kept[label]["config"]["influence"]["variants"] = {}  # what a run adds is no change
    book = Book(pl.concat(runs), kept)
    assert book.redraws == ["redraw_1", "redraw_2"]
    for same in ({"seed": 42}, {"seed": None}):  # the run's own
        kept["smaller"]["config"]["subset"] |= {"size": 20_000, **same}
        assert Book(book.runs, kept).redraws == book.redraws
    kept["smaller"]["config"]["subset"] |= {"size": 5}
    kept["redraw_1"]["config"]["heldout"].pop("precision")  # a key that came later
    kept["redraw_1"]["config"]["study"]["rounds"]["tasks"] = {**ROUND, "tasks": ["t"]}
    book = Book(book.runs, kept)
    assert book.redraws == ["redraw_1", "redraw_2"]
    assert [label for label, _, _ in book.beside] == ["redraw_1", "redraw_2", "smaller"]
    table = book.changes.filter(pl.col("run") != "the study's")
    assert table["redrawn"].to_list() == [None, None, pytest.approx(0.03)]
    assert table["mark"].to_list() == ["worse", "better", "worse"]
    page = texts(book, "toy")["toy.md"]
    assert (
        "- loss, pool, top_influence-1kr: D_sub drawn anew, all else the same, gains -0.010 and "
        "+0.030. Runs beside that gain or lose no more, so that their marks may be the draw's: "
        f"{within}; more: {beyond}."
    ) in page
    assert ("top_influence-1kr (smaller) -0.05" in page) == (beyond == "smaller")
    assert "(redraw_1)" not in page
    own = table.height - 3
    assert f"(exploratory, {own + 1} tested)" in page
    del kept[""]["config"]["study"]["rounds"]["ablations"], kept[""]["rounds"][0]
    page = texts(Book(book.runs, kept), "toy")["toy.md"]
    assert "The runs beside (redraw_1, redraw_2 and smaller) are held against the round" in page


def test_finalists_by_mean_gain(book):
    best = ranking(book.comparisons, "finalists")
    assert best["selection"].to_list() == ["cci", "top_influence", "loss", "bottom_influence"]
    assert chosen(book.comparisons, "finalists", 2) == ["loss", "bottom_influence"]
    half = book.comparisons.filter(
        (pl.col("selection") != "loss-1kr") | (pl.col("task") == "heldout_pool")
    )
    assert chosen(half, "finalists", 2) == ["bottom_influence"]  # the other has half its cells


def test_the_page_says_what_the_figures_do(book):
    page = texts(book, "toy")["toy.md"]
    found = re.search(
        r"selections tested \(4 at 1kr\) these help: cci at 1kr \(\+(\S+)\) \(gains over the", page
    )
    assert float(found.group(1)) == pytest.approx(0.09, abs=0.006)
    assert "worse than their strongest control: bottom_influence at 1kr (-0." in page
    assert "no difference from the strongest control is shown: top_influence at 1kr" in page
    assert "better than every control, by less than counts: loss at 1kr" in page
    assert "below the gain that counts, taken as exact, for top_influence at 1kr." in page
    assert "a coreset has 1,000 residues, some 10 sequences" in page
    assert "worse than a model that was never trained: not tested. Gain over the letter" in page
    assert "letter frequencies of all held-out sequences: random-1kr +0.08" in page
    assert "smaller gains are undecided" not in page  # a gain that counts is far above the noise
    assert "One source decides" not in page
    assert "Learnt from random: at most 1 of 1 groups by source at a budget; at any, a." in page
    assert "beat random in 1 of 1 comparisons: random_x10-1kr by 0.0" in page
    assert re.search(r"random_length has (9|10)\d % of the gain of top_influence-1kr", page)
    assert "of the gain of cci-1kr" not in page  # its lengths have a tenth of it
    assert "Not run: screen and shared." in page
    assert "1kr (1 % of the pool): random teaches 1 of 1 groups by source" in page
    assert "Others teach what random does not: none." in page
    assert "loss, pool: shown at 1kr, not shown at none." in page
    assert "Fewer than 3 groups are learnt" in page
    assert "top_influence-1kr takes sequences 0.25 times as long" in page
    assert (
        "times the pool's share of low complexity (40.0% of a sequence, the pool's 10.0%)" in page
    )
    assert "where random_complexity has not been run: top_influence-1kr." in page
    assert "The same sequences whatever the seed: cci-1kr, top_influence-1kr, loss-1kr" in page

    assert "Not run: deciles, lds, loo and stability." in page
    assert "random knows less than letter" not in page
    misled = pl.col("metric").str.starts_with("loss_") & (pl.col("model") == "unigram")
    worse = book.runs.with_columns(value=pl.when(misled).then(0.1).otherwise("value"))
    said = texts(Book(worse, book.facts), "toy")["toy.md"]
    assert "At 1kr random knows less than letter frequencies on every group" in said
    flat = Book(book.runs.filter(pl.col("task") == "coreset"), book.facts)
    empty = texts(flat, "toy")["toy.md"]
    assert "Not run: finalists, screen and shared" in empty
    assert "nothing on this page is a finding yet" in empty
    assert "these help" not in empty


def test_curves_take_every_model_of_a_selection_whatever_its_round(book):
    other = made_up().filter(pl.col("model") == "cci-1kr-s0")
    more = pl.concat([book.runs, other.with_columns(model=pl.lit("cci-2kr-s90"))])
    table = Book(more, book.facts).curves("finalists").filter(pl.col("task") == "heldout_pool")
    runs = dict(table.filter("primary").select("selection", "runs").rows())
    assert runs == {**dict.fromkeys(LOSSES, SEEDS), "cci-2kr": 1, "unigram": 1}


def test_page_and_tables_follow_from_the_two_files_alone(book, tmp_path):
    write_study(book, tmp_path / "a", "toy")
    write_raw(book, tmp_path / "b")
    again = texts(read_book(tmp_path / "b"), "toy")
    assert {p: (tmp_path / "a" / p).read_text() for p in again} == again
    assert (tmp_path / "a/toy/budgets.svg").stat().st_size > 1000
    assert (tmp_path / "a/toy/differences.svg").exists()


def committed(root):
    return sorted(path.parent for path in (root / "docs/study").glob("*/runs.parquet"))


def test_committed_pages_are_those_of_their_figures(root):
    folders = committed(root)
    if not folders:
        pytest.skip("no study has been run and committed yet: docs/study has no runs.parquet")
    for folder in folders:
        assert (folder / "runs.parquet").stat().st_size < 2_000_000
        for path, text in texts(read_book(folder), folder.name).items():
            assert (folder.parent / path).read_text() == text, path


def test_the_rest_is_called_as_no_source_is():
    labels = pl.Series(["big", "other", "a", "b", None])
    assert group_names(labels, np.array([0, 1, 2, 2, 2])) == ["big", "other", "other_"]
    assert group_names(labels[[0, 2, 3]], np.array([0, 1, 1])) == ["big", "other"]


def test_losses_of_groups_and_of_their_own_letters(tmp_path):
    sequences = ["AAAA"] * 12 + ["CGCG"] * 12
    sets = pl.DataFrame(
        {
            "set": "pool",
            "seq_id": [f"{i:03d}" for i in range(24)],
            "sequence": sequences,
            "length": 4,
            "nearest": 0.0,
        }
    )
    groups = sets.select("set", "seq_id", source=pl.Series(["a"] * 12 + ["c"] * 12))
    groups.write_parquet(tmp_path / "groups")
    masks = Masks("rna", 0.25, 1, 0)
    write_table(tmp_path / "unigram", unigram_losses(sets, masks), HELD_OUT_LOSS)
    loss = [1.0] * 12 + [2.0] * 12
    table = sets.select("set", "seq_id", n_masked=1, loss=pl.Series(loss), accuracy=0.5)
    write_table(tmp_path / "model", conform(table, HELD_OUT_LOSS), HELD_OUT_LOSS)
    losses = {"cci-10-s0": tmp_path / "model", "unigram": tmp_path / "unigram"}
    runs = held_out_runs(losses, tmp_path / "groups", sets, "source", masks, 20, 0)
    value = {(r["task"], r["model"], r["metric"]): r["value"] for r in runs.to_dicts()}
    assert value["heldout_pool", "cci-10-s0", "loss"] == 1.5
    assert value["heldout_pool_macro", "cci-10-s0", "loss"] == 1.5
    assert value["heldout_pool", "cci-10-s0", "loss_source=a"] == 1.0
    assert value["heldout_pool", "cci-10-s0", "loss_source=c"] == 2.0
    assert value["heldout_pool", "unigram", "loss_source=a"] == 0.0
    assert value["heldout_pool", "unigram", "loss_source=c"] == pytest.approx(np.log(2))
    assert runs.columns == list(RUN)


def test_facts_of_files_and_times(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nACGU\n")
    (found,) = describe_sources({"a": tmp_path / "a.fa"}).values()
    assert (found["file"], found["bytes"]) == ("a.fa", 8)
    assert len(found["sha256"]) == 64
    for name, seconds in (("x", 2.5), ("y", 3.5)):
        (tmp_path / name).write_text(f"s\tcpu_time\n{seconds}\t1.0\n")
    paths = [str(tmp_path / name) for name in ("x", "y", "absent")]
    assert times({"pretrain": paths, "score": [str(tmp_path / "no")]}) == {
        "pretrain": {"jobs": 2, "wall_s": 6.0, "cpu_s": 2.0}
    }


def test_a_written_study_can_be_made_again(book, tmp_path):
    from coresift.study.write import main

    write_raw(book, tmp_path / "toy")
    write_json(tmp_path / "toy/facts.json", book.facts)
    assert main([str(tmp_path / "toy")]) == 0
    assert (tmp_path / "toy.md").read_text() == texts(book, "toy")["toy.md"]


def test_a_run_beside_on_other_held_out_sequences_is_refused():
    own, other = made_up(), made_up()
    own_facts = facts({"finalists": ROUND})
    parts = {"": (own, own_facts), "longer": (other, own_facts)}
    assert list(joined({**parts, "early": parts["longer"]}).facts) == ["", "early", "longer"]
    letters = pl.col("model") == "unigram"
    # A product of matrices has other last bits where there are other columns beside.
    rounded = other.with_columns(
        value=pl.when(letters).then(pl.col("value") + 1e-15).otherwise("value")
    )
    assert not rounded["value"].equals(own["value"])
    joined({**parts, "longer": (rounded, own_facts)})
    other = other.with_columns(value=pl.when(letters).then(1.5).otherwise("value"))
    with pytest.raises(JoinError, match=r"study\.beside\.longer: other held-out sequences"):
        joined({**parts, "longer": (other, own_facts)})


def of_models(runs, names):
    """The figures of some rows, and of letter frequencies."""
    return runs.filter(pl.col("model").str.replace(r"-s\d+$", "").is_in([*names, "unigram"]))


def test_a_study_goes_on_from_an_earlier_page():
    runs = pl.concat([made_up(), traits()])
    old = made_up().with_columns(variant=pl.lit("old"))
    rows = [{"task": "t", "protocol": "own", "selection": name} for name in ("cci-1kr", "kmer")]
    on_task = of_models(runs, ["cci-1kr"]).filter(pl.col("task") == "heldout_pool")
    on_task = on_task.filter("drawn").with_columns(task=pl.lit("t"))
    spent = {"jobs": 1, "wall_s": 60.0, "cpu_s": 60.0}
    kept_facts = facts(
        {"finalists": ROUND},
        times={"score": spent},
        validate={"one": [{"a": 1}], "two": [{"a": 1}]},
        trainings=[{**row, "trainings": 9} for row in rows],
        commit="earlier",
    )
    kept = Book(pl.concat([runs, old, on_task]), {"": kept_facts, "old": kept_facts})
    # Here: one row again, with another loss; one check and one row of a task again.
    again = of_models(runs, ["cci-1kr"]).with_columns(
        value=pl.when(pl.col("model") == "cci-1kr-s0").then(9.0).otherwise("value")
    )
    own = facts(
        {"finalists": ROUND},
        times={"pretrain": spent},
        validate={"one": [{"a": 2}]},
        trainings=[{**rows[0], "trainings": 1}],
    )
    here = Book(again, {"": own})
    book = with_kept(here, kept)
    assert book.done == Book(runs, {"": own}).done
    assert book.tested("old") == book.tested("")
    again_made = book.main.filter(pl.col("primary"), pl.col("model") == "cci-1kr-s0")
    # Nothing of a model that is here is another's, of no task either.
    assert again_made.select("task", "value").rows() == [("heldout_pool", 9.0)]
    assert book.own["validate"] == {"one": [{"a": 2}], "two": [{"a": 1}]}
    assert [row["trainings"] for row in book.own["trainings"]] == [1, 9]
    others = {m for m in book.done if m != "unigram" and not m.startswith("cci-1kr-")}
    part = {"models": sorted(others), "checks": ["two"], "times": {"score": spent}}
    assert book.own["kept"] == {"earlier": part}
    assert book.own["times"] == {"pretrain": spent}
    assert (
        f"Of an earlier page, gathered at earlier, are figures of {len(others)} models and two. "
        "Minutes of wall and of processor, summed over jobs: score, 1 jobs, 1 and 1."
    ) in texts(book, "toy")["toy.md"]
    order = ["variant", "task", "model", "metric"]
    left = kept.runs.filter(pl.col("task") != "t")  # that task is of models that are here alone
    assert book.runs.select(order).sort(order).equals(left.select(order).sort(order))
    # Joined once more with what it has become, it stays: also what is said of where it is from.
    twice = with_kept(here, book)
    assert twice.runs.equals(book.runs)
    assert twice.own == book.own


def test_an_untrained_model_here_takes_no_task_of_an_earlier_page_away():
    untrained = shifted(made_up(), "random-1kr", "untrained", 0.1)
    on_task = untrained.with_columns(task=pl.lit("t"))
    own = {"": facts({"finalists": ROUND})}
    kept = Book(pl.concat([made_up(), untrained, on_task]), own)
    here = Book(pl.concat([of_models(made_up(), ["cci-1kr"]), untrained]), own)
    assert with_kept(here, kept).runs.equals(kept.runs)


def test_an_earlier_page_keeps_its_order_and_runs_beside_that_are_still_asked_for():
    kept = Book(
        pl.concat([made_up(), made_up().with_columns(variant=pl.lit("old"))]),
        {"": facts({"finalists": ROUND}), "old": facts({"finalists": ROUND})},
    )
    here = Book(of_models(made_up(), ["random-1kr"]), {"": facts({"finalists": ROUND})})
    assert with_kept(here, kept).runs.equals(kept.runs)
    here.study["beside"]["old"] = None
    assert set(with_kept(here, kept).facts) == {""}


def test_figures_of_a_task_with_other_settings_are_not_taken_of_an_earlier_page():
    def page(max_tokens, *more):
        told = [{"task": name, "selection": "cci-1kr"} for name in ("t", "u", *more)]
        made = facts({"finalists": ROUND}, trainings=told, identity={"seen": told})
        same = {"kind": "class", "max_tokens": 9}
        made["config"]["tasks"] = {"t": {**same, "max_tokens": max_tokens}, "u": same}
        made["config"]["tasks"] |= dict.fromkeys(more, same)
        return {"": made}

    on_tasks = [made_up(task) for task in ("heldout_pool", "t", "u", "gone")]
    kept = Book(pl.concat(on_tasks), page(1026, "gone"))
    here = Book(of_models(made_up(), ["random-1kr"]), page(130))
    found = with_kept(here, kept)
    assert set(found.runs["task"]) == {"heldout_pool", "u"}
    assert set(found.main.filter(task="u")["model"]) == {*found.done, "unigram"} - {
        f"random-1kr-s{seed}" for seed in range(SEEDS)
    }
    assert found.own["trainings"] == here.own["trainings"]
    assert [row["task"] for row in found.own["identity"]["seen"]] == ["t", "u"]
    assert "t" in set(with_kept(here, Book(pl.concat(on_tasks), page(130))).runs["task"])


def test_an_earlier_page_of_another_study_is_refused():
    own = Book(made_up(), {"": facts({"finalists": ROUND})})
    other = facts({"finalists": ROUND})
    other["config"]["pretrain"]["learning_rate"] = 9.0
    other["config"]["subset"]["size"] = 7
    with pytest.raises(JoinError, match=r"study\.kept: made with another pretrain, subset than"):
        with_kept(own, Book(made_up(), {"": other}))
    letters = pl.col("model") == "unigram"
    moved = made_up().with_columns(
        resamples=pl.when(letters & pl.col("primary"))
        .then(pl.col("resamples").list.eval(pl.element() + 0.1))
        .otherwise("resamples")
    )
    fewer = made_up().with_columns(resamples=pl.col("resamples").list.head(7))
    for runs in (moved, fewer):
        with pytest.raises(JoinError, match=r"study\.kept: other held-out sequences, masks or res"):
            with_kept(own, Book(runs, own.facts))
    for section, key, value in (
        ("selection", "draws", 9),
        ("evaluate", "bootstrap", 9),
        ("validate", "heldout_size", 9),
    ):
        other = facts({"finalists": ROUND})
        assert key in other["config"][section]
        other["config"][section][key] = value
        with pytest.raises(JoinError, match=f"another {section} than this study"):
            with_kept(own, Book(made_up(), {"": other}))
    other = facts({"finalists": ROUND}, sources=[{"file": "a.fa", "sha256": "1"}])
    with pytest.raises(JoinError, match="another sources than this study"):
        with_kept(own, Book(made_up(), {"": other}))


def checked():
    """Tables of the checks of `validate`, as facts have them."""
    order = {"set": "pool", "outcome": "loss", "score": "influence", "models": 20, "spearman": 0.8,
             "low": 0.3, "high": 1.0, "best": 1, "worst": 9, "range": 0.1, "seeds": 0.01,
             "p": 0.001, "p_adjusted": 0.001, "alike": False, "random": 1.3, "random_models": 2,
             "random_seeds": 0.01, "below_random": 0, "unigram": 1.38}  # fmt: skip
    traits = [{"score": "influence", "decile": k, "mean_length": 50.0 + k,
               "mean_low_complexity": 0.1, "residues_of_a": 0.1 * k}
              for k in range(10)]  # fmt: skip
    tenths = [*(("influence", k) for k in range(10)), ("random", None)]
    deciles = [{"set": "pool", "outcome": "loss", "score": score, "decile": k, "seed": 0,
                "loss": 1.3, "unigram": 1.38} for score, k in tenths]  # fmt: skip
    noise = {"of": "V", "n": 48, "reliability": 0.6, "ceiling": 0.87, "best_by_chance": 0.4}
    lds = [{"model": "pool", "loss": loss, "parameters": "head", "curvature": curvature,
            "damping": damping, "score": score, "weights": "residues", "spearman": rho,
            "low": rho - 0.2, "high": rho + 0.2, **noise}
           for loss, curvature, damping, score, rho in [
               ("unmasked", "diag_fisher", 0.1, "target", 0.25),
               ("unmasked", "diag_fisher", 0.1, "self", -0.35),
               ("unmasked", "kfac", 0.1, "target", 0.45),
               ("masked", "kfac", 0.1, "target", 0.65)]]  # fmt: skip
    lost = {"of": "V", "seeds": 2, "mean": 1.3, "letters": 1.38, "between_runs": 0.004,
            "between_seeds": 0.005, "reliability": 0.6}  # fmt: skip
    stability = [{"factor": factor, "value": value, "score": "influence", "spearman": rho,
                  "spearman_given_length": rho, "top": 0.02, "overlap": 0.5,
                  "overlap_within_length": 0.5}
                 for factor, value, rho in [("subset", 1, 0.9), ("base width", 0.5, 0.7),
                                            ("base width", 2.0, 0.6)]]  # fmt: skip
    return {"deciles": deciles, "deciles_order": [order], "deciles_traits": traits, "lds": lds,
            "lds_noise": [lost], "stability": stability}  # fmt: skip


def test_the_checks_of_a_study_are_on_its_page(tmp_path):
    book = Book(made_up(), {"": facts({"finalists": ROUND}, validate=checked())})
    write_study(book, tmp_path, "toy")
    page = (tmp_path / "toy.md").read_text()
    assert "loss of pool, as the set: the loss rises with the score" in page
    assert "0 of 10 means below random's (1.300, 2 models, 0.010 between them)" in page
    assert "residues of a 0.0% (tenth 0) to 90.0% (tenth 9)" in page
    assert "two retrainings agree by 0.60" in page
    assert "best of 3 ways against V: 0.65" in page
    assert "| curvature | damping | pool, unmasked loss | pool, masked loss |" in page
    assert "| diag_fisher | 0.1 | 0.25 [0.05, 0.45] |  |" in page
    assert "| kfac | 0.1 | 0.45 [0.25, 0.65] | 0.65 [0.45, 0.85] |" in page
    assert (
        "best of 3 ways for the influence on held-out data: 0.65 (by residues, pool, mask" in page
    )
    for width, rho in {0.5: 0.7, 2.0: 0.6}.items():  # both, not the worst alone
        assert f"| width of the base, times its own | {width} | {rho} |" in page
    assert "- Not run: loo." in page
    names = {path.name for path in (tmp_path / "toy").iterdir()}
    assert {"deciles.svg", "lds.svg", "stability.svg", "lds.csv", "stability.csv"} <= names


def test_gains_that_the_seeds_cannot_detect_are_undecided(book):
    """By the corrected level, not by that of one comparison."""
    small = book.runs.filter(
        ~pl.col("model").str.starts_with("random_x10") | (pl.col("task") == "coreset")
    )
    ten = book.runs.filter(pl.col("model").str.contains(r"^random-1kr")).with_columns(
        pl.col("model").str.replace("random-", "random_x10-", literal=True),
        pl.col("value") - 0.004,
        pl.col("resamples").list.eval(pl.element() - 0.004),
    )
    page = texts(Book(pl.concat([small, ten]), book.facts), "toy")["toy.md"]
    said = re.search(
        r"loss, pool, 1kr: a gain that counts is 0.002, but these seeds detect (\S+) of "
        r"top_influence at 1kr \(80 % power after correction over (\d+) comparisons",
        page,
    )  # the others are decided
    own = book.comparisons.filter(
        pl.col("round") == "finalists", pl.col("task") == "heldout_pool", pl.col("role") != "regime"
    )
    assert int(said.group(2)) == own.height
    assert float(said.group(1)) > own["detectable"].median() > 0.002


def shifted(runs, row, new, by):
    """The figures of a row as those of another, `by` higher."""
    own = runs.filter(pl.col("model").str.contains(rf"^{row}-s"), pl.col("task") != "coreset")
    return own.with_columns(
        pl.col("model").str.replace(row, new, literal=True),
        pl.col("value") + by,
        pl.col("resamples").list.eval(pl.element() + by),
    )


def test_where_more_data_do_not_help_next_to_nothing_is_asked(book):
    left = book.runs.filter(
        ~pl.col("model").str.starts_with("random_x10") | (pl.col("task") == "coreset")
    )
    worse = pl.concat([left, shifted(book.runs, "random-1kr", "random_x10-1kr", 0.0001)])
    page = texts(Book(worse, book.facts), "toy")["toy.md"]
    assert re.search(
        r"- loss, pool, 1kr: ten times the sequences are not shown to help in this round "
        r"\(-0.0001, adjusted p \S+\), so half of their gain asks next to nothing of a selection",
        page,
    )
    assert "a gain that counts is" not in page  # of 0 nothing is detected
    assert "asks next to nothing" not in texts(book, "toy")["toy.md"]


def test_a_budget_that_is_not_read_once_tells_nothing_of_more_data(book):
    own = facts({"finalists": ROUND})
    assert Book(book.runs, {"": own}).regime.height == 2
    own["config"]["pretrain"]["residues"] = 2000
    once = Book(book.runs, {"": own})
    assert (once.passes("1kr"), once.regime.height) == (2.0, 2)
    own["config"]["pretrain"]["residues"] = 999
    page = texts(Book(book.runs, {"": own}), "toy")["toy.md"]
    assert "random_x10 or pool beside random, of a budget that is read once: not run" in page


def test_the_curve_beyond_the_budgets_that_have_controls(book):
    more = [
        shifted(book.runs, f"{name}-1kr", f"{name}-4kr", by)
        for name, by in (("random", 0.0), ("random_x10", 0.0), ("cci", 0.3), ("loss", -0.03))
    ]
    strategies = ["random", "random_x10", "cci", "loss"]
    curve = {**ROUND, "strategies": strategies, "controls": [], "budgets": ["4k residues"]}
    both = facts({"finalists": ROUND, "scaling": curve})
    wide = Book(pl.concat([book.runs, *more]), {"": both})
    page = texts(wide, "toy")["toy.md"]
    assert re.search(
        r"loss, pool, the curve \(round `scaling`, exploratory, at 4kr, no matched controls\): of "
        r"2 gains over random better are loss-4kr \(\+0.04\d\), worse cci-4kr \(-0.(19|20)\d\)\.",
        page,
    )
    assert "uncontrolled: better than random by more than `asked`, with no control" in page
    table = gains_by_budget(wide, "finalists").filter(pl.col("task") == "heldout_pool")
    assert set(table.select("selection", "budget").rows()) == {
        *((name, "1kr") for name in ROUND["strategies"] if name != "random"),
        *((name, "4kr") for name in strategies if name != "random"),
    }
    assert (table["low"] < table["gain"]).all()
    assert (table["gain"] < table["high"]).all()
    cci = dict(table.filter(pl.col("selection") == "cci").select("budget", "gain").rows())
    assert cci["1kr"] == pytest.approx(0.1, abs=0.006)
    assert cci["4kr"] == pytest.approx(-0.2, abs=0.006)


def test_a_control_of_another_round_tells_of_a_loss(book):
    more = (
        book.runs.filter(pl.col("model").str.starts_with("bottom_influence"))
        .with_columns(pl.col("model").str.replace("bottom", "random_complexity:bottom"))
        .with_columns(
            pl.when(pl.col("task") == "coreset").then("value").otherwise(pl.col("value") - 0.02)
        )
    )
    apart = {**ROUND, "strategies": ["random", "bottom_influence"], "controls": []}
    apart["strategies"] = [*apart["strategies"], "random_complexity:bottom_influence"]
    both = facts({"finalists": ROUND, "complexity": apart})
    page = texts(Book(pl.concat([book.runs, more]), {"": both}), "toy")["toy.md"]
    found = re.search(
        r"- loss, pool: random_complexity has (\d+) % of the loss of bottom_influence-1kr", page
    )
    assert 75 <= int(found.group(1)) <= 85  # 0.08 of 0.10 nats
    section = page.split("## Length, low complexity and sources")[1].split("##")[0]
    assert "| bottom_influence-1kr |" in section
    assert section.count("| bottom_influence-1kr |") == 2  # one an outcome, not one a round


def of_sources(**losses):
    """Figures of models with sources: selection to (models, sources) losses."""
    frames = []
    for row, values in losses.items():
        by_source = {f"loss_source={'abcd'[i]}": values[:, [i]].tolist() for i in range(4)}
        figures = {"loss": values.mean(1)[:, None].tolist(), **by_source}
        resamples = values.mean(1)[:, None] + np.zeros((1, 100))
        for task in ("heldout_pool", "heldout_pool_macro"):
            cell = Cell(task, f"{row}-1kr", "loss", figures, resamples, 50, True)
            frames.append(runs_of(cell, [f"{row}-1kr-s{s}" for s in range(len(values))]))
    return pl.concat(frames)


def test_controls_of_an_exploratory_round_are_said():
    """Better than random in it: what is gained over the strongest control, which may be nothing."""
    book = Book(made_up(), {"": facts({"mixture": ROUND})})
    page = texts(book, "toy")["toy.md"]
    (said,) = (line for line in page.splitlines() if "round `mixture` (exploratory)" in line)
    found = dict(re.findall(r"(\w+) at 1kr \((.*?)\)[,. a]", said))
    assert list(found) == ["cci", "top_influence", "loss"]  # bottom_influence is worse
    assert found["cci"].startswith("+0.099; over random_length:cci-1kr +0.089 [0.08")
    row = book.decisions.filter(selection="top_influence").row(0, named=True)
    assert row["low"] < row["gain"] < row["high"]
    assert found["top_influence"].endswith(
        f"top_influence-1kr {row['gain']:+.4f} [{row['low']:.4f}, {row['high']:.4f}]"
    )
    finalists = texts(Book(made_up(), {"": facts({"finalists": ROUND})}), "toy")["toy.md"]
    assert "(exploratory): better than random, with" not in finalists


def test_decisions_of_the_round_with_more_seeds_count():
    few = {**ROUND, "seeds": [0, 1], "strategies": ["random", "random_x10", "cci", "loss"]}
    book = Book(made_up(), {"": facts({"finalists": few, "shared": few, "power": ROUND})})
    assert book.in_order == ["finalists", "power", "shared"]
    page = texts(book, "toy")["toy.md"]
    told = re.findall(
        r"- loss, pool(.*): by the rule .* tested \((.*)\) these help: (.*) \(g", page
    )
    assert [(part, tested) for part, tested, _ in told] == [
        ("", "2 at 1kr"),
        (", round `power`", "4 at 1kr"),
    ]
    assert re.fullmatch(r"cci at 1kr \(\+0\.08\d\)", told[1][2])
    assert re.search(r"- loss, pool, round `power`: worse than .* bottom_influence at 1kr", page)
    assert page.count("(its decisions count)") == 2
    assert "round `power` (exploratory)" not in page
    alone = texts(Book(made_up(), {"": facts({"power": ROUND})}), "toy")["toy.md"]
    assert "nothing on this page is a finding yet" not in alone
    assert "No mean over groups" in alone


def test_one_source_on_which_random_s_models_differ():
    """Luck of one source hides what is gained on all others."""
    rng = np.random.default_rng(0)
    lucky = np.where(np.arange(SEEDS) % 2, 1.3, 1.0)[:, None]
    random = np.hstack([1.3 + rng.normal(0, 0.002, (SEEDS, 3)), lucky])
    better = np.hstack([1.28 + rng.normal(0, 0.002, (SEEDS, 3)), lucky[::-1] + 0.03])
    part = {**ROUND, "strategies": ["random", "cci"], "controls": []}
    letters = pl.concat(
        made_up(task).filter(pl.col("model") == "unigram").with_columns(
            pl.col("metric").str.replace("=a", f"={name}")
        )
        for task in ("heldout_pool", "heldout_pool_macro")
        for name in "abcd"
    ).unique(["task", "metric"], maintain_order=True)  # fmt: skip
    runs = pl.concat([of_sources(random=random, cci=better), letters])
    book = Book(runs, {"": facts({"finalists": part})})
    found = deciding(book, "1kr")
    assert (found.source, found.models) == ("d", SEEDS)
    assert min(found.share.values()) > 0.99
    assert found.scatter == pytest.approx(lucky.std(ddof=1))
    table = by_source(book, "finalists")
    assert table["source"].to_list() == ["a", "b", "c", "d", "all but d"]
    rest = table.row(-1, named=True)
    gains = (random[:, :3].mean(1), better[:, :3].mean(1))
    interval = stats.ttest_ind(*gains, equal_var=False).confidence_interval(0.95)
    assert (rest["low"], rest["high"]) == pytest.approx(tuple(interval))
    assert rest["gain"] == pytest.approx(gains[0].mean() - gains[1].mean())
    page = texts(book, "toy")["toy.md"]
    assert re.search(r"One source decides at 1kr: .* the loss on d scatters by 0.16", page)
    said = r"gain over random-1kr \(round `finalists`, exploratory\): cci 0\.01.*; on d: cci -0\.0"
    assert re.search(said, page)
    curve = texts(Book(runs, {"": facts({"scaling": part})}), "toy")["toy.md"]
    assert re.search(said.replace("finalists", "scaling"), curve)
    both = texts(Book(runs, {"": facts({"finalists": part, "scaling": part})}), "toy")["toy.md"]
    assert both.count("\n- One source decides at 1kr") == 1
    assert re.search(rf"One source decides.*{said}.* {said.replace('finalists', 'scaling')}", both)
    assert "coreset and its trainings" not in page  # nothing is known of what they are like
    # Of one outcome alone as well.
    is_macro = pl.col("task") == "heldout_pool_macro"
    alone = of_sources(random=random, cci=better)
    alone = alone.with_columns(value=pl.when(is_macro).then(pl.col("value").mean()
            + pl.int_range(pl.len()) % 7).otherwise("value"))  # fmt: skip
    shares = deciding(Book(pl.concat([alone, letters]), book.facts), "1kr").share
    assert shares["heldout_pool"] > 0.99
    assert shares["heldout_pool_macro"] < 0.5
    # Another held-out set has no say.
    extra = runs.filter(pl.col("task") == "heldout_pool").with_columns(
        task=pl.lit("heldout_extra"), value=pl.lit(1.0) + rng.normal(0, 1, 1)[0]
    )
    assert deciding(Book(pl.concat([runs, extra]), book.facts), "1kr").share == found.share
    # Where all sources go together none decides.
    together = Book(of_sources(random=random[:, [3, 3, 3, 3]]), book.facts)
    assert deciding(together, "1kr") is None


def test_rows_of_tasks_are_held_against_those_without_pretraining():
    losses = {"random-1kr": 0.5, "cci-1kr": 0.6, "untrained": 0.2}
    rng = np.random.default_rng(0)
    frames = []
    for row, value in losses.items():
        values = value + rng.normal(0, 0.01, SEEDS)
        cell = Cell("nrc", row, "macro_f1", {"macro_f1": [[float(v)] for v in values]},
                    values[:, None] + rng.normal(0, 0.002, 100), 50, True)  # fmt: skip
        frames.append(runs_of(cell, [f"{row}-s{s}" for s in range(SEEDS)]))
    network = Cell(
        "nrc", "cnn", "macro_f1", {"macro_f1": [[0.9]]}, np.full((1, 100), 0.9), 50, False
    )
    runs = pl.concat([*frames, runs_of(network, ["cnn"]), made_up()])
    part = {**ROUND, "strategies": ["random", "cci"], "controls": []}
    own = facts({"finalists": part, "probes": part})
    own["config"]["study"]["rounds"]["probes"]["tasks"] = ["nrc"]
    page = texts(Book(runs, {"": own}), "toy")["toy.md"]
    assert "- nrc, against untrained: better all 2." in page
    assert "\n\nIn all rounds:\n\n- " in page  # no line of the list before
    assert "- nrc, against cnn: not tested, as one of the two has one seed; rows are -0.3" in page
    assert "How near tests are was not compared: nrc (pool) and nrc (train)." in page
    short = page.split("## Does the model learn?")[0]
    assert "- Tasks (secondary, no claim): nrc: cci-1kr is better than random" in short
    assert "- nrc: 2 of 2 rows are better than an untrained model, 0 worse." in short
    own["trainings"] = [
        {"task": "nrc", "protocol": "own", "selection": row, "trainings": 6, "epochs": 5.0,
         "best_epoch": best, "stopped": stopped}
        for row, best, stopped in (
            ("random-1kr", 5.0, "epochs 6"), ("cci-1kr", 2.0, "epochs 6"), ("u", 5.0, "patience 6")
        )
    ]  # fmt: skip
    page = texts(Book(runs, {"": own}), "toy")["toy.md"]
    assert "- nrc: 1 of 3 rows were best in the last tenth of their epochs" in page
    assert set(Book(runs, {"": own}).decisions["round"]) == {"finalists"}
    # Of a round's tasks one may be there before the others.
    own["config"]["study"]["rounds"]["probes"]["tasks"] = ["nrc", "later"]
    page = texts(Book(runs, {"": own}), "toy")["toy.md"]
    assert re.search(r"\| probes: later \| 0 \| 12 \|", page)
    assert re.search(r"\| probes: nrc \| 12 \| 12 \|", page)
    assert "Not run: probes: later." in page
    assert "- Not run: later." in page
    own["config"]["study"]["rounds"]["probes"]["tasks"] = ["nrc"]
    row = {"task": "nrc", "protocol": "own", "against": "pool", "compared": 50, "none": 0,
           "below_50": 20, "50_to_80": 20, "above_80": 10, "seen": 5, "at": 0.95}  # fmt: skip
    own["identity"] = {"seen": [row], "by_identity": [{"task": "nrc", "bin": "none", "n": 9}]}
    found = texts(Book(runs, {"": own}), "toy")
    assert (
        "- nrc (own): 10.0% of test (5 of the 50 examples compared) are in the" in found["toy.md"]
    )
    assert "How near tests are was not compared: nrc (train)." in found["toy.md"]
    assert "nrc,,,,,none,9,,,\n" in found["toy/by_identity.csv"]
    own["identity"]["seen"] = [{**row, "seen": 0}]
    page = texts(Book(runs, {"": own}), "toy")["toy.md"]
    assert (
        "- nrc: of 50 test examples compared with pool, 0 are there at 95% identity or more, 10 "
        "above 80 %."
    ) in page
