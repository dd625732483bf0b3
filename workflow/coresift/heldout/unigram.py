"""The loss that knowing the letters' frequencies gives: a model above it has learnt nothing."""

from __future__ import annotations

import numpy as np
import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.heldout.masks import Masks
from coresift.heldout.rows import loss_rows


def unigram_losses(sets: pl.DataFrame, masks: Masks) -> pl.DataFrame:
    """Loss and accuracy of each held-out set's own letter frequencies, at the masks of the models.

    Frequencies are those of the canonical residues of the set, masked or not, so the line is the
    best that any model without context can do on the set, up to which places are masked.

    Args:
        sets: columns of `corpus.tables.HELD_OUT`.

    Returns:
        Columns of `HELD_OUT_LOSS`, the rows of every model's table.

    Raises:
        HeldOutError: see `Masks.questions`.
    """
    asked = masks.questions(sets)
    letters = np.frombuffer(ALPHABETS[masks.modality].canonical.encode(), np.uint8)
    sequences = asked.rows["sequence"].to_list()
    residues = [np.frombuffer(s.encode("latin-1"), np.uint8) for s in sequences]
    names = asked.rows["set"].to_list()
    counts = {name: np.zeros(256) for name in names}
    for name, row in zip(names, residues, strict=True):
        counts[name] += np.bincount(row, None, 256)
    costs, likeliest = {}, {}
    for name, count in counts.items():
        share = count[letters] / count[letters].sum()
        costs[name] = np.full(256, np.inf)
        costs[name][letters[share > 0]] = -np.log(share[share > 0])
        likeliest[name] = letters[share.argmax()]
    masked = [row[places] for row, places in zip(residues, asked.places, strict=True)]
    return loss_rows(
        asked,
        np.array([costs[name][found].mean() for name, found in zip(names, masked, strict=True)]),
        np.array([(found == likeliest[n]).mean() for n, found in zip(names, masked, strict=True)]),
    )
