"""Heads on a pretrained encoder: frozen (cached states) or fine-tuned, one loop for both.

Every example gives rows of features and rows of targets: one row for a pooled state, one a residue
for kind token, one of two states side by side for kind pair (PEER's order: not symmetric).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from coresift.config import Task
from coresift.hashing import seeded_generator
from coresift.models.batching import pad, token_budget_batches
from coresift.models.tokenizer import Encoder

Rows = Callable[[np.ndarray], torch.Tensor]


class EncoderStates(nn.Module):
    """Feature rows of sequences from an encoder's last hidden states."""

    def __init__(self, encoder_model: nn.Module, encoder: Encoder, task: Task) -> None:
        super().__init__()
        self.model = encoder_model
        self._encoder = encoder
        self._kind = task.kind
        self._pooling = task.pooling
        self._max = min(task.max_tokens, encoder.max_tokens)

    def forward(self, sequences: Sequence[str]) -> list[torch.Tensor]:
        """One (rows, hidden) tensor a sequence: its residues for kind token, else its pooled state.

        <cls> and <eos> are not part of the mean.
        """
        rows = [self._encoder.encode(s[: self._max - 2]) for s in sequences]
        ids, attention = pad(rows, self._encoder.pad_id)
        device = next(self.model.parameters()).device
        states = self.model(
            input_ids=ids.to(device), attention_mask=attention.to(device)
        ).last_hidden_state
        inner = [states[i, 1 : len(row) - 1] for i, row in enumerate(rows)]
        if self._kind == "token":
            return inner
        if self._pooling == "cls":
            return [states[i, :1] for i in range(len(rows))]
        return [state.mean(0, keepdim=True) for state in inner]

    @torch.no_grad()
    def cache(self, sequences: Sequence[str], tokens_per_batch: int) -> list[torch.Tensor]:
        """States of all sequences on the CPU, in input order; each distinct sequence once."""
        self.eval()
        distinct = sorted(set(sequences))
        sizes = [min(len(s) + 2, self._max) for s in distinct]
        found: dict[str, torch.Tensor] = {}
        for batch in token_budget_batches(sizes, tokens_per_batch):
            names = [distinct[i] for i in batch]
            found.update(zip(names, (s.cpu() for s in self(names)), strict=True))
        return [found[s] for s in sequences]


def make_head(n_features: int, n_outputs: int, hidden: int) -> nn.Module:
    """Linear, or one hidden layer with GELU."""
    if hidden == 0:
        return nn.Linear(n_features, n_outputs)
    return nn.Sequential(nn.Linear(n_features, hidden), nn.GELU(), nn.Linear(hidden, n_outputs))


def loss_of(kind: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean loss over rows: cross-entropy, binary cross-entropy or squared error."""
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(outputs, targets.float())
    if kind == "scalar":
        return F.mse_loss(outputs[:, 0], targets.float())
    return F.cross_entropy(outputs, targets.long(), ignore_index=-1)


def predict_rows(kind: str, outputs: torch.Tensor) -> torch.Tensor:
    """Class ids (rows,), values (rows,) or label probabilities (rows, labels)."""
    if kind == "multilabel":
        return outputs.sigmoid()
    return outputs[:, 0] if kind == "scalar" else outputs.argmax(1)


@dataclass
class Fitted:
    """The best weights on the validation split."""

    head: nn.Module
    states: EncoderStates | None
    best_epoch: int
    valid_losses: list[float]


def fit(
    task: Task,
    head: nn.Module,
    states: EncoderStates | None,
    features: Rows,
    targets: Sequence[np.ndarray],
    train: np.ndarray,
    valid: np.ndarray,
    seed: int,
) -> Fitted:
    """Train a head (and the encoder, where `states` is given) with early stopping on valid.

    Args:
        features: example indices -> (rows, n_features), differentiable for full fine-tuning.
        targets: target rows of each example.
        train, valid: example indices. The test split never comes here.
    """
    modules = nn.ModuleList([head] if states is None else [head, states])
    groups = [{"params": list(head.parameters()), "lr": task.learning_rate}]
    if states is not None:  # PEER: the encoder at a tenth of the head's rate
        groups.append({"params": list(states.parameters()), "lr": 0.1 * task.learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=task.weight_decay)
    best, best_state, best_epoch = float("inf"), copy.deepcopy(modules.state_dict()), 0
    losses: list[float] = []
    for epoch in range(task.epochs):
        modules.train()
        order = seeded_generator(seed, "task_epoch", str(epoch)).permutation(train)
        for start in range(0, len(order), task.batch_size):
            batch = order[start : start + task.batch_size]
            y = _target_rows(targets, batch)
            outputs = head(features(batch))
            loss = loss_of(task.kind, outputs, y.to(outputs.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        losses.append(evaluate_loss(task, modules, head, features, targets, valid))
        if losses[-1] < best:
            best, best_epoch = losses[-1], epoch
            best_state = copy.deepcopy(modules.state_dict())
        elif epoch - best_epoch >= task.patience:
            break
    modules.load_state_dict(best_state)
    return Fitted(head, states, best_epoch, losses)


def _target_rows(targets: Sequence[np.ndarray], batch: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([targets[i] for i in batch]))


@torch.no_grad()
def evaluate_loss(
    task: Task,
    modules: nn.Module,
    head: nn.Module,
    features: Rows,
    targets: Sequence[np.ndarray],
    examples: np.ndarray,
) -> float:
    """Mean loss over the rows of `examples`."""
    modules.eval()
    total, n = 0.0, 0
    for start in range(0, len(examples), task.batch_size):
        batch = examples[start : start + task.batch_size]
        outputs = head(features(batch))
        y = _target_rows(targets, batch).to(outputs.device)
        rows = int((y != -1).sum()) if task.kind == "token" else len(y)
        if rows:
            total += float(loss_of(task.kind, outputs, y)) * rows
            n += rows
    return total / max(1, n)


@torch.no_grad()
def predict(task: Task, fitted: Fitted, features: Rows, examples: np.ndarray) -> np.ndarray:
    """Prediction rows of `examples`, concatenated."""
    fitted.head.eval()
    if fitted.states is not None:
        fitted.states.eval()
    parts = []
    for start in range(0, len(examples), task.batch_size):
        outputs = fitted.head(features(examples[start : start + task.batch_size]))
        parts.append(predict_rows(task.kind, outputs).float().cpu().numpy())
    return np.concatenate(parts)
