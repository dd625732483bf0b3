"""Evaluation of one checkpoint on one task: several seeds, the test split touched once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from coresift.config import Task
from coresift.models.checkpoint import load_model, model_hash
from coresift.tasks.data import SPLITS, TaskData, read_task
from coresift.tasks.heads import make_head
from coresift.tasks.metrics import METRICS
from coresift.tasks.probe import Batches, EncoderStates, Features, Probe
from coresift.tasks.sample import Sample, make_sample, to_table
from coresift.tasks.targets import ScaledTargets, Targets, make_targets


def _result(
    task: Task, data: TaskData, targets: Targets, runs: dict[int, Sample], extra: dict[str, Any]
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics over seeds and the table of predictions, from samples of the test split by seed."""
    values = {
        name: [metric(run) for run in runs.values()]
        for name, metric in METRICS[task.metrics].items()
    }
    metrics = {
        "kind": task.metrics,
        "primary": task.primary,
        "classes": targets.classes,
        "examples": {s: data.split(s).height for s in SPLITS},
        "notes": data.notes,
        "seeds": list(runs),
        "metrics": {
            name: {
                "values": v,
                "mean": float(np.mean(v)),
                "std": float(np.std(v, ddof=1)) if len(v) > 1 else None,
            }
            for name, v in values.items()
        },
        **extra,
    }
    ids = data.split("test")["example_id"]
    return metrics, pl.concat(to_table(run, ids, seed) for seed, run in runs.items())


def _indices(data: TaskData, split: str) -> np.ndarray:
    return np.flatnonzero((data.examples["split"] == split).to_numpy())


def evaluate_task(
    checkpoint: str | Path,
    task: Task,
    modality: str,
    seeds: Sequence[int],
    tokens_per_batch: int,
    device: torch.device,
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Train a head (or the whole model) on a task once a seed and predict its test split.

    Frozen states are computed once for all seeds and standardised by train's mean and deviation.

    Returns:
        Metrics (JSON-ready: by seed, mean, std) and predictions (columns of `PREDICTION`).
    """
    data = read_task(task, modality)
    targets = make_targets(task, data.examples)
    model, _, encoder = load_model(checkpoint, modality, task.max_tokens)
    encoder.check_unknown(data.examples["sequence"].to_list())
    digest = model_hash(model)
    base = model.base_model.to(device)
    train, valid, test = (_indices(data, split) for split in SPLITS)
    room = min(task.max_tokens, encoder.max_tokens) - 2
    scaled = ScaledTargets(task, targets, room, train)
    lengths = data.examples["sequence"].str.len_chars().to_numpy().clip(max=room)
    if task.kind == "pairwise":
        batches = Batches((lengths + 2) ** 2, task.pairwise.pairs_per_batch)
    else:
        batches = Batches(lengths + 2, tokens_per_batch)
    columns = ["sequence", "sequence_b"] if task.kind == "pair" else ["sequence"]
    sequences = [data.examples[c].to_list() for c in columns]
    cached: Features | None = None
    if task.mode == "frozen":
        states = EncoderStates(base.requires_grad_(False), encoder, task)
        cached = _cached_features(states, sequences, train, tokens_per_batch, device)
    runs = {}
    for seed in seeds:
        torch.manual_seed(seed)
        width = int(model.config.hidden_size) * len(columns)
        head = make_head(task, width, targets.n_outputs).to(device)
        if cached is not None:
            probe = Probe(task, head, None, cached, batches)
        else:
            tuned = EncoderStates(copy.deepcopy(base), encoder, task)
            probe = Probe(task, head, tuned, _live_features(tuned, sequences), batches)
        probe.fit(scaled, train, valid, seed)
        rows = zip(test, probe.predict(test), strict=True)
        runs[seed] = make_sample(
            task, ((scaled.raw(i), scaled.unscale(p), int(lengths[i])) for i, p in rows)
        )
    return _result(task, data, targets, runs, {"model": digest, "mode": task.mode})


def _cached_features(
    states: EncoderStates,
    columns: list[list[str]],
    train: np.ndarray,
    tokens_per_batch: int,
    device: torch.device,
) -> Features:
    cached = [states.cache(sequences, tokens_per_batch) for sequences in columns]
    rows = [torch.cat(parts, dim=1) for parts in zip(*cached, strict=True)]
    known = torch.cat([rows[i] for i in train])
    mean, std = known.mean(0), known.std(0).clamp_min(1e-6)
    rows = [((row - mean) / std).to(device) for row in rows]
    return lambda batch: [rows[i] for i in batch]


def _live_features(states: EncoderStates, columns: list[list[str]]) -> Features:
    def features(batch: np.ndarray) -> list[torch.Tensor]:
        parts = [states([sequences[i] for i in batch]) for sequences in columns]
        return [torch.cat(rows, dim=1) for rows in zip(*parts, strict=True)]

    return features


def kmer_baseline(task: Task, modality: str) -> tuple[dict[str, Any], pl.DataFrame] | None:
    """Logistic or ridge regression on 1- to 3-mer counts: what a model must beat.

    Returns:
        As `evaluate_task`, or None for kinds without one (token, multilabel, pairwise).
    """
    if task.kind in ("token", "multilabel", "pairwise"):
        return None
    data = read_task(task, modality)
    targets = make_targets(task, data.examples)
    y = np.concatenate(targets.rows)
    text = (data.examples["sequence"] + " " + data.examples["sequence_b"]).to_list()
    train, test = _indices(data, "train"), _indices(data, "test")
    last = Ridge() if task.kind == "scalar" else LogisticRegression(max_iter=1000)
    counts = CountVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False)
    model = make_pipeline(counts, MaxAbsScaler(), last)
    model.fit([text[i] for i in train], y[train])
    prediction = model.predict([text[i] for i in test]).astype(float)
    rows = zip(test, prediction[:, None], strict=True)
    sample = make_sample(task, ((targets.rows[i], p, len(text[i])) for i, p in rows))
    return _result(task, data, targets, {0: sample}, {"model": "kmer", "mode": "kmer"})
