"""Every head can overfit 16 examples; a trained model beats the baseline where it should."""

import numpy as np
import pytest
import torch
from coresift.models.checkpoint import build_model, save_model
from coresift.tables import conform
from coresift.tasks.baseline import baseline
from coresift.tasks.cnn import CNN, evaluate_cnn
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.heads import form_of, make_head
from coresift.tasks.metrics import METRICS
from coresift.tasks.probe import Batches, Fit, Probe
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION
from coresift.tasks.targets import ScaledTargets, Targets

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


def task_of_kind(kind, **options):
    """A task of a kind of label, and labels of N random sequences' lengths."""
    pairwise = kind in ("structure", "contact", "distance")
    task = Task(
        kind="pairwise" if pairwise else kind,
        data={"path": "x", **({"sequence_b": "b"} if kind.startswith("pair") else {})},
        pairwise={**SMALL, "target": kind if pairwise else "structure"},
        weight_decay=0.0,
        batch_size=8,
        patience=300,
        **options,
    )
    lengths = RNG.integers(5, 8, N)
    labels = [TARGETS[task.target if not pairwise else kind](n) for n in lengths]
    return task, lengths, labels


def overfitted(task, lengths, labels, features, tuned=None):
    """The primary metric of a head on what it was fitted to, batched and stopped as ever."""
    targets = ScaledTargets(task, Targets(labels, 3, []), lengths, 100, np.arange(N))
    everything = np.arange(N)
    width = features(everything)[0].shape[1]
    net = make_head(task, width, 1 if task.target == "scalar" else 3)
    probe = Probe(task, net, tuned, features, targets, Batches((lengths + 2) ** 2, 300))
    probe.fit(everything, everything, seed=0)
    return METRICS[task.metrics][task.primary](probe.sample(everything))


@pytest.mark.parametrize(("kind", "head"), CASES)
def test_each_head_overfits_16_examples(kind, head):
    epochs = 200 if head else 150
    options = {"head": head or "linear", "epochs": epochs, "learning_rate": 1e-2}
    task, lengths, labels = task_of_kind(kind, **options)
    rows = {"pairwise": lengths + 2, "token": lengths}.get(task.kind, np.ones(N, dtype=int))
    states = [torch.from_numpy(RNG.normal(size=(n, FEATURES))).float() for n in rows]
    assert overfitted(task, lengths, labels, lambda batch: [states[i] for i in batch]) > 0.95


ONE_SEQUENCE = ["class", "multilabel", "scalar", "token", "structure", "distance"]


@pytest.mark.parametrize("kind", ONE_SEQUENCE)
def test_the_network_overfits_16_examples(kind):
    epochs = 60 if kind in ("structure", "distance") else 40
    options = {"epochs": epochs, "learning_rate": 3e-3, "encoder_rate": 1.0}
    task, lengths, labels = task_of_kind(kind, mode="finetune", **options)
    sequences = [random_letters("ACGU", n) for n in lengths]
    net = CNN("rna", form_of(task), 100)
    features = lambda batch: net([sequences[i] for i in batch])  # noqa: E731
    assert overfitted(task, lengths, labels, features, net) > 0.95


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


def probe_of(kind, precision):
    """A head of random weights on random states; the examples' targets beside them."""
    task, lengths, labels = task_of_kind(kind, epochs=2, learning_rate=1e-3)
    rows = {"pairwise": lengths + 2, "token": lengths}.get(task.kind, np.ones(N, dtype=int))
    states = [torch.from_numpy(RNG.normal(size=(n, FEATURES))).float() for n in rows]
    targets = ScaledTargets(task, Targets(labels, 3, []), lengths, 100, np.arange(N))
    torch.manual_seed(0)
    head = make_head(task, FEATURES, 1 if task.target == "scalar" else 3)
    batches = Batches((lengths + 2) ** 2, 300, 0.2)
    return Probe(task, head, None, lambda b: [states[i] for i in b], targets, batches, precision)


