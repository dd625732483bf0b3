"""Every head can overfit 16 examples; a trained model beats the baseline where it should."""

import numpy as np
import pytest
import torch
from coresift.models.checkpoint import build_model, save_model
from coresift.tasks.baseline import baseline
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.heads import make_head
from coresift.tasks.metrics import METRICS
from coresift.tasks.probe import Batches, Probe, rate_factor
from coresift.tasks.settings import Task
from coresift.tasks.targets import ScaledTargets, Targets
from transformers import get_scheduler

RNG = np.random.default_rng(0)
START = RNG.bit_generator.state
FEATURES = 24
N = 16
SMALL = {"blocks": 1, "channels": 16, "dropout": 0.0, "min_separation": 2}


@pytest.fixture(autouse=True)
def same_numbers_in_any_order_of_tests():
    RNG.bit_generator.state = START
    torch.set_num_threads(1)
    torch.manual_seed(0)


def symmetric(values):
    return np.triu(values, 1) + np.triu(values, 1).T


TARGETS = {
    "class": lambda n: RNG.integers(0, 3, 1),
    "multilabel": lambda n: RNG.integers(0, 2, (1, 3)).astype(np.float32),
    "scalar": lambda n: RNG.normal(size=1) * 5 + 100,
    "token": lambda n: RNG.integers(-1, 3, n),
    "structure": lambda n: symmetric(RNG.random((n, n)) < 0.2).astype(np.float32),
    "contact": lambda n: symmetric(RNG.random((n, n)) < 0.4).astype(np.float32),
    "distance": lambda n: symmetric(RNG.random((n, n))).astype(np.float32) * 20,
}
CASES = [
    ("class", "linear"), ("class", "pooler"), ("class", "mlp"), ("multilabel", "linear"),
    ("scalar", "linear"), ("token", "mlp"), ("pair", "mlp"), ("pair_scalar", "mlp"),
    ("structure", ""), ("contact", ""), ("distance", ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "head"), CASES)
def test_each_head_overfits_16_examples(kind, head):
    pairwise = kind in ("structure", "contact", "distance")
    task = Task(
        kind="pairwise" if pairwise else kind,
        data={"path": "x", **({"sequence_b": "b"} if kind.startswith("pair") else {})},
        pairwise={**SMALL, "target": kind if pairwise else "structure"},
        head=head or "linear",
        epochs=150 if pairwise else 200,
        learning_rate=1e-2,
        weight_decay=0.0,
        batch_size=8,
        patience=300,
    )
    lengths = RNG.integers(5, 8, N)
    labels = [TARGETS[task.target if not pairwise else kind](n) for n in lengths]
    rows = {"pairwise": lengths + 2, "token": lengths}.get(task.kind, np.ones(N, dtype=int))
    states = [torch.from_numpy(RNG.normal(size=(n, FEATURES))).float() for n in rows]
    targets = ScaledTargets(task, Targets(labels, 3, []), lengths, 100, np.arange(N))
    net = make_head(task, FEATURES, 1 if task.target == "scalar" else 3)
    batches = Batches((lengths + 2) ** 2, 300)
    probe = Probe(task, net, None, lambda batch: [states[i] for i in batch], targets, batches)
    everything = np.arange(N)
    probe.fit(everything, everything, seed=0)
    assert METRICS[task.metrics][task.primary](probe.sample(everything)) > 0.95


def write_task(folder, rows, header="sequence,label,split"):
    path = folder / "t.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return {"path": str(path)}


def split(i):
    return ("train", "train", "train", "valid", "test")[i % 5]


def random_letters(letters, n):
    return "".join(RNG.choice(list(letters), n))


def motif_order(folder):
    """Class: which of two motifs comes first, far apart: not in the counts of k-mers."""
    rows = []
    for i in range(300):
        motifs = ["GGGG", "CCCC"][:: 1 if i % 2 else -1]
        gaps = [random_letters("AU", int(n)) for n in RNG.integers(6, 9, 3)]
        rows.append((f"{gaps[0]}{motifs[0]}{gaps[1]}{motifs[1]}{gaps[2]}", motifs[0], split(i)))
    return {"kind": "class", "data": write_task(folder, rows)}


def first_letter(folder):
    """Token: the first residue decides every residue's class, beyond the window."""
    rows = []
    for i in range(150):
        sequence = random_letters("GC", 1) + random_letters("AU", 30)
        rows.append((sequence, ("X" if sequence[0] == "G" else "Y") * 31, split(i)))
    return {"kind": "token", "data": write_task(folder, rows)}


def shared_letter(folder):
    """Contact: both residues are G, which separation and complementarity do not tell."""
    rows = []
    for i in range(60):
        sequence = random_letters("ACGU", 16)
        is_g = np.array(list(sequence)) == "G"
        np.save(folder / f"{i}.npy", np.outer(is_g, is_g).astype(np.float32))
        rows.append((sequence, f"{i}.npy", split(i)))
    options = {**SMALL, "target": "structure"}
    return {"kind": "pairwise", "pairwise": options, "data": write_task(folder, rows)}


@pytest.mark.parametrize("synthetic", [motif_order, first_letter, shared_letter])
def test_a_trained_model_beats_the_baseline(tmp_path, synthetic):
    save_model(tmp_path / "m", *build_model("tiny", "rna", 0))
    values = synthetic(tmp_path)
    task = Task(**values, mode="finetune", encoder_rate=1.0, learning_rate=3e-3, epochs=25,
                batch_size=16, patience=25)  # fmt: skip
    simple, _ = baseline(task, "rna")
    trained, _ = evaluate_task(
        tmp_path / "m", task, "rna", [0], 4096, torch.device("cpu"), tmp_path / "store"
    )
    name = task.primary
    scores = [found["metrics"][name]["mean"] for found in (simple, trained)]
    assert scores[0] < 0.75
    assert scores[1] > 0.9


@pytest.mark.parametrize("warmup", [0, 3, 20])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rates_are_those_of_transformers(schedule, warmup):
    task = Task(kind="class", data={"path": "t.csv"}, schedule=schedule, warmup_steps=warmup)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = get_scheduler(
        {"constant": "constant_with_warmup"}.get(schedule, schedule), optimizer, warmup, 12
    )
    for step in range(12):
        assert 0.3 * rate_factor(task, step, 12) == theirs.get_last_lr()[0]
        optimizer.step()
        theirs.step()
