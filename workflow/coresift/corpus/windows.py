"""Windows of sequences above the greatest length."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from coresift.corpus.normalise import Limits


@dataclass(frozen=True)
class Windows:
    """What is taken of each of some sequences: all of it, or windows.

    Attributes:
        rows: (m,) int64 number of the sequence, ascending.
        begins, ends: (m,) int64 half-open positions in it; ascending within a sequence.
        firsts: (m,) int64 number of a window's first residue, from 1; 0 for a whole sequence.
    """

    rows: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    firsts: np.ndarray

    def place(self, j: int) -> str:
        """What is added to a record's id for window j of them; nothing for a whole record."""
        return f"/{self.firsts[j]}-{self.ends[j]}" if self.firsts[j] else ""


class LongRecords:
    """Counts of the records above the greatest length, and of what is made of them.

    Attributes:
        records, residues: of these records.
        windows: made of them, cropped records included; `rejected` are those by reason.
        cropped: residues that are in no window.
        repeated: residues more than once in windows, counted each further time.
    """

    def __init__(self) -> None:
        self.records = self.residues = self.windows = self.cropped = self.repeated = 0
        self.rejected: Counter[str] = Counter()

    def add(self, lengths: np.ndarray, windows: Windows, most: int) -> None:
        """Count sequences of (n,) lengths, those above `most`, and their windows."""
        long = lengths > most
        if not long.any():
            return
        self.records += int(long.sum())
        self.residues += int(lengths[long].sum())
        parts = np.flatnonzero(windows.firsts)
        self.windows += len(parts)
        if not len(parts):
            return
        rows, ends = windows.rows[parts], windows.ends[parts]
        last = np.append(rows[1:] != rows[:-1], True)
        self.cropped += int((lengths[rows[last]] - ends[last]).sum())
        self.repeated += int((ends[:-1] - windows.begins[parts[1:]])[~last[:-1]].sum())

    def report(self) -> dict[str, Any]:
        """The counts by name."""
        counts = {key: value for key, value in vars(self).items() if key != "rejected"}
        return {**counts, "rejected": dict(sorted(self.rejected.items()))}


def cut(lengths: np.ndarray, limits: Limits) -> Windows:
    """What `limits.long` makes of sequences of these (n,) int64 lengths, in residues.

    `window`: windows of `max_length` residues, each `max_length - overlap` after the one before,
    up to the end. The last is shorter; below `min_length` it moves left and is `max_length` long.
    So every residue is in a window, and every window has `min_length` .. `max_length` residues.
    `crop`: one window, the first `max_length`. `reject`: nothing is cut.
    """
    most, long = limits.max_length, lengths > limits.max_length
    if limits.long == "reject" or not long.any():
        rows = np.arange(len(lengths))
        return Windows(rows, np.zeros_like(lengths), lengths, np.zeros_like(lengths))
    counts = np.ones_like(lengths)
    step = most - limits.overlap
    if limits.long == "window":
        counts[long] += -(-(lengths[long] - most) // step)
    rows = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = number * step
    ends = np.minimum(begins + most, lengths[rows])
    few = (ends - begins < limits.min_length) & (number > 0)
    begins[few] = ends[few] - most
    return Windows(rows, begins, ends, np.where(long[rows], begins + 1, 0))
