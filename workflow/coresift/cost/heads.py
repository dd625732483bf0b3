"""Operations of what stands on an encoder's states, and of the small network, in closed form.

As in operations.py only matrix products and convolutions are counted, two operations each.
"""

from __future__ import annotations

from dataclasses import dataclass

from coresift.alphabet import ALPHABETS
from coresift.cost.operations import Load
from coresift.tasks.cnn import CHANNELS, KERNEL, STEM, STRIDES
from coresift.tasks.heads import ResidualBlock, form_of
from coresift.tasks.settings import Task


@dataclass(frozen=True)
class Reading:
    """What forward passes over examples read.

    Attributes:
        encoder: sequences of all columns, padded, as the encoder reads them.
        units: rows (examples or residues), or padded pairs of tokens, that the head sees.
        again: padded pairs of tokens times the blocks of a pairwise head that are run twice in a
            training step.
    """

    encoder: Load
    units: float
    again: float = 0.0

    def __mul__(self, factor: float) -> Reading:
        return Reading(self.encoder * factor, self.units * factor, self.again * factor)

    def __add__(self, other: Reading) -> Reading:
        load = self.encoder + other.encoder
        return Reading(load, self.units + other.units, self.again + other.again)


def blocks_again(task: Task, pairs: float) -> int:
    """Blocks of a pairwise head that a training step of so many padded pairs runs twice."""
    pair = task.pairwise
    kept = (pair.activations_mb << 20) // int(pairs * pair.channels * ResidualBlock.KEPT)
    return max(0, pair.blocks - kept)


def head_forward(task: Task, features: int, read: Reading) -> float:
    """Operations of a task's head in forward passes.

    Pairwise (`heads.PairHead`), a pair of tokens: the outer convolution's product 3 H -> C, in each
    block convolutions 3x3 and 5x5 of C -> C, linear C -> 1; a token: the outer convolution's inner
    sum, 3 H -> 3 C. Others (`heads.RowHead`), a row: linear layers; labels that only the data tell
    count as one.
    """
    if task.kind != "pairwise":
        outputs = task.n_labels or len(task.classes or [None])
        hidden = 0 if task.head == "linear" else 2 * features * features
        return read.units * (hidden + 2 * features * outputs)
    c = task.pairwise.channels
    blocks = task.pairwise.blocks * 2 * (9 + 25) * c * c
    pair = 2 * 3 * features * c + blocks + 2 * c
    return read.units * pair + read.encoder.tokens * 2 * 3 * features * 3 * c


def head_step(task: Task, features: int, read: Reading) -> float:
    """Operations of a task's head in training steps: three forward passes.

    What blocks are run twice is all but their second convolution, whose output is not needed. That
    the outer convolution's inner sum is made twice where it is cut into bands is left out.
    """
    c = task.pairwise.channels
    return 3 * head_forward(task, features, read) + read.again * 2 * 9 * c * c


def network_forward(task: Task, modality: str, read: Reading) -> float:
    """Operations of the network of the row `cnn` below its head (`tasks.cnn.CNN`).

    A step is three times that.
    """
    block = 2 * 2 * KERNEL * CHANNELS * CHANNELS
    shrinks = form_of(task.model_copy(update={"pooling": "mean"})) == "mean"
    share, blocks = 1.0, 0.0
    for stride in STRIDES:
        if shrinks:
            share /= stride
        blocks += block * share
    stem = 2 * STEM * len(ALPHABETS[modality].letters) * CHANNELS
    return read.encoder.tokens * (stem + blocks)
