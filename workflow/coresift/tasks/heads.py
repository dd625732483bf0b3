"""Heads on encoder states: one output a row (example or residue), or one a pair of residues."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from coresift.tasks.settings import Task


class RowHead(nn.Module):
    """A net on every feature row of every example."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(rows, features) an example -> (rows, outputs) an example."""
        return list(self.net(torch.cat(list(rows))).split([len(r) for r in rows]))


class OuterConv(nn.Module):
    """A 3x3 convolution of the channel-wise outer product m_ij = h_i * h_j (BEACON).

    Equal to `conv(einsum("bik,bjk->bkij", h, h))`, in bands of rows: the (B, H, L, L) product,
    1 GiB for H = 640 and L = 650, is never whole.
    """

    #: Elements of the product made at once.
    BAND = 1 << 24

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(B, L, H) -> (B, channels, L, L)."""
        padded = F.pad(states, (0, 0, 1, 1))
        rows = max(1, self.BAND // padded.numel())
        bands = [
            _recomputed(self._band, padded[:, start : start + rows + 2], padded)
            for start in range(0, states.shape[1], rows)
        ]
        return torch.cat(bands, dim=2)

    def _band(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        product = torch.einsum("bik,bjk->bkij", left, right)
        return F.conv2d(product, self.conv.weight, self.conv.bias)


def _recomputed(function: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> torch.Tensor:
    """Run `function`, storing its inputs only: L x L activations are made again in backward."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    result: torch.Tensor = checkpoint(function, *arguments, use_reentrant=False)
    return result


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, L, L)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Normalise every position's channels."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """Pre-activation block: twice (LayerNorm, ReLU, dropout, convolution), 3x3 then 5x5."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(2))
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, size, padding=size // 2, bias=False) for size in (3, 5)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """(B, C, L, L) -> the same; `inside` (B, 1, L, L) is 0 where padded."""
        out = maps
        for norm, conv in zip(self.norms, self.convs, strict=True):
            # A convolution must see zeros beyond a sequence's end, as it does beyond the border.
            out = conv(self.dropout(F.relu(norm(out))) * inside)
        return maps + out


class PairHead(nn.Module):
    """BEACON's head for L x L targets (RNABenchmark: structure/predictor.py, resnet.py).

    Outer product per channel, 3x3 convolution to `channels`, residual blocks, LayerNorm, ReLU,
    linear to 1. <cls> and <eos> are seen and cropped from the output. Not symmetric.
    """

    def __init__(self, features: int, channels: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.outer = OuterConv(features, channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.last = nn.Linear(channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(L + 2, features) an example -> (L, L) an example; independent of what is batched."""
        sizes = [len(r) for r in rows]
        states = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        real = torch.arange(states.shape[1], device=states.device) < torch.tensor(
            sizes, device=states.device
        ).unsqueeze(1)
        inside = (real[:, :, None] & real[:, None, :]).unsqueeze(1).to(states.dtype)
        maps = self.outer(states)
        for block in self.blocks:
            maps = _recomputed(block, maps, inside)
        values = self.last(F.relu(self.norm(maps.permute(0, 2, 3, 1)))).squeeze(-1)
        return [values[i, 1 : n - 1, 1 : n - 1] for i, n in enumerate(sizes)]


def form_of(task: Task) -> str:
    """The form of states that a task's head reads."""
    return {"pairwise": "tokens", "token": "residues"}.get(task.kind, task.pooling)


def make_head(task: Task, features: int, outputs: int) -> nn.Module:
    """The head of a task on `features` wide states.

    `linear` is a probe; `pooler` is BEACON's (BERT pooler: linear, tanh, linear); `mlp` is PEER's
    (linear, ReLU, linear); hidden layers are as wide as the features.
    """
    if task.kind == "pairwise":
        pair = task.pairwise
        return PairHead(features, pair.channels, pair.blocks, pair.dropout)
    if task.head == "linear":
        return RowHead(nn.Linear(features, outputs))
    activation = nn.Tanh() if task.head == "pooler" else nn.ReLU()
    return RowHead(
        nn.Sequential(nn.Linear(features, features), activation, nn.Linear(features, outputs))
    )
