"""A training's resumable state: one file, of one run alone, whole or absent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coresift.files import read_tensors, write_tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """What a state holds beside weights and moments, which are loaded.

    Attributes:
        notes: what the training knows of itself, JSON-ready.
        extra: tensors by name, on the CPU.
    """

    notes: dict[str, Any]
    extra: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Resumable:
    """Where a training keeps its state.

    Attributes:
        path: of the file.
        steps: optimiser steps from one state to the next.
        run: all that decides the training's result, JSON-ready: a state of another is not used.
    """

    path: Path
    steps: int
    run: dict[str, Any]

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        notes: Mapping[str, Any],
        extra: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Write weights, moments, notes and further tensors as one file."""
        tensors = {f"model.{n}": t.clone() for n, t in model.state_dict().items()}
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in state.items()}
        tensors |= {f"extra.{name}": tensor for name, tensor in (extra or {}).items()}
        write_tensors(self.path, tensors, {"run": self.run, **notes})

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Restored | None:
        """Load the state of the same run; None (a damaged one is told in the log) if none fits."""
        if not self.path.is_file():
            return None
        try:
            tensors, notes = read_tensors(self.path)
            found = notes.pop("run", None) or {}
            changed = [n for n in sorted(self.run | found) if self.run.get(n) != found.get(n)]
            if changed:
                raise ValueError(f"{self.path}: of another run ({', '.join(changed)})")
            weights, state, extra = _fitting(tensors, model, optimizer)
        except ValueError as error:
            logger.warning("starting afresh: %s", error)
            return None
        model.load_state_dict(weights)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        return Restored(notes, extra)


def _fitting(
    tensors: dict[str, torch.Tensor], model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[int, dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Weights, optimizer state and further tensors of a file.

    Raises:
        ValueError: they are not of this model and optimizer; neither has been changed.
    """
    weights: dict[str, torch.Tensor] = {}
    extra: dict[str, torch.Tensor] = {}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "model":
            weights[rest] = tensor
        elif kind == "extra":
            extra[rest] = tensor
        else:
            index, _, field = rest.partition(".")
            state.setdefault(int(index), {})[field] = tensor
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if expected != {name: tensor.shape for name, tensor in weights.items()}:
        raise ValueError("the checkpoint's weights do not fit the model")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, fields in state.items():
        shape = parameters[i].shape if i < len(parameters) else None
        sizes = {field: tensor.shape for field, tensor in fields.items()}
        if sizes != {"step": torch.Size(), "exp_avg": shape, "exp_avg_sq": shape}:
            raise ValueError("the checkpoint's optimizer state does not fit the model")
    return weights, state, extra
