"""Residues that a model does not read: counted wherever sequences are cropped to its input."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from coresift.models.tokenizer import Encoder

logger = logging.getLogger(__name__)

#: Share of the sequences above which cropping is warned of.
WARNED_SHARE = 0.01


def room_of(encoder: Encoder, max_tokens: int) -> int:
    """Residues that a model reads of a sequence: its input, or `max_tokens`, less two tokens."""
    return min(max_tokens, encoder.max_tokens) - 2


def count_cropped(lengths: np.ndarray, room: int, pieces: bool = False) -> dict[str, Any]:
    """What `room` residues leave unread of sequences, logged; a warning above `WARNED_SHARE`.

    Args:
        lengths: (n,) residues of the sequences.
        room: residues that the model reads at once.
        pieces: longer sequences are cut into pieces that are all read: nothing is lost.

    Returns:
        sequences (longer than `room`), of, residues (not read), of_residues, room.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    over = (lengths - room).clip(min=0)
    n, lost = int((over > 0).sum()), 0 if pieces else int(over.sum())
    counts = {
        "sequences": n,
        "of": len(lengths),
        "residues": lost,
        "of_residues": int(lengths.sum()),
        "room": room,
    }
    longer = f"{n} of {len(lengths)} sequences are longer than the {room} residues that the model"
    if pieces:
        logger.info("%s reads at once: they are read in pieces", longer)
    else:
        warned = n > WARNED_SHARE * len(lengths)
        logger.log(
            logging.WARNING if warned else logging.INFO,
            "%s reads and are cropped: %d of %d residues (%.1f%%) are not read",
            longer, lost, counts["of_residues"], 100 * lost / max(1, counts["of_residues"]),
        )  # fmt: skip
    return counts
