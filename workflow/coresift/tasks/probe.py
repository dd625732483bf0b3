"""Training a head on an encoder's states, stored or fine-tuned: one loop for both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import get_scheduler

from coresift.dag.pace import Pace
from coresift.hashing import seeded_generator
from coresift.models.batching import token_budget_batches
from coresift.models.precision import autocast
from coresift.models.resume import Resumable
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import MASKED, Sample, make_sample
from coresift.tasks.settings import LOWER_IS_BETTER, Task
from coresift.tasks.targets import ScaledTargets
from coresift.tasks.thresholds import THRESHOLDS, cut_at, moved

logger = logging.getLogger(__name__)

#: Forward passes whose predictions are held until they stand in the order of examples.
WINDOW = 16
#: Example numbers -> one (rows, features) tensor an example.
Features = Callable[[np.ndarray], list[torch.Tensor]]


@dataclass(frozen=True)
class Batches:
    """How examples are cut into forward passes.

    Attributes:
        costs: (examples,) tokens of an example, or their square for kind pairwise.
        budget: most padded cost of one forward pass.
        max_padding: most padding in one forward pass, as a share of its padded cost.
    """

    costs: np.ndarray
    budget: int
    max_padding: float = 1.0

    def cut(self, examples: np.ndarray) -> list[np.ndarray]:
        """Example numbers in groups of like cost within the budget."""
        parts = token_budget_batches(self.costs[examples], self.budget, self.max_padding)
        return [examples[part] for part in parts]

    def windows(self, examples: np.ndarray) -> list[np.ndarray]:
        """Runs of examples, as they stand, of about `WINDOW` budgets each."""
        before = np.cumsum(self.costs[examples]) - self.costs[examples]
        number = before // (WINDOW * self.budget)
        return np.split(examples, np.flatnonzero(np.diff(number)) + 1)


def units(task: Task, target: np.ndarray) -> int:
    """What an example counts for in a mean loss: its known rows, or 1 for a whole map."""
    if task.kind == "pairwise":
        return int((target != MASKED).any())
    return int((target != MASKED).sum()) if task.kind == "token" else len(target)


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
    if task.target == "multilabel":
        losses = F.binary_cross_entropy_with_logits(output, target.float(), reduction="none")
        return losses.mean(1).sum()
    if task.target == "scalar":
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
    if task.target == "multilabel":
        return output.sigmoid()
    return output[:, 0] if task.target == "scalar" else output.argmax(1)


def warmup_steps(task: Task, steps: int) -> int:
    """Steps of `steps` with rising rate."""
    given = task.warmup_steps
    return round(given * steps) if given < 1 else int(given)


def _copy(modules: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in modules.state_dict().items()}


@dataclass(frozen=True)
class Fit:
    """How a training went.

    Attributes:
        epochs: that were run, a part of one included.
        best_epoch: after which the weights that are kept were evaluated; 0 = no evaluation had a
            value, the first weights.
        stopped: by the task's `patience`, or all its `epochs` were run.
        threshold: above which a pair is predicted, where valid chose it.
    """

    epochs: float
    best_epoch: float
    stopped: Literal["patience", "epochs"]
    threshold: float | None = None


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        best: weights of the best evaluation; the first ones before there is one.
        step: optimiser steps taken.
        evaluations: on valid.
        best_evaluation, best_step: its number, from 1, and its step; 0 before there is one.
        lowest: its value, lower being better.
    """

    best: dict[str, torch.Tensor]
    step: int = 0
    evaluations: int = 0
    best_evaluation: int = 0
    best_step: int = 0
    lowest: float = float("inf")

    def add(self, value: float, modules: nn.Module) -> None:
        """Count an evaluation of the weights as they are."""
        self.evaluations += 1
        if value < self.lowest:
            self.lowest, self.best = value, _copy(modules)
            self.best_evaluation, self.best_step = self.evaluations, self.step

    def exhausted(self, patience: int) -> bool:
        """Whether the last `patience` evaluations were no better than one before."""
        return self.evaluations - self.best_evaluation >= patience

    def notes(self) -> dict[str, Any]:
        """All but the weights, JSON-ready."""
        return {key: value for key, value in vars(self).items() if key != "best"}