@pytest.mark.parametrize("kind", ["class", "multilabel", "scalar", "token", "contact", "distance"])
def test_bf16_is_near_float32_and_not_it(kind):
    losses = []
    for precision in ("float32", "bf16"):
        RNG.bit_generator.state = START
        probe = probe_of(kind, precision)
        found = [probe.mean_loss(np.arange(N))]
        probe.fit(np.arange(N), np.arange(N), 0)
        outputs = probe._outputs(np.arange(N))
        assert {one.dtype for one in outputs} == {torch.float32}
        losses.append([*found, probe.mean_loss(np.arange(N))])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert losses[1] != losses[0]


@pytest.mark.parametrize("window", [1, 3, 100])
def test_predictions_stand_in_the_order_of_examples(monkeypatch, window):
    monkeypatch.setattr("coresift.tasks.probe.WINDOW", window)
    probe = probe_of("contact", "float32")
    order = RNG.permutation(N)
    runs = probe.batches.windows(order)
    assert np.concatenate(runs).tolist() == order.tolist()
    budget = window * probe.batches.budget
    costs = [probe.batches.costs[run] for run in runs]
    assert all(cost[:-1].sum() <= budget for cost in costs)
    for i, found in zip(order, probe.predict(order), strict=True):
        (alone,) = probe.predict(np.array([i]))
        np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([3, 2, 2, 4, 1], (4, 2, "patience")),
        ([3, 2, 2, 1, 2], (5, 4, "epochs")),
        ([3, 2, 1, 1, 1], (5, 3, "patience")),
        ([np.nan] * 5, (2, 0, "patience")),
    ],
)
def test_a_training_says_why_it_stopped(monkeypatch, values, found):
    task, lengths, labels = task_of_kind("class", epochs=5)
    task = task.model_copy(update={"patience": 2})
    targets = ScaledTargets(task, Targets(labels, 3, []), lengths, 100, np.arange(N))
    states = [torch.ones(1, FEATURES)] * N
    head = make_head(task, FEATURES, 3)
    probe = Probe(task, head, None, lambda b: [states[i] for i in b], targets, Batches(lengths, 99))
    left = iter(values)
    monkeypatch.setattr(Probe, "_valid_value", lambda self, valid: next(left))
    assert probe.fit(np.arange(N), np.arange(N), 0) == Fit(*found)


SYNTHETIC = [motif_order, first_letter, shared_letter]


def primary(found):
    metrics, _ = found
    return metrics["metrics"][metrics["primary"]]["mean"]


@pytest.mark.parametrize("synthetic", SYNTHETIC)
def test_a_trained_model_beats_the_baseline(tmp_path, synthetic):
    save_model(tmp_path / "m", *build_model("tiny", "rna", 0))
    values = synthetic(tmp_path)
    task = Task(**values, mode="finetune", encoder_rate=1.0, learning_rate=3e-3, epochs=25,
                batch_size=16, patience=25)  # fmt: skip
    cpu = torch.device("cpu")
    assert primary(baseline(task, "rna")) < 0.75
    assert primary(evaluate_task(tmp_path / "m", task, "rna", [0], 4096, cpu, tmp_path)) > 0.9


@pytest.mark.parametrize(("synthetic", "epochs"), [*zip(SYNTHETIC, (3, 12, 18), strict=True)])
def test_the_network_beats_the_baseline(tmp_path, synthetic, epochs):
    """By its own rate: a task's is for an encoder that has learnt, here far too low."""
    task = Task(**synthetic(tmp_path), learning_rate=1e-6, epochs=epochs, batch_size=4,
                patience=epochs)  # fmt: skip
    assert primary(baseline(task, "rna")) < 0.75
    found = evaluate_cnn(task, "rna", [0], 4096, torch.device("cpu"))
    assert primary(found) > 0.9


