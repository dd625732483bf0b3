"""Evaluation of one checkpoint on one task: several seeds, the test split touched once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from coresift.models.checkpoint import load_model, model_hash
from coresift.models.cropping import count_cropped
from coresift.models.states import EncoderStates, StoredStates
from coresift.tasks.data import SPLITS, Examples, encoded_columns, read_task
from coresift.tasks.heads import form_of, make_head
from coresift.tasks.kmers import kmer_frequencies
from coresift.tasks.probe import Batches, Features, Probe
from coresift.tasks.result import result
from coresift.tasks.settings import Task
from coresift.tasks.targets import ScaledTargets, check_known, make_targets


def evaluate_task(
    checkpoint: str | Path,
    task: Task,
    modality: str,
    seeds: Sequence[int],
    tokens_per_batch: int,
    device: torch.device,
    store: str | Path,
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Train a head (or the whole model) on a task once a seed and predict its test split.

    Args:
        checkpoint: any Hugging Face folder whose vocabulary fits the modality.
        seeds: of the head's weights, the order of examples and dropout.
        tokens_per_batch: padded tokens of one forward pass.
        store: folder of the states of frozen encoders (`StoredStates`).

    Returns:
        Metrics (JSON-ready: by seed, mean, std) and predictions (columns of `PREDICTION`).
    """
    examples = read_task(task, modality)
    targets = make_targets(task, examples.frame, modality)
    model, _, encoder = load_model(checkpoint, modality, task.max_tokens, lm_head=False)
    digest = model_hash(model)
    states = EncoderStates(model.base_model.to(device), encoder, form_of(task), task.max_tokens)
    train, valid, test = (examples.indices(split) for split in SPLITS)
    lengths = examples.frame["sequence"].str.len_chars().to_numpy()
    scaled = ScaledTargets(task, targets, lengths, states.room, train)
    check_known(task, targets, scaled, {split: examples.indices(split) for split in SPLITS})
    encoded, fixed = _columns(task, examples, modality, train)
    for column in encoded:
        encoder.check_unknown(column)
    read = [len(s) for column in encoded for s in column]
    cropped = count_cropped(np.array(read), states.room)
    longest = np.max([[len(s) for s in column] for column in encoded], axis=0)
    tokens = longest.clip(max=states.room) + 2
    if task.kind == "pairwise":
        batches = Batches(tokens**2, task.pairwise.pairs_per_batch)
    else:
        batches = Batches(tokens, tokens_per_batch)
    frozen: list[Features] | None = None
    if task.mode == "frozen":
        states.requires_grad_(False)
        stored = (StoredStates(states, digest, store, tokens_per_batch, c) for c in encoded)
        frozen = [_frozen_features(column, train, device) for column in stored]
    runs = {}
    for seed in seeds:
        torch.manual_seed(seed)
        tuned = None if frozen is not None else copy.deepcopy(states)
        columns = [_live_features(tuned, c) for c in encoded] if tuned is not None else frozen
        assert columns is not None
        features = _side_by_side([*columns, *(_fixed_features(rows, device) for rows in fixed)])
        width = features(train[:1])[0].shape[1]
        head = make_head(task, width, targets.n_outputs).to(device)
        probe = Probe(task, head, tuned, features, scaled, batches)
        probe.fit(train, valid, seed)
        runs[seed] = probe.sample(test)
    return result(
        task, examples, targets, runs, {"model": digest, "mode": task.mode, "cropped": cropped}
    )


def _columns(
    task: Task, examples: Examples, modality: str, train: np.ndarray
) -> tuple[list[list[str]], list[np.ndarray]]:
    """Sequences that the encoder reads, and (n, features) standardised rows of other partners."""
    encoded = [examples.frame[c].to_list() for c in encoded_columns(task, modality)]
    if len(encoded) == 2 or not task.two_sequences:
        return encoded, []
    rows = kmer_frequencies(examples.frame["partner"].to_list(), task.data.modality_b or modality)
    mean, std = rows[train].mean(0), rows[train].std(0)
    return encoded, [(rows - mean) / np.where(std > 0, std, 1)]


def _frozen_features(stored: StoredStates, train: np.ndarray, device: torch.device) -> Features:
    """Stored states, standardised by the moments of train's rows."""
    n, total, squares = 0, torch.zeros(()), torch.zeros(())
    for i in train:
        rows = stored[i].double()
        n, total, squares = n + len(rows), total + rows.sum(0), squares + rows.square().sum(0)
    mean = total / n
    std = (squares / n - mean.square()).clamp_min(0).sqrt().clamp_min(1e-6)
    shift, scale = mean.float(), std.float()

    def standardised(example: int) -> torch.Tensor:
        return ((stored[example] - shift) / scale).to(device)

    if not stored.pooled:
        return lambda batch: [standardised(i) for i in batch]
    pooled = [standardised(i) for i in range(len(stored))]
    return lambda batch: [pooled[i] for i in batch]


def _live_features(states: EncoderStates, sequences: list[str]) -> Features:
    return lambda batch: states([sequences[i] for i in batch])


def _fixed_features(rows: np.ndarray, device: torch.device) -> Features:
    return lambda batch: list(torch.from_numpy(rows[batch]).unsqueeze(1).to(device))


def _side_by_side(columns: list[Features]) -> Features:
    """Features of several columns next to each other (PEER's order: not symmetric)."""

    def features(batch: np.ndarray) -> list[torch.Tensor]:
        parts = [column(batch) for column in columns]
        return [torch.cat(rows, dim=1) for rows in zip(*parts, strict=True)]

    return features
