"""The training stream: optimiser steps of an exact number of residues, at random access.

Epoch after epoch of a corpus, each in its own seeded order, is one long string of residues; step k
is its k-th stretch of `tokens_per_step`. Two corpora trained on the same number of residues so
take the same number of steps of the same size, whatever their sequences' lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from coresift.hashing import seeded_generator


@dataclass(frozen=True)
class Piece:
    """Residues [start, stop) of sequence `row`."""

    row: int
    start: int
    stop: int


class ResidueStream:
    """Steps over sequences of the given lengths.

    Args:
        lengths: (n,) residues of each sequence.
        tokens_per_step: residues of a step; the last step may have fewer.
        total: residues in all steps together.
        max_residues: longest piece; longer sequences are cut.
        seed: of the order of every epoch.
    """

    def __init__(
        self, lengths: np.ndarray, tokens_per_step: int, total: int, max_residues: int, seed: int
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.epoch_residues = int(self.lengths.sum())
        if self.epoch_residues == 0:
            raise ValueError("no residues to train on")
        self.tokens_per_step = tokens_per_step
        self.total = total
        self.max_residues = max_residues
        self.seed = seed
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def __len__(self) -> int:
        return math.ceil(self.total / self.tokens_per_step)

    def _make_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        generator = seeded_generator(self.seed, "epoch", str(epoch))
        order = generator.permutation(len(self.lengths))
        return order, np.concatenate(([0], np.cumsum(self.lengths[order])))

    def step(self, k: int) -> list[Piece]:
        """Pieces of step `k`, in stream order."""
        position = k * self.tokens_per_step
        end = min(position + self.tokens_per_step, self.total)
        pieces = []
        while position < end:
            epoch, offset = divmod(position, self.epoch_residues)
            order, ends = self._epoch(epoch)
            i = int(np.searchsorted(ends, offset, side="right")) - 1
            row, start = int(order[i]), offset - int(ends[i])
            stop = min(int(self.lengths[row]), start + end - position, start + self.max_residues)
            pieces.append(Piece(row, start, stop))
            position += stop - start
        return pieces
