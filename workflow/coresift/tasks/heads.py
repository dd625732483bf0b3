"""Heads on encoder states: one output a row (example or residue), or one a pair of residues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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

    Equal to `conv(einsum("bik,bjk->bkij", h, h))`, summed over the kernel's rows before the
    product: sum over (e, k) of [sum over d of w_ckde h_(i+d)k] h_(j+e)k, a third of the
    multiplications. The (B, H, L, L) product, 1 GiB for H = 640 and L = 650, is never made.
    """

    #: Elements of the inner sum made at once: what exceeds them is made in bands of rows.
    BAND = 1 << 24

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(B, L, H) -> (B, channels, L, L)."""
        size = states.shape[1]
        # (B, H, 3, L): each place and its neighbours.
        near = F.pad(states.transpose(1, 2), (1, 1)).unfold(2, size, 1).contiguous()
        rows = max(1, self.BAND // (near[..., 0].numel() * self.conv.out_channels))
        if rows >= size:
            return self._band(near, near)
        starts = range(0, size, rows)
        bands = [_recomputed(self._band, near[..., i : i + rows], near) for i in starts]
        return torch.cat(bands, dim=2)

    def _band(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        channels, features = self.conv.weight.shape[:2]
        bias = self.conv.get_parameter("bias")[:, None, None]
        batch, size, rows = len(left), right.shape[-1], left.shape[-1]
        kernel = self.conv.weight.permute(1, 3, 0, 2).reshape(features, 3 * channels, 3)
        inner = torch.matmul(kernel, left).view(batch, 3 * features, channels * rows)
        found = torch.bmm(inner.transpose(1, 2), right.view(batch, 3 * features, size))
        return found.view(batch, channels, rows, size) + bias


def _recomputed(function: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
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


class DroppedConv(nn.Conv2d):
    """Dropout and a convolution without bias to as many channels, of the same size.

    Beyond a sequence's end it sees zeros, as beyond the border.
    """

    def __init__(self, channels: int, size: int, dropout: float) -> None:
        super().__init__(channels, channels, size, padding=size // 2, bias=False)
        self.dropout = dropout

    def forward(self, maps: torch.Tensor, inside: torch.Tensor | None = None) -> torch.Tensor:
        """(B, C, L, L) -> the same; `inside` (B, 1, L, L) is 0 where padded; None = nowhere."""
        dropout = self.dropout if self.training else 0.0
        kept = inside
        if dropout:
            # On a CPU nn.Dropout's random numbers take three times as long.
            kept = torch.rand_like(maps).ge_(dropout)
            if inside is not None:
                kept *= inside
        if kept is not None:
            maps = maps * kept
        # Dropout's scale is on the few weights, not on the many activations.
        return F.conv2d(maps, self.weight / (1 - dropout), padding=self.kernel_size[0] // 2)


class ResidualBlock(nn.Module):
    """Pre-activation block: twice (LayerNorm, ReLU, dropout, convolution), 3x3 then 5x5."""

    #: Bytes kept for backward, an element of the maps, in float32.
    KEPT = 32

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(2))
        self.convs = nn.ModuleList(DroppedConv(channels, size, dropout) for size in (3, 5))

    def forward(self, maps: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
        """(B, C, L, L) -> the same; `inside` as for `DroppedConv`."""
        out = maps
        for norm, conv in zip(self.norms, self.convs, strict=True):
            out = conv(F.relu(norm(out)), inside)
        return maps + out


class PairHead(nn.Module):
    """BEACON's head for L x L targets (RNABenchmark: structure/predictor.py, resnet.py).

    Outer product per channel, 3x3 convolution to `channels`, residual blocks, LayerNorm, ReLU,
    linear to 1. <cls> and <eos> are seen and cropped from the output. Not symmetric.

    Args:
        kept: bytes of activations that a forward pass may keep for backward. Blocks for which there
            is no room keep their input and are run again: same result, a third more time.
    """

    def __init__(
        self, features: int, channels: int, blocks: int, dropout: float, kept: int
    ) -> None:
        super().__init__()
        self.outer = OuterConv(features, channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.last = nn.Linear(channels, 1)
        self.kept = kept
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(L + 2, features) an example -> (L, L) an example; independent of what is batched."""
        sizes = [len(r) for r in rows]
        states = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        inside = None
        if min(sizes) < max(sizes):
            places = torch.arange(max(sizes), device=states.device)
            real = places < torch.tensor(sizes, device=states.device).unsqueeze(1)
            inside = (real[:, :, None] & real[:, None, :]).unsqueeze(1).to(states.dtype)
        # As the norms, over channels, read and leave them.
        maps = self.outer(states).contiguous(memory_format=torch.channels_last)
        again = len(self.blocks) - self.kept // (maps.numel() * ResidualBlock.KEPT)
        for number, block in enumerate(self.blocks):
            maps = _recomputed(block, maps, inside) if number < again else block(maps, inside)
        values = self.last(F.relu(self.norm(maps.permute(0, 2, 3, 1)))).squeeze(-1)
        return [values[i, 1 : n - 1, 1 : n - 1] for i, n in enumerate(sizes)]


def form_of(task: Task) -> str:
    """The form of states that a task's head reads."""
    return {"pairwise": "tokens", "token": "residues"}.get(task.kind, task.pooling)


def make_head(task: Task, features: int, outputs: int, columns: int = 1) -> nn.Module:
    """The head of a task on `features` wide states.

    `linear` is a probe; `pooler` is BEACON's (BERT pooler: linear, tanh, linear); `mlp` is PEER's
    (linear, ReLU, linear); hidden layers are as wide as the features, PEER's as those of one of
    its `columns` of sequences.
    """
    if task.kind == "pairwise":
        pair = task.pairwise
        kept = pair.activations_mb << 20
        return PairHead(features, pair.channels, pair.blocks, pair.dropout, kept)
    if task.head == "linear":
        return RowHead(nn.Linear(features, outputs))
    activation = nn.Tanh() if task.head == "pooler" else nn.ReLU()
    hidden = features // columns if task.head == "mlp" else features
    return RowHead(
        nn.Sequential(nn.Linear(features, hidden), activation, nn.Linear(hidden, outputs))
    )
