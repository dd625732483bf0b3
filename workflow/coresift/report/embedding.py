"""A map of the pool: mean-pooled states of the fine-tuned model on two principal axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.decomposition import PCA

from coresift.models.checkpoint import load_model, model_hash
from coresift.models.cropping import count_cropped
from coresift.models.states import EncoderStates, StoredStates
from coresift.report.tables import EMBEDDING
from coresift.tables import conform


def pooled_states(
    checkpoint: str | Path,
    modality: str,
    sequences: list[str],
    max_tokens: int,
    tokens_per_batch: int,
    device: torch.device,
    store: str | Path,
) -> tuple[np.ndarray, dict[str, Any]]:
    """(n, hidden) float32 mean over residues of each sequence's last hidden states.

    And the counts of what the model does not read, see `count_cropped`.
    """
    model, _, encoder = load_model(checkpoint, modality, max_tokens, lm_head=False)
    digest = model_hash(model)
    states = EncoderStates(model.base_model.to(device), encoder, "mean", max_tokens)
    states.requires_grad_(False)
    cropped = count_cropped(np.array([len(s) for s in sequences]), states.room)
    stored = StoredStates(states, digest, store, tokens_per_batch, sequences)
    return np.concatenate([stored[i].numpy() for i in range(len(stored))]), cropped


def principal_axes(seq_ids: pl.Series, states: np.ndarray) -> pl.DataFrame:
    """Columns of `EMBEDDING`: the two axes of largest variance, states standardised first.

    The sign of an axis is fixed: its coordinate of largest magnitude is positive.
    """
    spread = states.std(0)
    scaled = (states - states.mean(0)) / np.where(spread > 0, spread, 1)
    axes = PCA(2, svd_solver="full").fit_transform(scaled.astype(np.float64))
    axes *= np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    return conform(pl.DataFrame({"seq_id": seq_ids, "x": axes[:, 0], "y": axes[:, 1]}), EMBEDDING)
