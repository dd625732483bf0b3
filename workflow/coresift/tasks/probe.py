"""Training a head on a pretrained encoder: frozen (cached states) or fine-tuned, one loop for both.

An example gives rows of features: its pooled state, or the states of its tokens for kinds token
and pairwise; two states side by side for kind pair (PEER's order: not symmetric).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from coresift.config import Task
from coresift.hashing import seeded_generator
from coresift.models.batching import pad, token_budget_batches
from coresift.models.tokenizer import Encoder
from coresift.tasks.sample import MASKED

#: Example numbers -> one (rows, features) tensor an example.
Features = Callable[[np.ndarray], list[torch.Tensor]]


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
        """One (rows, hidden) tensor a sequence.

        Its residues for kind token, all its tokens for kind pairwise, else its pooled state
        (<cls> and <eos> are not part of the mean).
        """
        rows = [self._encoder.encode(s[: self._max - 2]) for s in sequences]
        ids, attention = pad(rows, self._encoder.pad_id)
        device = next(self.model.parameters()).device
        states = self.model(
            input_ids=ids.to(device), attention_mask=attention.to(device)
        ).last_hidden_state
        if self._kind == "pairwise":
            return [states[i, : len(row)] for i, row in enumerate(rows)]
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


@dataclass(frozen=True)
class Batches:
    """How examples are cut into forward passes.

    Attributes:
        costs: (examples,) tokens of an example, or their square for kind pairwise.
        budget: most padded cost of one forward pass.
    """

    costs: np.ndarray
    budget: int

    def cut(self, examples: np.ndarray) -> list[np.ndarray]:
        """Example numbers in groups within the budget."""
        return [examples[part] for part in token_budget_batches(self.costs[examples], self.budget)]


def units(kind: str, target: np.ndarray) -> int:
    """What an example counts for in a mean loss: its known rows, or 1 for a whole map."""
    if kind == "pairwise":
        return int((target != MASKED).any())
    return int((target != MASKED).sum()) if kind == "token" else len(target)


def loss_sum(task: Task, outputs: list[torch.Tensor], targets: list[torch.Tensor]) -> torch.Tensor:
    """Loss summed over the units of examples; masked entries count nothing.

    Cross-entropy, binary cross-entropy (mean over labels) or squared error; for kind pairwise the
    mean over a map's known entries, of binary cross-entropy or (distance) squared error.
    """
    if task.kind == "pairwise":
        distance = task.pairwise.target == "distance"
        loss = F.mse_loss if distance else F.binary_cross_entropy_with_logits
        total = outputs[0].new_zeros(())
        for output, target in zip(outputs, targets, strict=True):
            known = target != MASKED
            if known.any():
                total = total + loss(output[known], target[known].float())
        return total
    output, target = torch.cat(outputs), torch.cat(targets)
    if task.kind == "multilabel":
        losses = F.binary_cross_entropy_with_logits(output, target.float(), reduction="none")
        return losses.mean(1).sum()
    if task.kind == "scalar":
        return F.mse_loss(output[:, 0], target.float(), reduction="sum")
    return F.cross_entropy(output, target.long(), ignore_index=MASKED, reduction="sum")


def predicted(task: Task, output: torch.Tensor) -> torch.Tensor:
    """Class ids (rows,), values (rows,), probabilities (rows, labels), or an (L, L) map of either.

    Contacts are symmetrised before the sigmoid, as in BEACON; base pairs and distances are not.
    """
    if task.kind == "pairwise":
        if task.pairwise.target == "distance":
            return output
        contact = task.pairwise.target == "contact"
        return ((output + output.T) / 2 if contact else output).sigmoid()
    if task.kind == "multilabel":
        return output.sigmoid()
    return output[:, 0] if task.kind == "scalar" else output.argmax(1)


@dataclass
class Probe:
    """A head, and the encoder where it is fine-tuned, on the features of a task's examples."""

    task: Task
    head: nn.Module
    states: EncoderStates | None
    features: Features
    batches: Batches
    best_epoch: int = 0
    valid_losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._modules = nn.ModuleList(
            [self.head] if self.states is None else [self.head, self.states]
        )

    def _tensors(self, targets: Sequence[np.ndarray]) -> list[torch.Tensor]:
        device = next(self.head.parameters()).device
        return [torch.from_numpy(target).to(device) for target in targets]

    def fit(
        self,
        target: Callable[[int], np.ndarray],
        train: np.ndarray,
        valid: np.ndarray,
        seed: int,
    ) -> None:
        """Train with early stopping on valid, and keep the best weights.

        Args:
            target: example number -> its target.
            train, valid: example numbers. The test split never comes here.
        """
        task, modules = self.task, self._modules
        groups = [{"params": list(self.head.parameters()), "lr": task.learning_rate}]
        if self.states is not None:  # PEER: the encoder at a tenth of the head's rate
            groups.append(
                {"params": list(self.states.parameters()), "lr": 0.1 * task.learning_rate}
            )
        optimizer = torch.optim.AdamW(groups, weight_decay=task.weight_decay)
        best, best_state = float("inf"), copy.deepcopy(modules.state_dict())
        for epoch in range(task.epochs):
            modules.train()
            order = seeded_generator(seed, "task_epoch", str(epoch)).permutation(train)
            for start in range(0, len(order), task.batch_size):
                self._step(optimizer, target, order[start : start + task.batch_size])
            self.valid_losses.append(self.mean_loss(target, valid))
            if self.valid_losses[-1] < best:
                best, self.best_epoch = self.valid_losses[-1], epoch
                best_state = copy.deepcopy(modules.state_dict())
            elif epoch - self.best_epoch >= task.patience:
                break
        modules.load_state_dict(best_state)

    def _step(
        self,
        optimizer: torch.optim.Optimizer,
        target: Callable[[int], np.ndarray],
        batch: np.ndarray,
    ) -> None:
        """One optimiser step on a batch, its gradient summed over forward passes."""
        targets = {i: target(i) for i in batch}
        total = sum(units(self.task.kind, t) for t in targets.values())
        if total == 0:
            return
        optimizer.zero_grad(set_to_none=True)
        for part in self.batches.cut(batch):
            outputs = self.head(self.features(part))
            loss = loss_sum(self.task, outputs, self._tensors([targets[i] for i in part]))
            (loss / total).backward()
        optimizer.step()

    @torch.no_grad()
    def mean_loss(self, target: Callable[[int], np.ndarray], examples: np.ndarray) -> float:
        """Mean loss over the units of `examples`."""
        self._modules.eval()
        total, n = 0.0, 0
        for part in self.batches.cut(examples):
            targets = [target(i) for i in part]
            outputs = self.head(self.features(part))
            total += float(loss_sum(self.task, outputs, self._tensors(targets)))
            n += sum(units(self.task.kind, t) for t in targets)
        return total / max(1, n)

    @torch.no_grad()
    def predict(self, examples: np.ndarray) -> Iterator[np.ndarray]:
        """Predictions of `examples` one by one, in their order."""
        self._modules.eval()
        for start in range(0, len(examples), self.task.batch_size):
            batch = examples[start : start + self.task.batch_size]
            found = {}
            for part in self.batches.cut(batch):
                outputs = self.head(self.features(part))
                for i, output in zip(part, outputs, strict=True):
                    found[i] = predicted(self.task, output).float().cpu().numpy()
            yield from (found[i] for i in batch)
