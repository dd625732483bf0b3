"""An evaluation that is killed goes on to the same bytes; seeds share a job or do not."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from coresift.files import read_json, write_json
from coresift.models.checkpoint import build_model, save_model
from coresift.tables import read_table, write_table
from coresift.tasks.cnn import evaluate_cnn
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.probe import Probe
from coresift.tasks.problem import Work
from coresift.tasks.seeds import join_seeds
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION

CPU = torch.device("cpu")
#: 60 train examples: 8 steps an epoch.
BASE = {"kind": "scalar", "batch_size": 8, "learning_rate": 1e-3, "schedule": "linear"}
EVERY = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint with dropout, and a task's table."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("evaluation")
    model, tokenizer = build_model("tiny", "rna", 0)
    model.config.hidden_dropout_prob = 0.1
    save_model(folder / "m", model, tokenizer)
    rng = np.random.default_rng(0)
    rows = ["sequence,label,split"]
    for i in range(100):
        sequence = "".join(rng.choice(list("ACGU"), 12))
        split = "train" if i < 60 else ("valid" if i < 80 else "test")
        rows.append(f"{sequence},{sequence.count('G')},{split}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    return folder


def evaluated(folder, row, seeds, work=None, precision="float32", **options):
    """Result of a row: the network, or a checkpoint in a mode."""
    task = Task(**{"epochs": 3, **BASE, **options}, data={"path": str(folder / "t.csv")})
    if row == "cnn":
        return evaluate_cnn(task, "rna", seeds, 256, CPU, work, precision)
    task = task.model_copy(update={"mode": row})
    store = folder / "store"
    return evaluate_task(folder / "m", task, "rna", seeds, 256, CPU, store, work, precision)


def kept(path):
    return Work(path, EVERY, {"content": "x"})


def steps_taken(monkeypatch):
    """A list that grows by one with every optimiser step."""
    steps, original = [], Probe._step
    monkeypatch.setattr(Probe, "_step", lambda *a: steps.append(1) or original(*a))
    return steps


KILLED = """
import os, signal, sys, torch
sys.path.insert(0, {tests!r})
from pathlib import Path
from coresift.tasks.probe import Probe
from test_jobs import evaluated, first_is_best, kept
if {first}:
    Probe._valid_value = first_is_best
torch.set_num_threads(1)
original, steps = Probe._step, []
def step(*arguments):
    if len(steps) == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    steps.append(1)
    original(*arguments)
Probe._step = step
evaluated(Path({folder!r}), {row!r}, [0], kept(Path({work!r})))
"""


def first_is_best(*_):
    """In the place of the value on valid: the weights to keep are older than the state."""
    return 0.0


@pytest.mark.parametrize(("row", "first"), [("finetune", False), ("cnn", True)])
def test_a_job_killed_in_mid_epoch_goes_on_to_the_same_result(
    folder, tmp_path, monkeypatch, row, first
):
    if first:
        monkeypatch.setattr(Probe, "_valid_value", first_is_best)
    metrics, predictions = evaluated(folder, row, [0])
    values = {
        "tests": os.path.dirname(__file__),
        "folder": str(folder),
        "row": row,
        "first": first,
        "work": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", KILLED.format(**values)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["0.safetensors"]
    steps = steps_taken(monkeypatch)
    again, same = evaluated(folder, row, [0], kept(tmp_path))
    assert len(steps) == 24 - 10  # the state is that of step 10, in the second of 3 epochs
    assert again == metrics
    assert same.equals(predictions)
    # The job dies while its results are written: nothing is trained a second time.
    steps.clear()
    again, same = evaluated(folder, row, [0], kept(tmp_path))
    assert (len(steps), again == metrics, same.equals(predictions)) == (0, True, True)
    kept(tmp_path).finish([0])
    assert not list(tmp_path.iterdir())


def test_a_seed_of_fewer_steps_keeps_no_state(folder, tmp_path):
    evaluated(folder, "frozen", [0], Work(tmp_path, 25, {}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"options": {"weight_decay": 0.5}}, "examples"),
        ({"options": {"precision": "bf16"}}, "examples"),
        ({"content": "y"}, "content"),
        ({"table": "AAAAAAAAAAAA,0,train"}, "examples"),
    ],
)
def test_a_state_of_another_evaluation_is_not_used(folder, tmp_path, caplog, change, differs):
    evaluated(folder, "frozen", [0], kept(tmp_path))
    path = folder / "t.csv"
    text = path.read_text()
    path.write_text(text + change.get("table", ""))
    work = Work(tmp_path, EVERY, {"content": change.get("content", "x")})
    options = change.get("options", {})
    metrics, _ = evaluated(folder, "frozen", [0], work, **options)
    expected, _ = evaluated(folder, "frozen", [0], **options)
    path.write_text(text)
    assert f"of another run ({differs})" in caplog.text
    assert metrics == expected


@pytest.mark.parametrize("row", ["finetune", "cnn", "frozen"])
def test_every_row_is_evaluated_in_bf16_where_that_is_asked_for(folder, row):
    found = []
    for precision in ("float32", "bf16"):
        _, predictions = evaluated(folder, row, [0], precision=precision, epochs=1)
        found.append(predictions["prediction"].to_numpy())
    assert 0 < np.abs(found[1] - found[0]).max() < 0.1 * found[0].std() + 0.05


def write(folder, metrics, predictions):
    write_json(folder / "metrics.json", metrics)
    write_table(folder / "predictions.parquet", predictions, PREDICTION)
    return [(folder / name).read_bytes() for name in ("metrics.json", "predictions.parquet")]


@pytest.mark.parametrize("row", ["finetune", "cnn", "frozen"])
def test_joined_seeds_are_the_bytes_of_one_job(folder, tmp_path, row):
    whole = write(tmp_path, *evaluated(folder, row, [3, 0, 1], epochs=1))
    parts = []
    for seeds in ([3], [0, 1]):
        part = tmp_path / str(seeds)
        write(part, *evaluated(folder, row, seeds, epochs=1))
        parts.append(part)
    metrics = [read_json(part / "metrics.json") for part in parts]
    tables = [read_table(part / "predictions.parquet", PREDICTION) for part in parts]
    assert write(tmp_path / "joined", *join_seeds(metrics, tables)) == whole
    metrics[1]["model"] = "another"
    with pytest.raises(ValueError, match=r"seeds \[3\] and \[0, 1\] differ in model"):
        join_seeds(metrics, tables)
