"""When a head's training warms up, is evaluated and ends: exact steps, at any size of the data."""

import math

import numpy as np
import pytest
import torch
from coresift.tasks.probe import Batches, Probe, warmup_steps
from coresift.tasks.settings import Task
from coresift.tasks.targets import ScaledTargets, Targets

#: Train sequences of the published data, and BEACON's steps of warm-up on them: an epoch.
PUBLISHED = {"sec_struct": (10814, 1352), "contact_map": (188, 24), "dist_map": (188, 24)}


def preset(name, **options):
    return Task(preset=name, data={"path": "x", "train": None, "test": None}, **options)


def trained(monkeypatch, task, n, values):
    """Rates of the steps, and the steps after which valid was evaluated, with these values."""
    steps, evaluated, rates = [], [], []
    targets = Targets([np.zeros(1) for _ in range(n)], 1, [])
    scaled = ScaledTargets(task, targets, np.full(n, 5), 100, np.arange(n))
    features = lambda batch: [torch.zeros(1, 2) for _ in batch]  # noqa: E731
    probe = Probe(task, torch.nn.Linear(2, 1), None, features, scaled, Batches(np.full(n, 5), 100))

    def step(self, optimizer, batch):
        steps.append(len(batch))
        rates.append(optimizer.param_groups[0]["lr"] / task.learning_rate)

    def valid_value(self, valid):
        evaluated.append(len(steps))
        return values(len(evaluated))

    monkeypatch.setattr(Probe, "_step", step)
    monkeypatch.setattr(Probe, "_valid_value", valid_value)
    probe.fit(np.arange(n), np.arange(n), seed=0)
    return rates, evaluated


def scalar(**options):
    return Task(kind="scalar", data={"path": "x"}, **options)


def better(k):
    return -k


def never_better(k):
    return k


def test_once_an_epoch_unless_told(monkeypatch):
    task = scalar(batch_size=8, epochs=3)
    assert trained(monkeypatch, task, 20, better)[1] == [3, 6, 9]
    task = scalar(batch_size=8, epochs=3, evaluate_steps=4)
    assert trained(monkeypatch, task, 20, better)[1] == [4, 8, 9]


def test_patience_counts_evaluations(monkeypatch):
    task = scalar(batch_size=8, epochs=100, evaluate_steps=4, patience=2)
    # The first is better than nothing.
    assert trained(monkeypatch, task, 20, never_better)[1] == [4, 8, 12]
    task = scalar(batch_size=8, epochs=100, patience=2)
    assert trained(monkeypatch, task, 20, never_better)[1] == [3, 6, 9]


@pytest.mark.parametrize("given", [4, 0.2])
def test_warm_up_in_steps_or_as_a_share(monkeypatch, given):
    task = scalar(batch_size=8, epochs=10, schedule="cosine", warmup_steps=given)
    rates, _ = trained(monkeypatch, task, 10, better)
    cosine = [(1 + math.cos(math.pi * k / 16)) / 2 for k in range(16)]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, *cosine])


@pytest.mark.parametrize("name", PUBLISHED)
def test_warm_up_is_beacons_epoch_at_the_published_size_and_scales(name):
    task, (n, warmup) = preset(name), PUBLISHED[name]
    steps = task.epochs * -(-n // task.batch_size)
    assert warmup_steps(task, steps) == warmup == steps / task.epochs
    assert warmup_steps(task, 100 * 25) == 25  # 200 sequences; 1352 steps were 54 epochs


@pytest.mark.parametrize("name", ["type_cls", "modif", "crispr_on"])
def test_beacons_sequence_tasks_stop_by_steps_whatever_the_size(monkeypatch, name):
    """eval_steps 200, warmup_steps 50, EarlyStoppingCallback(early_stopping_patience=20)."""
    task = preset(name)
    assert (task.evaluate_steps, task.warmup_steps, task.patience) == (200, 50, 20)
    small = scalar(
        **task.model_dump(include={"epochs", "batch_size", "patience", "evaluate_steps"})
    )
    # 2,000 examples: 63 steps an epoch. By epochs, a patience of 2 ended it after 189 of 1,890.
    _, evaluated = trained(monkeypatch, small, 2000, never_better)
    assert evaluated == [*range(200, 1890, 200), 1890]
    _, evaluated = trained(monkeypatch, small, 9000, never_better)
    assert evaluated[-1] == 21 * 200


def test_what_is_neither_steps_nor_a_share_is_refused():
    for value in (-1, 1.5, -0.1):
        with pytest.raises(ValueError, match="warmup_steps"):
            scalar(warmup_steps=value)
