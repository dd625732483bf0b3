"""BEACON's head for pairs of residues, literally, and an epoch of it as BEACON trains.

Written from the published description (RNABenchmark: structure/predictor.py, resnet.py): the whole
outer product, one sequence a forward pass, the gradients of eight summed for an optimiser step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

#: Sequences of an optimiser step.
ACCUMULATED = 8


class OverChannels(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, L, L)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Normalise every position's channels."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Twice (LayerNorm, ReLU, dropout, convolution), 3x3 then 5x5, added to the input."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(OverChannels(channels) for _ in range(2))
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, size, padding=size // 2, bias=False) for size in (3, 5)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, L, L) -> the same."""
        out = maps
        for norm, conv in zip(self.norms, self.convs, strict=True):
            out = conv(self.dropout(F.relu(norm(out))))
        return maps + out


class Head(nn.Module):
    """Its tensors have the names and the shapes of `coresift.tasks.heads.PairHead`."""

    def __init__(self, features: int, channels: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.outer = nn.ModuleDict({"conv": nn.Conv2d(features, channels, 3, padding=1)})
        self.blocks = nn.Sequential(*(Block(channels, dropout) for _ in range(blocks)))
        self.norm = nn.LayerNorm(channels)
        self.last = nn.Linear(channels, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(L + 2, H) -> (L, L)."""
        product = torch.einsum("bik,bjk->bkij", states[None], states[None])
        maps = self.blocks(self.outer["conv"](product))
        values = self.last(F.relu(self.norm(maps.permute(0, 2, 3, 1))))
        return values[0, 1:-1, 1:-1, 0]


def epoch(
    head: Head,
    encoder: Callable[[list[str]], list[torch.Tensor]],
    parameters: Sequence[nn.Parameter],
    sequences: Sequence[str],
    maps: Sequence[np.ndarray],
    learning_rate: float,
) -> None:
    """Train on every sequence once, in order; -1 in a map is masked."""
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    for number, (sequence, target) in enumerate(zip(sequences, maps, strict=True), start=1):
        output, wanted = head(encoder([sequence])[0]), torch.from_numpy(target)
        known = wanted != -1
        loss = F.binary_cross_entropy_with_logits(output[known], wanted[known])
        (loss / ACCUMULATED).backward()
        if number % ACCUMULATED == 0 or number == len(sequences):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
