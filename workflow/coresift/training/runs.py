"""The three trainings of the DAG: a base from scratch, fine-tuning on D_sub, pretraining."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from coresift.files import atomic_directory, write_text
from coresift.models.checkpoint import build_model, load_model, save_model
from coresift.models.cropping import count_cropped, room_of
from coresift.models.tokenizer import Encoder
from coresift.training.mlm import Record, finish, records_text, train_mlm
from coresift.training.validation import Validation


def training_residues(
    lengths: pl.Series, budget_residues: float, epochs: float, compute: str
) -> int:
    """Residues that a coreset is trained on in all.

    Args:
        lengths: residues of each of its sequences.
        budget_residues: those of its budget, or that so many sequences have on average.
        compute: equal_tokens, `epochs` times those of the budget, whatever the coreset's own are;
            or equal_epochs, `epochs` times its own.
    """
    own = int(lengths.cast(pl.Int64).sum())
    return round(epochs * (budget_residues if compute == "equal_tokens" else own))


def pretrain(
    preset: str | Mapping[str, Any],
    modality: str,
    sequences: pl.DataFrame,
    total_residues: int,
    options: dict[str, Any],
    seed: int,
    device: torch.device,
    out: str | Path,
    metrics: str | Path,
    work: str | Path,
    precision: str = "float32",
    validation: Validation | None = None,
) -> dict[str, Any]:
    """Train a model from seeded random weights and save checkpoint and metrics.

    Args:
        preset: its name, or the architecture's values.
        sequences: columns seq_id, sequence; trained on in seq_id order.
        total_residues: residues of all steps together.
        options: values of `training.settings.Optimisation`.
        out: checkpoint directory. metrics: JSON lines. work: folder of the resumable state.
        validation: see `train_mlm`.

    Returns:
        Counts of the sequences that were cut into pieces, see `count_cropped`.
    """
    model, tokenizer = build_model(preset, modality, seed, options["max_tokens"])
    encoder = Encoder.from_tokenizer(tokenizer, modality)
    rows = sequences.sort("seq_id")["sequence"].to_list()
    cut = _count_cut(rows, encoder, options)
    records = train_mlm(
        model, encoder, rows, total_residues, options, seed, device, work, precision, validation
    )
    _save(model, tokenizer, records, out, metrics, work)
    return cut


def finetune(
    base: str | Path,
    modality: str,
    subset: pl.DataFrame,
    epochs: float,
    options: dict[str, Any],
    seed: int,
    device: torch.device,
    out: str | Path,
    metrics: str | Path,
    work: str | Path,
    precision: str = "float32",
) -> dict[str, Any]:
    """Fine-tune a checkpoint for `epochs` over D_sub; 0 epochs is the paper's ablation: a copy.

    Returns:
        Counts of the sequences that were cut into pieces, see `count_cropped`.

    Raises:
        CheckpointError, VocabularyError: see `load_model`; of a copy as well.
    """
    model, tokenizer, encoder = load_model(base, modality, options["max_tokens"])
    if epochs == 0:
        with atomic_directory(out) as temporary:
            shutil.copytree(base, temporary, dirs_exist_ok=True)
        write_text(metrics, "")
        return count_cropped(np.zeros(0), 0, pieces=True)
    total = round(epochs * int(subset["length"].cast(pl.Int64).sum()))
    rows = subset.sort("seq_id")["sequence"].to_list()
    cut = _count_cut(rows, encoder, options)
    records = train_mlm(model, encoder, rows, total, options, seed, device, work, precision)
    _save(model, tokenizer, records, out, metrics, work)
    return cut


def _count_cut(rows: list[str], encoder: Encoder, options: dict[str, Any]) -> dict[str, Any]:
    room = room_of(encoder, options["max_tokens"])
    return count_cropped(np.array([len(row) for row in rows]), room, pieces=True)


def _save(
    model: Any,
    tokenizer: Any,
    records: list[Record],
    out: str | Path,
    metrics: str | Path,
    work: str | Path,
) -> None:
    save_model(out, model.cpu(), tokenizer)
    write_text(metrics, records_text(records))
    finish(work)
