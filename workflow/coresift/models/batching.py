"""Length-bucketed batches under a token budget, and padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def token_budget_batches(
    lengths: Sequence[int] | np.ndarray, budget: int, max_padding: float = 1.0
) -> list[np.ndarray]:
    """Cut rows into batches of like length whose padded size stays within `budget` tokens.

    Longest first, so a run that fits its first batch fits all. Ties keep row order: the same rows
    always give the same batches.

    Args:
        lengths: tokens of each row.
        budget: most padded tokens (rows x longest row) of a batch; a longer row stands alone.
        max_padding: most padding in a batch, as a share of its padded tokens.

    Returns:
        Row indices of each batch (int64).
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        rows = order[start : start + max(1, budget // longest)]
        filled = np.cumsum(lengths[rows]) / (longest * np.arange(1, len(rows) + 1))
        size = max(1, int((filled >= 1 - max_padding).sum()))  # `filled` only falls
        batches.append(rows[:size])
        start += size
    return batches


def pad(rows: Sequence[np.ndarray], value: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack token rows into (B, L) int64 ids and a (B, L) int64 attention mask."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), value, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
