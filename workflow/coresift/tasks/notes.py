"""Counts of what is not as it looks in a task's examples, by split: dropped, cropped, copies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Counts by split and name, those of 0 left out; `NO_SPLIT` of what never had a split.
Notes = dict[str, dict[str, int]]
NO_SPLIT = "none"


def count(notes: Notes, split: str, name: str, n: int = 1) -> None:
    """Add to a count."""
    if n:
        own = notes.setdefault(split, {})
        own[name] = own.get(name, 0) + n


def count_by_split(
    notes: Notes, splits: Mapping[str, np.ndarray], name: str, values: np.ndarray
) -> None:
    """Add (n,) values, one an example, to the count of each one's split.

    Args:
        splits: numbers of the examples of each split.
    """
    for split, members in splits.items():
        count(notes, split, name, int(values[members].sum()))
