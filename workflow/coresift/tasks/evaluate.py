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
from coresift.io import PREDICTION, conform
from coresift.models.checkpoint import load_model, model_hash
from coresift.tasks.data import SPLITS, TaskData, read_task
from coresift.tasks.metrics import METRICS, primary
from coresift.tasks.probe import EncoderStates, Rows, fit, make_head, predict
from coresift.tasks.targets import Targets, make_targets


def _test_rows(data: TaskData, targets: Targets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target rows of the test split, the example of each row, and its position."""
    test = np.flatnonzero((data.examples["split"] == "test").to_numpy())
    rows = [targets.rows[i] for i in test]
    lengths = [len(row) for row in rows]
    positions = np.concatenate([np.arange(n) for n in lengths])
    return np.concatenate(rows), np.repeat(test, lengths), positions


def _result(
    task: Task, data: TaskData, targets: Targets, runs: dict[int, np.ndarray], extra: dict[str, Any]
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics over seeds and the table of predictions, from test prediction rows by seed."""
    y, groups, positions = _test_rows(data, targets)
    kept = y != -1 if task.kind == "token" else np.ones(len(y), dtype=bool)
    values = {
        name: [metric(y[kept], run[kept]) for run in runs.values()]
        for name, metric in METRICS[task.kind].items()
    }
    metrics = {
        "kind": task.kind,
        "primary": primary(task.kind),
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
    ids = data.examples["example_id"].gather(groups[kept])
    frames = []
    for seed, run in runs.items():
        target, value, position = y[kept], run[kept], positions[kept]
        names = ids
        if task.kind == "multilabel":
            width = target.shape[1]
            position = np.tile(np.arange(width), len(target))
            names = ids.gather(np.repeat(np.arange(len(target)), width))
            target, value = target.ravel(), value.ravel()
        frame = {"example_id": names, "seed": seed, "position": position}
        frames.append(pl.DataFrame({**frame, "target": target, "prediction": value}))
    return metrics, pl.concat(conform(f, PREDICTION) for f in frames)


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

    Frozen states are computed once for all seeds and standardised by train's mean and deviation;
    scalar targets likewise, and predictions are given back in the label's unit.

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
    rows = targets.rows
    if task.kind == "token":
        room = min(task.max_tokens, encoder.max_tokens) - 2
        rows = [row[:room] for row in rows]
        targets = Targets(rows, targets.n_outputs, targets.classes)
    shift, scale = 0.0, 1.0
    if task.kind == "scalar":
        known = np.concatenate([rows[i] for i in train])
        shift, scale = float(known.mean()), float(known.std()) or 1.0
        rows = [(row - shift) / scale for row in rows]
    columns = ["sequence", "sequence_b"] if task.kind == "pair" else ["sequence"]
    columns_data = [data.examples[c].to_list() for c in columns]
    cached: Rows | None = None
    if task.mode == "frozen":
        states = EncoderStates(base.requires_grad_(False), encoder, task)
        cached = _cached_rows(states, columns_data, train, tokens_per_batch, device)
    runs = {}
    for seed in seeds:
        torch.manual_seed(seed)
        width = int(model.config.hidden_size) * len(columns)
        head = make_head(width, targets.n_outputs, task.hidden).to(device)
        if cached is not None:
            tuned, features = None, cached
        else:
            tuned = EncoderStates(copy.deepcopy(base), encoder, task)
            features = _live_rows(tuned, columns_data)
        fitted = fit(task, head, tuned, features, rows, train, valid, seed)
        runs[seed] = predict(task, fitted, features, test) * scale + shift
    return _result(task, data, targets, runs, {"model": digest, "mode": task.mode})


def _cached_rows(
    states: EncoderStates,
    columns: list[list[str]],
    train: np.ndarray,
    tokens_per_batch: int,
    device: torch.device,
) -> Rows:
    cached = [states.cache(sequences, tokens_per_batch) for sequences in columns]
    rows = [torch.cat(parts, dim=1) for parts in zip(*cached, strict=True)]
    known = torch.cat([rows[i] for i in train])
    mean, std = known.mean(0), known.std(0).clamp_min(1e-6)
    rows = [((row - mean) / std).to(device) for row in rows]
    return lambda batch: torch.cat([rows[i] for i in batch])


def _live_rows(states: EncoderStates, columns: list[list[str]]) -> Rows:
    def features(batch: np.ndarray) -> torch.Tensor:
        parts = [torch.cat(states([sequences[i] for i in batch])) for sequences in columns]
        return torch.cat(parts, dim=1)

    return features


def kmer_baseline(task: Task, modality: str) -> tuple[dict[str, Any], pl.DataFrame] | None:
    """Logistic or ridge regression on 1- to 3-mer counts: what a model must beat.

    Returns:
        As `evaluate_task`, or None for kinds without a k-mer baseline (token, multilabel).
    """
    if task.kind in ("token", "multilabel"):
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
    return _result(task, data, targets, {0: prediction}, {"model": "kmer", "mode": "kmer"})