@dataclass
class Probe:
    """A head, and the encoder where it is fine-tuned, on the features of a task's examples.

    Attributes:
        features: example numbers -> one (rows, features) tensor an example.
        tuned: the encoder whose weights are trained with the head's; None if frozen.
        precision: float32 (the weights' own) or bf16 (autocast) of encoder and head; losses and
            predictions are computed in the weights' own.
        threshold: probability of a pair that predictions have as 0.5: 0.5, or what `fit` found.
    """

    task: Task
    head: nn.Module
    tuned: nn.Module | None
    features: Features
    targets: ScaledTargets
    batches: Batches
    precision: str = "float32"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        modules = [self.head] if self.tuned is None else [self.head, self.tuned]
        self._modules = nn.ModuleList(modules)

    def fit(
        self, train: np.ndarray, valid: np.ndarray, seed: int, resumable: Resumable | None = None
    ) -> Fit:
        """Train with early stopping on valid, and keep the best weights.

        A killed training goes on from its last state, bit for bit on a CPU. A finished one leaves
        its last state as well, if it took as many steps as lie between two.

        Args:
            train, valid: example numbers. The test split never comes here.
            seed: of the order of examples; dropout's random numbers are torch's next ones.
        """
        task = self.task
        per_epoch = -(-len(train) // task.batch_size)
        steps = task.epochs * per_epoch
        optimizer, rate = self._optimizer(steps)
        at = self._restored(resumable, optimizer)
        order: tuple[int, np.ndarray] = (-1, train)
        pace = Pace()
        first = at.step
        while at.step < steps and not at.exhausted(task.patience):
            epoch, place = divmod(at.step, per_epoch)
            if order[0] != epoch:
                generator = seeded_generator(seed, "task_epoch", str(epoch))
                order = (epoch, generator.permutation(train))
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate(at.step)
            self._modules.train()
            self._step(optimizer, order[1][place * task.batch_size :][: task.batch_size])
            at.step += 1
            if at.step % (task.evaluate_steps or per_epoch) == 0 or at.step == steps:
                value = self._valid_value(valid)
                logger.info("seed %d step %d: %s on valid %.5f", seed, at.step, task.stop_on, value)
                at.add(value, self._modules)
            if resumable is not None and at.step % resumable.steps == 0:
                self._save(resumable, optimizer, at)
            if said := pace.due(at.step - first, steps - at.step):
                logger.info(
                    "seed %d step %d/%d, %.2f steps/s, at most %.0f s left",
                    seed, at.step, steps, *said,
                )  # fmt: skip
        if resumable is not None and at.step >= resumable.steps:
            self._save(resumable, optimizer, at)
        self._modules.load_state_dict(at.best)
        stopped: Literal["patience", "epochs"]
        stopped = "patience" if at.exhausted(task.patience) else "epochs"
        fit = Fit(at.step / per_epoch, at.best_step / per_epoch, stopped)
        if not task.chooses_threshold:
            return fit
        self.threshold = self._best_threshold(valid)[0]
        return replace(fit, threshold=self.threshold)

    def _optimizer(self, steps: int) -> tuple[torch.optim.Optimizer, Callable[[int], float]]:
        """The optimiser, and what a step's learning rate is of the highest."""
        task = self.task
        groups = [{"params": list(self.head.parameters()), "lr": task.learning_rate}]
        if self.tuned is not None:
            rate = task.encoder_rate * task.learning_rate
            groups.append({"params": list(self.tuned.parameters()), "lr": rate})
        optimizer = torch.optim.AdamW(groups, weight_decay=task.weight_decay)
        schedule = "constant_with_warmup" if task.schedule == "constant" else task.schedule
        scheduler = get_scheduler(schedule, optimizer, warmup_steps(task, steps), steps)
        return optimizer, scheduler.lr_lambdas[0]

    def _save(self, resumable: Resumable, optimizer: torch.optim.Optimizer, at: Progress) -> None:
        random = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self._device)
        extra = {f"best.{name}": tensor for name, tensor in at.best.items()}
        extra |= {f"random.{name}": state for name, state in random.items()}
        resumable.save(self._modules, optimizer, {"progress": at.notes()}, extra)

    def _restored(self, resumable: Resumable | None, optimizer: torch.optim.Optimizer) -> Progress:
        """Where a killed training of the same was, its weights and random numbers set; or none."""
        found = None if resumable is None else resumable.restore(self._modules, optimizer)
        if found is None:
            return Progress(best=_copy(self._modules))
        parts: dict[str, dict[str, torch.Tensor]] = {"best": {}, "random": {}}
        for name, tensor in found.extra.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = tensor
        torch.set_rng_state(parts["random"]["cpu"])
        if "cuda" in parts["random"]:
            torch.cuda.set_rng_state(parts["random"]["cuda"], self._device)
        at = Progress(best=parts["best"], **found.notes["progress"])
        logger.info("resuming at step %d", at.step)
        return at

    @property
    def _device(self) -> torch.device:
        return next(self.head.parameters()).device

    def _step(self, optimizer: torch.optim.Optimizer, batch: np.ndarray) -> None:
        """One optimiser step on a batch, its gradient summed over forward passes."""
        targets = {i: self.targets(i) for i in batch}
        total = sum(units(self.task, t) for t in targets.values())
        if total == 0:
            return
        optimizer.zero_grad(set_to_none=True)
        for part in self.batches.cut(batch):
            (self._loss(part, [targets[i] for i in part]) / total).backward()
        if self.task.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._modules.parameters(), self.task.clip_norm)
        optimizer.step()

    def _outputs(self, examples: np.ndarray) -> list[torch.Tensor]:
        """One output an example, in the weights' own precision."""
        with autocast(self._device, self.precision):
            outputs: list[torch.Tensor] = self.head(self.features(examples))
        return outputs if self.precision == "float32" else [one.float() for one in outputs]

    def _loss(self, examples: np.ndarray, targets: Sequence[np.ndarray]) -> torch.Tensor:
        outputs = self._outputs(examples)
        device = outputs[0].device
        return loss_sum(self.task, outputs, [torch.from_numpy(t).to(device) for t in targets])

    def _valid_value(self, valid: np.ndarray) -> float:
        name = self.task.primary
        if self.task.stop_on == "loss":
            return self.mean_loss(valid)
        try:
            if self.task.chooses_threshold:
                value = self._best_threshold(valid)[1]
            else:
                value = METRICS[self.task.metrics][name](self.sample(valid))
        except FloatingPointError as error:
            logger.warning("%s", error)
            return float("nan")
        if value == 0 and self.task.kind == "pairwise":
            # No pair is found yet: a loss is above all values of a metric, and falls all the same.
            return self.mean_loss(valid)
        return value if name in LOWER_IS_BETTER else -value

    def _best_threshold(self, valid: np.ndarray) -> tuple[float, float]:
        """The threshold with the best primary metric on valid, the first of such; that metric."""
        task, metric = self.task, METRICS[self.task.metrics][self.task.primary]
        raw = make_sample(task, self.targets, valid, self._outputs_of(valid), min(THRESHOLDS))
        values = {t: metric(cut_at(raw, t)) for t in THRESHOLDS}
        best = max(THRESHOLDS, key=values.__getitem__)
        return best, values[best]

    @torch.no_grad()
    def mean_loss(self, examples: np.ndarray) -> float:
        """Mean loss over the units of `examples`."""
        self._modules.eval()
        total, n = 0.0, 0
        for part in self.batches.cut(examples):
            targets = [self.targets(i) for i in part]
            total += float(self._loss(part, targets))
            n += sum(units(self.task, t) for t in targets)
        return total / max(1, n)

    def predict(self, examples: np.ndarray) -> Iterator[np.ndarray]:
        """Predictions of `examples` one by one, in their order, in the label's unit.

        Raises:
            FloatingPointError: an output is not finite.
        """
        found = self._outputs_of(examples)
        if self.threshold == 0.5:
            return found
        return (moved(output, self.threshold) for output in found)

    @torch.no_grad()
    def _outputs_of(self, examples: np.ndarray) -> Iterator[np.ndarray]:
        """`predict` without a threshold of its own.

        Raises:
            FloatingPointError: an output is not finite: no class is the likeliest then.
        """
        self._modules.eval()
        for batch in self.batches.windows(examples):
            found = {}
            for part in self.batches.cut(batch):
                for i, output in zip(part, self._outputs(part), strict=True):
                    if not output.isfinite().all():
                        raise FloatingPointError(
                            f"the head's output of example {i} is not finite; lower learning_rate"
                        )
                    value = predicted(self.task, output).float().cpu().numpy()
                    found[i] = self.targets.unscale(value)
            yield from (found[i] for i in batch)

    def sample(self, examples: np.ndarray) -> Sample:
        """Targets and predictions of `examples`."""
        return make_sample(self.task, self.targets, examples, self.predict(examples))
