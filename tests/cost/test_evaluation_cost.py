"""Operations of heads against torch's counter, batches against evaluations, published sizes."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from coresift.config import load_config
from coresift.cost import operations, stages
from coresift.cost.calibration import assumed
from coresift.cost.estimate import Corpus, EstimateError, Estimator, report
from coresift.cost.evaluation import Evaluation, TaskReading
from coresift.cost.heads import Reading, head_forward, head_step, network_forward
from coresift.cost.operations import Load, PeakMemory, head_bytes
from coresift.cost.sizes import Examples, Published, examples, published
from coresift.files import read_yaml
from coresift.tasks.cnn import CHANNELS, CNN
from coresift.tasks.heads import form_of, make_head
from coresift.tasks.probe import Batches
from coresift.tasks.problem import MAX_PADDING
from coresift.tasks.settings import Task, task_presets
from torch.utils.flop_counter import FlopCounterMode

DATA = {"path": "x.csv"}
A100 = assumed("a100", 0.3)


def make_task(kind="pairwise", **values):
    return Task(kind=kind, data=DATA, **values)


def counted(run, train):
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(train):
        outputs = run()
        if train:
            torch.stack([out.sum() for out in outputs]).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(("kept", "again"), [(0, 3), (1, 2), (1024, 0)])
def test_a_pairwise_head_is_what_the_counter_sees(kept, again):
    pairwise = {"blocks": 3, "channels": 8, "activations_mb": kept}
    task = make_task(pairwise=pairwise)
    width, n, features = 40, 2, 12
    pairs = n * width**2
    head = make_head(task, features, 1)
    # One MiB holds what one block of these maps keeps; the others are run twice.
    states = [torch.randn(width, features, requires_grad=True) for _ in range(n)]
    read = Reading(Load(n, n * width, n * width**2), pairs, pairs * again)
    reading = TaskReading(task, lengths(np.full(n, width - 2)), 10**6, MAX_PADDING)
    assert reading.epoch() == replace(read, encoder=replace(read.encoder, counted=0.0))
    assert counted(lambda: head(states), False) == head_forward(task, features, read)
    assert counted(lambda: head(states), True) == head_step(task, features, read)


def test_dry_run_memory_of_a_pairwise_head_is_that_of_a_real_step():
    task = make_task(batch_size=2, pairwise={"blocks": 3, "channels": 8})
    head = make_head(task, 12, 1)
    states = [torch.randn(40, 12, requires_grad=True) for _ in range(2)]
    with PeakMemory(head) as memory:
        torch.stack([out.sum() for out in head(states)]).sum().backward()
    moments = 2 * 4 * sum(p.numel() for p in head.parameters())
    assert head_bytes(task, 12, 40) - moments == pytest.approx(memory.peak, rel=0.35)


@pytest.mark.parametrize(
    "values", [{"head": "linear"}, {"head": "mlp"}, {"head": "pooler", "n_labels": 5}]
)
def test_heads_on_rows_are_what_the_counter_sees(values):
    task = make_task("multilabel", **values)
    head = make_head(task, 12, task.n_labels or 1)
    states = [torch.randn(1, 12, requires_grad=True) for _ in range(7)]
    read = Reading(Load(7, 70, 700), 7)
    assert counted(lambda: head(states), False) == head_forward(task, 12, read)
    assert counted(lambda: head(states), True) == head_step(task, 12, read)


@pytest.mark.parametrize("kind", ["class", "token"])
def test_the_network_is_what_the_counter_sees(kind):
    task = make_task(kind)
    form = form_of(task.model_copy(update={"pooling": "mean"}))
    network = CNN("rna", form, 100)
    read = Reading(Load(3, 3 * 48, 0), 0)
    sequences = ["ACGU" * 12] * 3
    assert counted(lambda: network(sequences), False) == network_forward(task, "rna", read)
    # Letters need no gradient: the stem's own is the only one of its layer.
    stem = 2 * 9 * network.n_letters * CHANNELS * 3 * 48
    step = counted(lambda: network(sequences), True)
    assert step == 3 * network_forward(task, "rna", read) - stem


def lengths(train, valid=(10,), test=(10,)):
    splits = {"train": train, "valid": valid, "test": test}
    return Examples({s: np.atleast_2d(np.asarray(n)) for s, n in splits.items()}, False)


def test_batches_are_cut_as_evaluations_cut_them():
    rng = np.random.default_rng(0)
    found = lengths(*(rng.integers(10, 200, n) for n in (600, 90, 70)))
    task = make_task(batch_size=8, pairwise={"pairs_per_batch": 50_000, "activations_mb": 0})
    reading = TaskReading(task, found, 16384, MAX_PADDING)
    tokens = found.lengths["train"][0] + 2
    batches = Batches(tokens**2, 50_000, MAX_PADDING)
    steps = np.split(np.random.default_rng(1).permutation(600), 75)
    area = sum(
        len(part) * int(tokens[part].max()) ** 2 for step in steps for part in batches.cut(step)
    )
    epoch = reading.epoch()
    assert epoch.units == pytest.approx(area, rel=0.02)  # another order
    assert epoch.encoder.sequences == 600
    assert epoch.units < (tokens**2).sum() / (1 - MAX_PADDING)
    assert epoch.again == 16 * epoch.units
    # stop_on loss cuts all of valid at once, the metric as predictions are made.
    assert reading.validated().units <= reading.predicted("valid").units
    assert reading.evaluations == task.epochs
    often = make_task(batch_size=8, epochs=2, evaluate_steps=40)
    assert (
        TaskReading(often, found, 16384, MAX_PADDING).evaluations == 4
    )  # 150 steps: 40, 80, 120, 150


def test_two_sequences_are_read_side_by_side():
    task = make_task("class")
    pair = Examples({s: np.array([[8, 8], [18, 18]]) for s in ("train", "valid", "test")}, False)
    read = TaskReading(task, pair, 1000, MAX_PADDING).epoch()
    assert read == Reading(Load(4, 2 * (10 + 20), 2 * (100 + 400), counted=0.0), 2)


@pytest.mark.parametrize("name", task_presets())
def test_published_lengths_have_the_published_mean_and_largest(name):
    task = Task(preset=name, data=DATA | ({"fasta_b": "b"} if name == "rbp" else {}))
    size = published(task)
    assert size.source
    found = size.lengths("train")
    assert len(found) == size.train
    assert found.mean() == pytest.approx(size.mean, rel=0.05)
    assert 0.3 * size.longest < found.max() <= size.longest


def test_a_sample_is_one_of_the_published_size():
    task = Task(preset="sec_struct", protocol="quick", data=DATA)
    found, size = examples(task, "rna"), published(task)
    assert found.published
    assert (found.lengths["train"] <= 150).all()
    assert [found.lengths[s].shape[1] for s in ("train", "valid")] == [2000, 200]
    assert found.lengths["test"].size == (size.lengths("test") <= 150).sum()
    short = task.model_copy(update={"sample": task.sample.model_copy(update={"max_length": 9})})
    with pytest.raises(EstimateError, match="sec_struct: no train example is within 9 residues"):
        examples(short, "rna")


def config_of(root, name, precision="bf16"):
    values = read_yaml(root / f"config/{name}.yaml")
    return load_config(values | {"evaluate": {**values["evaluate"], "precision": precision}})


@pytest.mark.parametrize("overlay", ["shared_rna", "shared_protein"])
def test_published_sizes_cost_what_the_files_do(root, shared_data, monkeypatch, overlay):
    """Of the same number, mean and largest length: within a third (0.78 to 1.06 when written)."""
    monkeypatch.chdir(root)
    modality = overlay.removeprefix("shared_")
    values = yaml.safe_load((root / f"config/{overlay}.yaml").read_text())["tasks"]
    config = config_of(root, modality)
    evaluation = Evaluation(config, Corpus.given(10**6, 300), A100)
    for name, options in values.items():
        task = Task(**options)
        if task.protocol_name != "published" or name == "rbp":  # RPI1807 is of two lengths
            continue
        there = examples(task, modality)
        assert not there.published
        every = np.concatenate([n.ravel() for n in there.lengths.values()])
        numbers = {split: n.shape[1] for split, n in there.lengths.items()}
        size = Published(source="x", mean=every.mean(), longest=every.max(), **numbers)
        columns = len(there.lengths["train"])
        given = {s: np.tile(size.lengths(s), (columns, 1)) for s in numbers}
        ratio = evaluation.row_hours(task, Examples(given, True)) / evaluation.row_hours(
            task, there
        )
        assert 0.75 < ratio < 1.33, name


@pytest.fixture
def no_memory(monkeypatch):
    """Hours only: no dry run."""
    for module in (stages, operations):
        for name in ("training_bytes", "forward_bytes", "head_bytes"):
            monkeypatch.setattr(module, name, lambda *_: 0, raising=False)
    monkeypatch.setattr("coresift.cost.evaluation.head_bytes", lambda *_: 0)
    monkeypatch.setattr("coresift.cost.estimate.scoring_bytes", lambda *_: 0)


CORPORA = {"rna": Corpus.given(2_000_000, 500), "protein": Corpus.given(4_500_000, 280)}


@pytest.mark.parametrize("name", CORPORA)
def test_screening_costs_at_most_half_of_pretraining(root, no_memory, name):
    """In bf16 and in float32; and the comment of the config says what the estimate does."""
    said = (root / f"config/{name}.yaml").read_text().split("\nrun: ")[0]
    for precision in ("bf16", "float32"):
        config = config_of(root, name, precision)
        text = report(config, CORPORA[name], A100)
        tasks = {p: float(h) for p, h in re.findall(r"by protocol (\w+): ([\d.]+) h", text)}
        assert [*tasks] == ["published", "quick"]
        pretraining = float(re.search(r"of the pretraining's ([\d.]+) h", text)[1])
        assert tasks["quick"] < 0.5 * pretraining
        total = float(re.search(r"^total +\d+ +([\d.]+)$", text, re.M)[1])
        figures = r": quick ([\d.]+) h, published ([\d.,]+) h, ([\d.,]+) h in all"
        comment = " ".join(said.replace("\n#", "").split())
        found = re.search(precision + figures, comment).groups()
        numbers = [float(n.replace(",", "")) for n in found]
        assert numbers == pytest.approx([tasks["quick"], tasks["published"], total], rel=0.05)


def test_a_stage_is_a_row_and_the_dearest_is_named(root, no_memory):
    config = config_of(root, "rna", "float32")
    text = report(config, CORPORA["rna"], A100)
    lines = text.splitlines()
    rows = {line[:32].strip(): line[32:].split() for line in lines}
    for name, task in config.tasks.items():
        models = len(config.selection.names) + 1 if task.rows is None else 3
        assert int(rows[f"evaluate {name}"][0]) == models * 3 * 3  # rows x coreset seeds x seeds
        assert rows[f"baselines {name}"][0] == "2"
        assert (f"cnn {name}" in rows) == (task.kind != "pair")
    assert re.fullmatch(r"Most of it: evaluate \w+, [\d.]+ h of \d+ \(\d+%\)", lines[-1])
    assert "upper bound" in text
    assert "their files are not here: type_cls, modif," in text


def test_what_is_unknown_is_said_and_optional_tasks_are_left_out(root, no_memory):
    values = read_yaml(root / "config/rna.yaml")
    unknown = {"kind": "class", "data": {"path": "no.csv"}}
    tasks = {"own": unknown, "gone": {"preset": "modif", "data": DATA, "optional": True}}
    config = load_config(values | {"tasks": tasks})
    estimator = Estimator(config, CORPORA["rna"], A100)
    assert not any("own" in s.name or "gone" in s.name for s in estimator.stages())
    text = report(config, CORPORA["rna"], A100)
    assert "nor of published size: own, gone." in text
