"""A supervised baseline: a small convolutional network, trained from scratch on a task's train.

A residual network (He et al. 2016, identity mappings) on
one-hot letters, about 0.3 M parameters, in the place of the encoder: the task's head, loss and
early stopping are the models' own. Where a sequence has one output, the blocks halve the
resolution; where every residue has one, they dilate instead (Yu et al. 2017, dilated residual
networks): the same weights see as far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F

from coresift.alphabet import ALPHABETS
from coresift.models.batching import pad
from coresift.tasks.heads import form_of
from coresift.tasks.problem import Work, read_problem
from coresift.tasks.result import result
from coresift.tasks.settings import Task

#: Width, kernel sizes, dropout, and what each block divides the resolution by (or dilates by).
CHANNELS, STEM, KERNEL, DROPOUT = 96, 9, 3, 0.1
STRIDES = (2, 2, 2, 2, 1)
#: A task's own rate is a pretrained encoder's or a probe's; this network starts from nothing.
LEARNING_RATE = 1e-3


def _convolution(stride: int, dilation: int) -> nn.Conv1d:
    margin = dilation * (KERNEL // 2)
    return nn.Conv1d(CHANNELS, CHANNELS, KERNEL, stride, margin, dilation, bias=False)


def _convolved(layer: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """A convolution of (B, L, C) rows, which must be 0 where padded, as beyond the border."""
    result: torch.Tensor = layer(states.transpose(1, 2)).transpose(1, 2)
    return result


class Block(nn.Module):
    """Twice (LayerNorm over channels, ReLU, convolution), dropout between, added to the input.

    Attributes:
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        self.stride = stride
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in dilations)
        self.convs = nn.ModuleList(map(_convolution, (stride, 1), dilations))
        # At first every block is the identity (Goyal et al. 2017, section 5.1).
        for weight in self.convs[1].parameters():
            nn.init.zeros_(weight)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(
        self, states: torch.Tensor, inside: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L, C) states and (B, L, 1), 0 where padded -> both of ceil(L / stride) rows."""
        left = inside[:, :: self.stride]
        first = _convolved(self.convs[0], F.relu(self.norms[0](states)) * inside)
        out = _convolved(self.convs[1], self.dropout(F.relu(self.norms[1](first))) * left)
        return states[:, :: self.stride] + out, left


class CNN(nn.Module):
    """Feature rows of sequences, as `EncoderStates` gives them.

    Attributes:
        form: `tokens` (every residue's state between two rows of zeros), `residues`, or `mean`
            (over the positions that are left of a sequence).
        room: residues read.
    """

    def __init__(self, modality: str, form: str, room: int) -> None:
        super().__init__()
        self.form = form
        self.room = room
        letters = ALPHABETS[modality].letters
        self.n_letters = len(letters)
        # 0 is padding.
        self._ids = np.zeros(256, dtype=np.int64)
        self._ids[np.frombuffer(letters.encode("ascii"), np.uint8)] = 1 + np.arange(len(letters))
        self.stem = nn.Conv1d(len(letters), CHANNELS, STEM, padding=STEM // 2)
        self.blocks = nn.ModuleList()
        at = 1  # resolution, a power of 2
        for stride in STRIDES:
            dilated = form != "mean"
            dilations = (at, at * stride) if dilated else (1, 1)
            self.blocks.append(Block(1 if dilated else stride, dilations))
            at *= stride
        self.norm = nn.LayerNorm(CHANNELS)

    def forward(self, sequences: Sequence[str]) -> list[torch.Tensor]:
        """One (rows, `CHANNELS`) tensor a sequence, cropped to `room`; padding changes nothing."""
        rows = [
            self._ids[np.frombuffer(s[: self.room].encode("ascii"), np.uint8)] for s in sequences
        ]
        ids, real = pad(rows, 0)
        ids = ids.to(self.stem.weight.device)
        inside = real.to(self.stem.weight).unsqueeze(2)
        letters = F.one_hot(ids, self.n_letters + 1)[..., 1:].to(self.stem.weight)
        states = _convolved(self.stem, letters)
        for block in self.blocks:
            states, inside = block(states, inside)
        states = F.relu(self.norm(states)) * inside
        if self.form == "mean":
            return list((states.sum(1) / inside.sum(1)).unsqueeze(1))
        margin = 1 if self.form == "tokens" else 0
        found = (states[i, : len(row)] for i, row in enumerate(rows))
        return [F.pad(own, (0, 0, margin, margin)) for own in found]


def evaluate_cnn(
    task: Task,
    modality: str,
    seeds: Sequence[int],
    tokens_per_batch: int,
    device: torch.device,
    work: Work | None = None,
    precision: str = "float32",
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Train the network and a task's head once a seed; metrics and predictions of test.

    Args:
        task: of a kind of one sequence. Its epochs, batch size, schedule, patience and choice of
            the best epoch hold here as well; its learning rates do not (`LEARNING_RATE`).
        seeds: of the weights, the order of examples and dropout.
        tokens_per_batch: padded tokens of one forward pass.
        work, precision: as for `evaluate_task`.

    Returns:
        As `evaluate_task`.
    """
    rates = {"mode": "finetune", "learning_rate": LEARNING_RATE, "encoder_rate": 1.0}
    trained = task.model_copy(update=rates)
    room = task.max_tokens - 2
    problem = read_problem(trained, modality, room, tokens_per_batch, precision)
    form = form_of(task.model_copy(update={"pooling": "mean"}))
    runs = {}
    for seed in seeds:
        torch.manual_seed(seed)
        network = CNN(modality, form, room).to(device)
        runs[seed] = problem.run_live(seed, device, network, work)
    extra = {"model": "cnn", "mode": "cnn", "cropped": problem.cropped}
    return result(task, problem.examples, problem.targets, runs, problem.unread, extra)