def test_the_network_gives_the_same_twice_and_counts_what_it_does_not_read(tmp_path):
    task = Task(**first_letter(tmp_path), epochs=1, max_tokens=22)
    metrics, predictions = evaluate_cnn(task, "rna", [0, 1], 512, torch.device("cpu"))
    again, same = evaluate_cnn(task, "rna", [0, 1], 512, torch.device("cpu"))
    assert metrics == again
    assert predictions.equals(same)
    assert metrics["seeds"] == [0, 1]
    one = {"epochs": 1, "best_epoch": 1, "stopped": "epochs"}
    assert metrics["training"] == [{"seed": seed, **one} for seed in (0, 1)]
    cropped = {"cropped_sequences": 30, "cropped_residues": 30 * 11}
    assert metrics["notes"] == {
        "train": {"cropped_sequences": 90, "cropped_residues": 90 * 11},
        "valid": cropped,
        "test": cropped,
    }
    for limit, notes in ((22, metrics["notes"]), (100, {})):
        limited = task.model_copy(update={"max_tokens": limit})
        found, _ = baseline(limited, "rna", "constant")
        assert (found["notes"], found["training"]) == (notes, [])
    assert metrics["cropped"] == {
        "sequences": 150, "of": 150, "residues": 150 * 11, "of_residues": 150 * 31, "room": 20
    }  # fmt: skip
    assert predictions["position"].max() == 19
    assert conform(predictions, PREDICTION).equals(predictions)


def test_a_training_that_diverges_is_no_result(monkeypatch):
    probe = probe_of("class", "float32")
    task = probe.task.model_copy(update={"stop_on": "metric", "patience": 2, "epochs": 5})
    probe.task = task
    monkeypatch.setattr(
        probe.head, "forward", lambda rows: [torch.full((len(r), 3), torch.nan) for r in rows]
    )
    monkeypatch.setattr(Probe, "_step", lambda *_: None)
    assert probe.fit(np.arange(N), np.arange(N), 0) == Fit(2, 0, "patience")
    with pytest.raises(FloatingPointError, match="example 0 is not finite; lower learning_rate"):
        [*probe.predict(np.arange(N))]


def test_before_a_pair_is_found_the_loss_says_what_is_better(monkeypatch):
    probe = probe_of("contact", "float32")
    probe.task = probe.task.model_copy(update={"stop_on": "metric"})
    found = {"metric": 0.0}
    monkeypatch.setitem(
        METRICS[probe.task.metrics], probe.task.primary, lambda sample: found["metric"]
    )
    nothing = probe._valid_value(np.arange(N))
    assert nothing == probe.mean_loss(np.arange(N)) > 0
    found["metric"] = 0.01
    assert probe._valid_value(np.arange(N)) == -0.01


def test_valid_chooses_the_threshold_of_pairs(monkeypatch):
    task, lengths, labels = task_of_kind("structure", epochs=2, stop_on="metric")
    known = Targets(labels, 3, [])
    targets = ScaledTargets(task, known, lengths, 100, np.arange(N))
    ranked = {0: 0.12, 1: 0.25}  # no probability above one half, the pairs' are the higher ones

    def logits(rows):
        of = [torch.from_numpy(labels[int(r[0, 0])]) for r in rows]
        return [torch.where(one == 1, ranked[1], ranked[0]).logit() for one in of]

    numbers = [torch.full((1, FEATURES), float(i)) for i in range(N)]
    head = make_head(task, FEATURES, 3)
    monkeypatch.setattr(head, "forward", logits)
    monkeypatch.setattr(Probe, "_step", lambda *_: None)
    metric = METRICS[task.metrics][task.primary]
    values = {}
    for rule in ("fixed", "valid"):
        pairwise = task.pairwise.model_copy(update={"threshold": rule})
        asked = task.model_copy(update={"pairwise": pairwise})
        batches = Batches((lengths + 2) ** 2, 300)
        probe = Probe(asked, head, None, lambda b: [numbers[i] for i in b], targets, batches)
        fit = probe.fit(np.arange(N), np.arange(N), 0)
        assert fit.threshold == {"fixed": None, "valid": 0.2}[rule]
        values[rule] = metric(probe.sample(np.arange(N)))
    assert values == {"fixed": 0, "valid": 1}
