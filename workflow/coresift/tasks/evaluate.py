"""Evaluation of one checkpoint on one task: several seeds, the test split touched once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from coresift.dag.code import code_digest
from coresift.models.checkpoint import load_model, origin
from coresift.models.states import EncoderStates, StoredStates
from coresift.tasks import frozen
from coresift.tasks.heads import form_of
from coresift.tasks.probe import Features
from coresift.tasks.problem import Work, read_problem
from coresift.tasks.result import result
from coresift.tasks.settings import Task


def evaluate_task(
    checkpoint: str | Path,
    task: Task,
    modality: str,
    seeds: Sequence[int],
    tokens_per_batch: int,
    device: torch.device,
    store: str | Path,
    work: Work | None = None,
    precision: str = "float32",
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Train a head (or the whole model) on a task once a seed and predict its test split.

    Args:
        checkpoint: any Hugging Face folder whose vocabulary fits the modality.
        seeds: of the head's weights, the order of examples and dropout.
        tokens_per_batch: padded tokens of one forward pass.
        store: folder of the states of frozen encoders (`StoredStates`).
        work: where a killed job can go on from; its states are left to the caller.
        precision: float32 or bf16 (autocast) of encoder and head, losses in float32.

    Returns:
        Metrics (JSON-ready: by seed, mean, std) and predictions (columns of `PREDICTION`).
    """
    model, _, encoder = load_model(checkpoint, modality, task.max_tokens, lm_head=False)
    made_of = origin(model, encoder)
    digest = made_of["model"]
    if work is not None:
        features = {"tokens_per_batch": tokens_per_batch, "features": code_digest(frozen.__file__)}
        work = replace(work, run={**work.run, **made_of, **features})
    states = EncoderStates(model.base_model.to(device), encoder, form_of(task), task.max_tokens)
    problem = read_problem(task, modality, states.room, tokens_per_batch, precision)
    for column in problem.encoded:
        encoder.check_unknown(column)
    stored: list[Features] | None = None
    if task.mode == "frozen":
        states.requires_grad_(False)
        train = problem.splits["train"]
        columns = (
            StoredStates(states, digest, store, tokens_per_batch, column, precision)
            for column in problem.encoded
        )
        stored = [frozen.frozen_features(column, train, device) for column in columns]
    runs = {}
    for seed in seeds:
        torch.manual_seed(seed)
        if stored is not None:
            runs[seed] = problem.run(seed, device, stored, work=work)
        else:
            runs[seed] = problem.run_live(seed, device, copy.deepcopy(states), work)
    return result(
        task,
        problem.examples,
        problem.targets,
        runs,
        problem.unread,
        {"model": digest, "mode": task.mode, "cropped": problem.cropped},
    )
