"""Nothing is lost in silence: cropped sequences, unread residues, rejected records, warnings."""

import json
import logging
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from coresift.corpus.dedup import deduplicate
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.corpus.subset import PoolError, random_subset
from coresift.corpus.summary import as_text, summarise
from coresift.corpus.tables import SEQUENCE
from coresift.files import write_json
from coresift.influence.fisher import part_of
from coresift.models.checkpoint import build_model, save_model
from coresift.models.cropping import count_cropped
from coresift.models.tokenizer import build_tokenizer
from coresift.report.embedding import pooled_states
from coresift.report.losses import cropped_table
from coresift.settings import plain
from coresift.tables import write_arrow, write_table
from coresift.tasks.baseline import baseline
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import Sample, from_table, make_sample
from coresift.tasks.settings import Task
from coresift.tasks.targets import ScaledTargets, Targets
from coresift.training.runs import finetune, pretrain
from coresift.training.settings import Optimisation
from transformers import EsmForMaskedLM

CPU = torch.device("cpu")
#: Residues that the short model reads.
ROOM = 18
RNG = np.random.default_rng(0)
SMALL = {"blocks": 1, "channels": 4, "min_separation": 3}


@pytest.fixture(scope="module")
def short_model(tmp_path_factory):
    """A checkpoint that reads `ROOM` residues."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("short") / "model"
    config = build_model("tiny", "rna", 0)[0].config
    config.position_embedding_type = "absolute"
    config.max_position_embeddings = ROOM + 4  # <cls>, <eos>, and two before the first position
    save_model(folder, EsmForMaskedLM(config), build_tokenizer("rna", ROOM + 2))
    return folder


@pytest.mark.parametrize(
    ("lengths", "room", "counts", "level"),
    [
        ([10, 20, 30], 30, (0, 3, 0, 60), logging.INFO),
        ([10, 20, 33], 18, (2, 3, 17, 63), logging.WARNING),
        ([10] * 99 + [21], 20, (1, 100, 1, 1011), logging.INFO),  # 1 % is not above it
        ([10] * 98 + [21], 20, (1, 99, 1, 1001), logging.WARNING),
        ([], 20, (0, 0, 0, 0), logging.INFO),
    ],
)
def test_cropping_is_counted_and_above_a_share_warned_of(caplog, lengths, room, counts, level):
    caplog.set_level(logging.INFO)
    found = count_cropped(np.array(lengths), room)
    assert tuple(found[k] for k in ("sequences", "of", "residues", "of_residues")) == counts
    assert [record.levelno for record in caplog.records] == [level]


def test_training_reads_long_sequences_in_pieces(tmp_path, caplog, short_model):
    caplog.set_level(logging.INFO)
    sequences = ["ACGU" * 10, "ACGUA" * 3, "GGCA" * 9]
    frame = pl.DataFrame({"seq_id": ["a", "b", "c"], "sequence": sequences}).with_columns(
        length=pl.col("sequence").str.len_chars().cast(pl.Int32)
    )
    options = plain(Optimisation(tokens_per_step=91, tokens_per_batch=91, max_tokens=20))
    expected = {"sequences": 2, "of": 3, "residues": 0, "of_residues": 91, "room": 18}
    files = [tmp_path / name for name in ("out", "metrics", "work")]
    assert finetune(short_model, "rna", frame, 1, options, 0, CPU, *files) == expected
    assert json.loads(files[1].read_text())["residues"] == 91  # every one, in one step
    files = [tmp_path / name for name in ("out2", "metrics2", "work2")]
    assert pretrain("tiny", "rna", frame, 91, options, 0, CPU, *files) == expected
    assert "2 of 3 sequences are longer than the 18 residues that the model reads at once" in (
        caplog.text
    )


@pytest.mark.parametrize("n_parts", [1, 3, 64])
def test_the_parts_of_the_fisher_count_each_sequence_once(n_parts):
    subset = pl.DataFrame({"seq_id": [f"{i:03}" for i in RNG.permutation(100)]})
    parts = pl.concat(part_of(subset, i, n_parts) for i in range(n_parts))
    assert parts["seq_id"].to_list() == [f"{i:03}" for i in range(100)]


def test_embedding_counts(tmp_path, caplog, short_model):
    sequences = ["ACGU" * 10, "ACGUACGUACGU"]
    states, counts = pooled_states(short_model, "rna", sequences, 1024, 512, CPU, tmp_path)
    assert states.shape[0] == 2
    assert (counts["sequences"], counts["residues"]) == (1, 22)
    assert "1 of 2 sequences are longer than the 18 residues" in caplog.text


def write_task(folder, kind, n=24):
    """Examples of 12 to 36 residues; a third and more of them longer than `ROOM`."""
    rows = ["sequence,label,split"]
    for i in range(n):
        sequence = "".join(RNG.choice(list("ACGU"), 12 + i))
        label = "".join("P" if c in "AG" else "Y" for c in sequence)
        if kind != "token":
            size = len(sequence)
            near = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float32)
            values = {"structure": near == size - 1, "contact": near == 3, "distance": near}[kind]
            np.save(folder / f"{i}.npy", values.astype(np.float32))
            label = f"{i}.npy"
        rows.append(f"{sequence},{label},{('train', 'train', 'valid', 'test')[i % 4]}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    return {"path": str(folder / "t.csv")}


@pytest.mark.parametrize("kind", ["token", "structure", "contact", "distance"])
def test_a_model_and_its_baseline_count_the_same_residues(tmp_path, short_model, kind):
    pairwise = {} if kind == "token" else {"pairwise": {"target": kind, **SMALL}}
    task = Task(kind="token" if kind == "token" else "pairwise", epochs=1, max_tokens=32,
                data=write_task(tmp_path, kind), **pairwise)  # fmt: skip
    arguments = (short_model, task, "rna", [0], 2048, CPU, tmp_path)
    metrics, predictions = evaluate_task(*arguments)
    own, rows = baseline(task, "rna")
    counted = predictions.unique("example_id").sort("example_id")["length"].to_list()
    assert counted == rows.unique("example_id").sort("example_id")["length"].to_list()
    # Tests are of 15, 19 .. 35 residues, of which the task reads 30.
    assert sorted(counted) == [15, 19, 23, 27, 30, 30]
    assert metrics["cropped"]["room"] == ROOM
    assert (metrics["cropped"]["sequences"], metrics["cropped"]["of"]) == (17, 24)
    assert (own["cropped"]["sequences"], own["cropped"]["residues"]) == (5, 15)
    unread = predictions.filter(pl.col("prediction").is_nan())
    if kind == "token":
        assert predictions.height == rows.height == sum(counted)
        assert unread.height == 1 + 5 + 9 + 12 + 12
        assert (unread["position"] >= ROOM).all()
    if kind == "distance":
        assert predictions.height == rows.height
        beyond = predictions.filter(pl.col("position") % pl.col("length") >= ROOM)
        assert beyond["prediction"].n_unique() == 1  # train's mean
    for name, metric in METRICS[task.metrics].items():
        values = [metric(s) for s in from_table(predictions, task.metrics)]
        assert metrics["metrics"][name]["values"] == pytest.approx(values)
        assert np.isfinite(values).all()


def sample_of(target_name, room, examples):
    """What a model has that reads `room` residues and is right in every one."""
    kind = "token" if target_name == "token" else "pairwise"
    pairwise = {} if kind == "token" else {"pairwise": {"target": target_name, **SMALL}}
    task = Task(kind=kind, data={"path": "x"}, **pairwise)
    lengths = np.array([len(e) for e in examples])
    rows = np.arange(len(examples))
    known = ScaledTargets(task, Targets(examples, 2, []), lengths, room, rows)
    return task, make_sample(task, known, rows, [known.raw(i).astype(float) for i in rows])


def test_unread_residues_are_wrong_and_no_class_of_their_own():
    examples = [np.array([0, 1] * 6), np.array([1, 1, 0])]
    _, sample = sample_of("token", 6, examples)
    found = {name: metric(sample) for name, metric in METRICS["token"].items()}
    assert found["micro_accuracy"] == pytest.approx(9 / 15)
    assert found["macro_accuracy"] == pytest.approx((6 / 12 + 1) / 2)
    # Class 0: 4 of 7 found, class 1: 5 of 8, and nothing called that is not.
    assert found["macro_f1"] == pytest.approx((8 / 11 + 10 / 13) / 2)


def test_unread_pairs_are_not_found():
    pairs = np.zeros((20, 20))
    pairs[0, 9] = pairs[9, 0] = pairs[1, 19] = pairs[19, 1] = 1
    _, sample = sample_of("structure", 10, [pairs])
    assert METRICS["pairwise_structure"]["pooled_f1"](sample) == pytest.approx(2 / 3)


def test_contacts_of_unread_residues_are_forfeited():
    contacts = np.ones((20, 20))
    for room, expected in ((20, 1.0), (10, 0.5), (3, 0.0)):
        _, sample = sample_of("contact", room, [contacts])
        for name in ("beacon_top_l", "top_l", "beacon_top_l2", "top_l2"):
            assert METRICS["pairwise_contact"][name](sample) == pytest.approx(expected)
    # A table of predictions says the same.
    frame = {"targets": sample.targets, "predictions": sample.predictions}
    again = Sample(frame["targets"], frame["predictions"], sample.groups, sample.positions,
                   sample.lengths)  # fmt: skip
    assert METRICS["pairwise_contact"]["top_l"](again) == 0.0


@pytest.mark.parametrize("target", ["token", "structure", "contact", "distance"])
def test_a_shorter_context_never_looks_better(target):
    if target == "token":
        examples = [RNG.integers(0, 2, n) for n in (9, 20, 40)]
    else:
        maps = [RNG.random((n, n)) for n in (9, 20, 40)]
        examples = maps if target == "distance" else [(m > 0.7).astype(float) for m in maps]
    metrics = METRICS["token" if target == "token" else f"pairwise_{target}"]
    before = None
    for room in (40, 30, 20, 10, 5):
        _, sample = sample_of(target, room, examples)
        values = {n: (-1 if n == "mse" else 1) * m(sample) for n, m in metrics.items()}
        assert before is None or all(values[n] <= before[n] + 1e-9 for n in values)
        before = values


def test_the_page_has_a_row_a_stage(tmp_path):
    counts = {"of": 10, "residues": 5, "of_residues": 100, "room": 7}
    labels, files = [], []
    for i, (stage, model, n) in enumerate(
        [("score", "", 1), ("score", "", 2), ("fine-tune", "", 0), ("evaluate t", "a", 1),
         ("evaluate t", "b", 1), ("evaluate t", "c", 3), *(("embed", m, 2) for m in "wxyz")]
    ):  # fmt: skip
        files.append(tmp_path / f"{i}.json")
        write_json(files[-1], {"cropped": {**counts, "sequences": n}, "other": 1})
        labels.append((stage, model))
    assert cropped_table(labels, files).rows() == [
        ("score", "", 3, 20, 10, 200),
        ("evaluate t", "a, b", 1, 10, 5, 100),
        ("evaluate t", "c", 3, 10, 5, 100),
        ("embed", "4 models", 2, 10, 5, 100),
    ]
    assert cropped_table([], []).height == 0


@pytest.fixture
def poor_pool(tmp_path, caplog):
    """A pool that a file gave little to: its bucket, report and summary."""
    path = tmp_path / "poor.fa"
    path.write_text(">a\nACGUACGU\n>b\nAC--GU..AC\n>c\nACG\n>d\nACGU!\n>e\nAC-GUACGU\n")
    report = ingest(
        path, "poor", [tmp_path / "part"], tmp_path / "rejects", "rna", Limits(5, 50, 0.1), 4, 1
    )
    table = deduplicate([tmp_path / "part"], 4)
    write_arrow(tmp_path / "distinct", table, SEQUENCE)
    write_table(tmp_path / "pool", pl.DataFrame(table), SEQUENCE)
    write_json(tmp_path / "report", report)
    summary = summarise(
        [tmp_path / "report"], [tmp_path / "distinct"], [tmp_path / "pool"], [], 0, 0
    )
    return path, tmp_path, summary, caplog.text


def test_a_file_that_is_mostly_rejected_is_warned_of(poor_pool):
    path, _, summary, logged = poor_pool
    text = f"{path}: 4 of 5 records rejected; aligned: 2, first record 2 (b): 4 gaps (-.)"
    assert text in logged
    assert "letters: 1, first record 4 (d): 1 characters outside the rna alphabet: !" in logged
    assert [problem.startswith(text) for problem in summary["problems"]] == [True]
    assert as_text(summary).splitlines() == [
        "corpus: 5 records, 1 accepted, 1 distinct, 0 not sampled, 0 close to tasks' examples, "
        "0 held out: a pool of 1 sequences, 8 residues",
        f"  {path}: 1 of 5 records accepted, rejected: 2 aligned, 1 letters, 1 too_short",
    ]


def test_a_pool_that_is_too_small_says_why(poor_pool):
    path, folder, _, _ = poor_pool
    with pytest.raises(PoolError) as caught:
        random_subset([folder / "pool"], 2, 0, [folder / "report"])
    lines = str(caught.value).splitlines()
    assert lines[0] == "subset.size is 2, but the pool has only 1 sequences"
    assert f"{path}: 1 of 5 records accepted, rejected: 2 aligned" in lines[2]
    assert "  too_short: record 3 (c): 3 residues, minimum 5" in lines


def test_warnings_of_our_own_reach_the_terminal_once(tmp_path):
    code = f"""
import logging
from coresift.dag.logs import start
start({str(tmp_path / "ingest-a.log")!r})
start({str(tmp_path / "ingest-a.log")!r})
logging.getLogger("coresift.corpus.ingest").warning("mostly %s", "rejected")
logging.getLogger("coresift.corpus.ingest").info("fine")
logging.getLogger("transformers").warning("noise")
raise ValueError("the cause")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines() == [
        "ingest-a: WARNING: mostly rejected",
        "ValueError: the cause",
        f"log: {tmp_path / 'ingest-a.log'}",
    ]
    log = (tmp_path / "ingest-a.log").read_text()
    assert all(log.count(text) == 1 for text in ("mostly rejected", "fine", "noise", "Traceback"))


@pytest.mark.workflow
def test_scores_and_coreset_make_the_corpus_summary(tmp_path, run_rules):
    (tmp_path / "a.fa").write_text(">a\nACGU\n")
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
    for target in ("scores", "coreset"):
        done = run_rules(config, target, "-n")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "rule summarise_corpus:" in done.stdout + done.stderr
