"""Names in the report."""

from __future__ import annotations


def selection_of(coreset: str) -> str:
    """A coreset's strategy and budget, which its seeds share: 'cci-1000-s0' -> 'cci-1000'."""
    return coreset.rsplit("-s", 1)[0]
