"""Operations of what stands on an encoder's states, and of the small network, in closed form.

As in operations.py only matrix products and convolutions are counted, two operations each.
"""

from __future__ import annotations

from dataclasses import dataclass

from coresift.alphabet import ALPHABETS
from coresift.tasks.cnn import CHANNELS, KERNEL, STEM, STRIDES
from coresift.tasks.heads import form_of
from coresift.tasks.settings import Task


@dataclass(frozen=True)
class Operations:
    """Operations of one unit: a row of a head, a pair of residues, a residue of the network.

    Attributes:
        forward: of a forward pass.
        step: of a training step: the forward pass, gradients of inputs and of weights, and what
            is made again because it was not stored.
    """

    forward: float
    step: float


def trained(forward: float, again: float = 0.0) -> Operations:
    """Operations of layers whose step is three forward passes, and of what is made `again`."""
    return Operations(forward, 3 * forward + again)


def pair_head(task: Task, features: int) -> Operations:
    """BEACON's head, a pair of tokens (`heads.PairHead`).

    Outer product (H), 3x3 convolution H -> C, in each block convolutions 3x3 and 5x5 of C -> C,
    linear C -> 1. A block's first convolution and the product are made again in the backward pass;
    what is last in a recomputed part is not. Rows that neighbouring bands of the product share are
    left out (below a tenth of the product, which is a thousandth of it all).
    """
    c, blocks = task.pairwise.channels, task.pairwise.blocks
    product, first = 2 * features, 2 * 9 * features * c
    narrow, wide = 2 * 9 * c * c, 2 * 25 * c * c
    forward = product + first + blocks * (narrow + wide) + 2 * c
    return trained(forward, product + blocks * narrow)


def row_head(task: Task, features: int) -> Operations:
    """A head on rows (`heads.RowHead`), a row. Labels that only the data tell count as one."""
    outputs = task.n_labels or len(task.classes or [None])
    hidden = 0 if task.head == "linear" else 2 * features * features
    return trained(hidden + 2 * features * outputs)


def head(task: Task, features: int) -> Operations:
    """The head of a task, a unit of it."""
    return pair_head(task, features) if task.kind == "pairwise" else row_head(task, features)


def network(task: Task, modality: str) -> Operations:
    """The network of the row `cnn` below its head, a residue (`tasks.cnn.CNN`)."""
    block = 2 * 2 * KERNEL * CHANNELS * CHANNELS
    share, blocks = 1.0, 0.0
    for stride in STRIDES:
        if form_of(task.model_copy(update={"pooling": "mean"})) == "mean":
            share /= stride
        blocks += block * share
    return trained(2 * STEM * len(ALPHABETS[modality].letters) * CHANNELS + blocks)
