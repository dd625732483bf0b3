"""Masked-LM loss of a checkpoint on the held-out sequences, a row a sequence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from coresift.heldout.masks import HeldOutError, Masks
from coresift.heldout.reading import Reading, masked_losses
from coresift.heldout.rows import loss_rows
from coresift.models.checkpoint import load_model
from coresift.models.cropping import count_cropped, room_of
from coresift.models.weights import NoHeadError

logger = logging.getLogger(__name__)


def held_out_losses(
    checkpoint: str | Path,
    sets: pl.DataFrame,
    masks: Masks,
    reading: Reading,
    device: torch.device,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Loss and accuracy of a checkpoint on every sequence of the held-out sets.

    Args:
        checkpoint: any Hugging Face folder whose vocabulary fits the modality. One without an LM
            head predicts nothing: its losses are null.
        sets: columns of `corpus.tables.HELD_OUT`.

    Returns:
        Columns of `HELD_OUT_LOSS`, in the order of `sets`; JSON-ready counts: `cropped`, the
        sequences read in pieces (see `count_cropped`), and `left_out`, those of no canonical
        residue (see `Questions`).

    Raises:
        CheckpointError, VocabularyError: see `load_model`.
        HeldOutError: see `Masks.questions`; or a loss is not finite.
    """
    asked = masks.questions(sets)
    sequences = asked.rows["sequence"].to_list()
    lengths = np.array([len(s) for s in sequences])
    left_out = asked.of - len(sequences)
    logger.info("%d sequences; %d without a canonical residue left out", asked.of, left_out)
    try:
        model, _, encoder = load_model(checkpoint, masks.modality, reading.max_tokens)
    except NoHeadError as error:
        logger.warning("no held-out loss: %s", error)
        unknown = np.full(len(sequences), np.nan)
        counts = {"cropped": count_cropped(lengths[:0], 0, pieces=True), "left_out": left_out}
        return loss_rows(asked, unknown, unknown), counts
    encoder.check_unknown(sequences)
    room = room_of(encoder, reading.max_tokens)
    counts = {"cropped": count_cropped(lengths, room, pieces=True), "left_out": left_out}
    loss, accuracy = masked_losses(
        model.eval().to(device=device), encoder, sequences, asked.places, reading
    )
    bad = np.flatnonzero(~np.isfinite(loss))
    if len(bad):
        row = asked.rows.row(int(bad[0]), named=True)
        raise HeldOutError(
            f"{checkpoint}: the loss of {row['seq_id']} (set {row['set']}) is {loss[bad[0]]}"
        )
    return loss_rows(asked, loss, accuracy), counts
