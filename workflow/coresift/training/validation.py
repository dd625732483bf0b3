"""Validation points: the loss on sequences that are not trained on, while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from coresift.models.tokenizer import Encoder


@dataclass(frozen=True)
class Validation:
    """What is measured at some steps of a training; it changes no bit of the training.

    Attributes:
        points: steps it is measured after, evenly spaced, the last step among them.
        loss: of the model in eval mode, nats a masked place; draws no random number of torch.
        key: what decides the loss beside the model, JSON-ready.
    """

    points: int
    loss: Callable[[PreTrainedModel, Encoder], float]
    key: Any

    def steps(self, n_steps: int) -> set[int]:
        """The steps, of 0 to n_steps - 1, that a point follows; all where points are more."""
        points = min(self.points, n_steps)
        return {-(-i * n_steps // points) - 1 for i in range(1, points + 1)}
