"""The held-out loss as a validation of training."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl
from transformers import PreTrainedModel

from coresift.heldout.masks import Masks
from coresift.heldout.reading import Reading, masked_losses
from coresift.models.tokenizer import Encoder
from coresift.training.validation import Validation


def held_out_validation(
    sequences: pl.DataFrame, masks: Masks, reading: Reading, points: int
) -> Validation:
    """Validation points of the loss on held-out sequences: the mean over all masked places.

    Args:
        sequences: columns seq_id, sequence; no sequence of the training among them.

    Raises:
        HeldOutError: no sequence has a canonical residue.
    """
    asked = masks.questions(sequences.with_columns(set=pl.lit("pool")))
    rows = asked.rows["sequence"].to_list()

    def loss(model: PreTrainedModel, encoder: Encoder) -> float:
        losses, _ = masked_losses(model, encoder, rows, asked.places, reading)
        return float(np.average(losses, weights=asked.n_masked))

    key = [asked.rows["seq_id"].to_list(), asdict(masks), asdict(reading)]
    return Validation(points, loss, key)
