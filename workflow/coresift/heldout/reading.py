"""What a model predicts at the masked places of sequences, however long they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from coresift.dag.pace import Pace
from coresift.models.batching import pad, token_budget_batches
from coresift.models.cropping import room_of
from coresift.models.letters import letter_losses
from coresift.models.precision import autocast
from coresift.models.tokenizer import Encoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How a model reads.

    Attributes:
        max_tokens: longest input, special tokens included; the model's own limit may be lower.
        tokens_per_batch: padded tokens of one forward pass.
        precision: float32 (the weights' own precision) or bf16 (autocast).
    """

    max_tokens: int
    tokens_per_batch: int
    precision: str = "float32"


@dataclass(frozen=True)
class _Piece:
    """Residues [start, stop) of a row, and which of them are masked."""

    row: int
    start: int
    stop: int
    masked: np.ndarray


def _pieces(lengths: Sequence[int], places: Sequence[np.ndarray], room: int) -> Iterator[_Piece]:
    """Every pattern of every row in pieces of at most `room` residues, of equal length within one.

    Pieces without a masked residue are not read.
    """
    for row, (length, patterns) in enumerate(zip(lengths, places, strict=True)):
        n = -(-length // room)
        edges = np.arange(n + 1) * length // n
        for pattern in patterns:
            cuts = np.searchsorted(pattern, edges)
            for i in range(n):
                masked = pattern[cuts[i] : cuts[i + 1]]
                if len(masked):
                    yield _Piece(row, int(edges[i]), int(edges[i + 1]), masked - edges[i])


@torch.no_grad()
def masked_losses(
    model: nn.Module,
    encoder: Encoder,
    sequences: Sequence[str],
    places: Sequence[np.ndarray],
    reading: Reading,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and accuracy at the masked places of each sequence; the model is used as it is.

    Every masked residue becomes <mask>. A sequence longer than the model's room is read in pieces
    of equal length (training: the longest, and a remainder): so every model predicts every place,
    and rows of models of different room stay paired; the shorter context is the model's own.
    Losses are `models.letters.letter_losses`; how the rows are cut into batches changes them by
    rounding only.

    Args:
        model: a masked language model in eval mode, on its device.
        sequences: n normalised sequences.
        places: (n_masks, masked) positions of each, see `Masks.places`.

    Returns:
        (n,) float64 nats a masked place, and (n,) float64 shares of places predicted rightly.
    """
    device = next(model.parameters()).device
    letter_ids = torch.from_numpy(encoder.letter_ids).to(device)
    room = room_of(encoder, reading.max_tokens)
    pieces = list(_pieces([len(s) for s in sequences], places, room))
    loss, hits = np.zeros(len(sequences)), np.zeros(len(sequences))
    pace = Pace()
    done = 0
    batches = token_budget_batches([p.stop - p.start + 2 for p in pieces], reading.tokens_per_batch)
    for batch in batches:
        part = [pieces[i] for i in batch]
        rows = [encoder.encode(sequences[p.row][p.start : p.stop]) for p in part]
        ids, attention = pad(rows, encoder.pad_id)
        line = np.repeat(np.arange(len(part)), [len(p.masked) for p in part])
        column = np.concatenate([p.masked for p in part]) + 1
        place = (torch.from_numpy(line), torch.from_numpy(column))
        targets = ids[place].to(device)
        ids[place] = encoder.mask_id
        with autocast(device, reading.precision):
            logits = model(input_ids=ids.to(device), attention_mask=attention.to(device)).logits
        losses, right = letter_losses(
            logits[tuple(i.to(device) for i in place)], targets, letter_ids
        )
        owner = np.array([p.row for p in part])[line]
        np.add.at(loss, owner, losses.cpu().double().numpy())
        np.add.at(hits, owner, right.cpu().numpy())
        done += len(part)
        if said := pace.due(done, len(pieces) - done):
            logger.info("%d/%d pieces, %.0f/s, %.0f s left", done, len(pieces), *said)
    n_masked = np.array([found.size for found in places])
    return loss / n_masked, hits / n_masked
