"""What testing the models costs: held-out losses, and every task's rows.

Batches are cut by the functions that evaluations use. Training is taken to run all epochs that it
may: early stopping makes it cheaper, so the figures are the most that a task can take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np

from coresift.cost.calibration import Work
from coresift.cost.heads import Reading, blocks_again, head_forward, head_step, network_forward
from coresift.cost.operations import Flops, Load, Pass, batched_load, head_bytes
from coresift.cost.sizes import Examples, examples, here
from coresift.cost.stages import Costs, Stage
from coresift.hashing import seeded_generator
from coresift.tasks.cnn import CHANNELS
from coresift.tasks.probe import Batches
from coresift.tasks.problem import max_padding
from coresift.tasks.settings import Task
from coresift.tasks.splits import SPLITS

#: Optimiser steps of an epoch that are cut into batches; the epoch is taken for as many as it has.
STEPS = 256
#: CPU seconds of the k-mer row, a residue of a sequence that is read whole, a residue (token) or a
#: pair of residues (pairwise), and of a job without them: on the files of config/shared_rna.yaml
#: and shared_protein.yaml 1.6e-6 to 4.6e-6, 7.3e-6, 0.8e-7 to 1e-7 (one thread of this machine).
KMER_SECONDS = {"sequence": 5e-6, "token": 1e-5, "pairwise": 1e-7}
JOB_SECONDS = 10.0


class TaskReading:
    """A task's examples, cut into forward passes as its evaluation cuts them.

    Args:
        found: lengths of the examples.
        tokens_per_batch: padded tokens of one forward pass (`evaluate.tokens_per_batch`).
        max_padding: most padding in one forward pass, see `problem.max_padding`.
    """

    def __init__(
        self, task: Task, found: Examples, tokens_per_batch: int, max_padding: float
    ) -> None:
        self.task = task
        self.tokens = {split: found.tokens(split, task.max_tokens) for split in SPLITS}
        self._pairwise = task.kind == "pairwise"
        self._budget = task.pairwise.pairs_per_batch if self._pairwise else tokens_per_batch
        self._padding = max_padding

    def epoch(self) -> Reading:
        """One pass over train in random order, batch by batch."""
        size, n = self.task.batch_size, self.tokens["train"].shape[1]
        order = seeded_generator(0, "estimate").permutation(n)
        steps = [order[i : i + size] for i in range(0, n, size)][:STEPS]
        batches = self._batches("train")
        parts = [part for step in steps for part in batches.cut(step)]
        return self._read("train", parts) * (n / sum(map(len, steps)))

    def predicted(self, split: str) -> Reading:
        """One pass over a split as it is predicted: in the order of the files, run by run."""
        batches = self._batches(split)
        runs = batches.windows(np.arange(len(batches.costs)))
        return self._read(split, [part for run in runs for part in batches.cut(run)])

    def validated(self) -> Reading:
        """One evaluation on valid: predictions, or a loss, whose batches are cut from all of it."""
        if self.task.stop_on == "metric":
            return self.predicted("valid")
        batches = self._batches("valid")
        return self._read("valid", batches.cut(np.arange(len(batches.costs))))

    @property
    def evaluations(self) -> int:
        """Evaluations on valid, at most."""
        per_epoch = -(-self.tokens["train"].shape[1] // self.task.batch_size)
        steps = self.task.epochs * per_epoch
        return -(-steps // (self.task.evaluate_steps or per_epoch))

    def once(self, tokens_per_batch: int) -> Load:
        """Every sequence once, as states are stored."""
        parts = np.concatenate([self.tokens[split].ravel() for split in SPLITS])
        return replace(batched_load(parts, tokens_per_batch), counted=0.0)

    def _batches(self, split: str) -> Batches:
        costs = self.tokens[split].max(0)
        costs = costs**2 if self._pairwise else costs
        return Batches(costs, self._budget, self._padding)

    def _read(self, split: str, parts: Iterable[np.ndarray]) -> Reading:
        tokens = self.tokens[split]
        found = np.zeros(5)
        for part in parts:
            widths, n, again = tokens[:, part].max(1).astype(float), len(part), 0.0
            if self._pairwise:
                seen = n * widths[0] ** 2
                again = seen * blocks_again(self.task, seen)
            else:
                seen = (tokens[0, part] - 2).sum() if self.task.kind == "token" else n
            found += (n * len(widths), n * widths.sum(), n * (widths**2).sum(), seen, again)
        sequences, read, squares, units, twice = map(float, found)
        return Reading(Load(sequences, read, squares, counted=0.0), units, twice)


class Evaluation(Costs):
    """The stages that test models."""

    def stages(self) -> list[Stage]:
        """Every stage, in the order of the config's tasks."""
        tasks = self.estimated.items()
        return [*self.held_out(), *(s for name, e in tasks for s in self.of_task(name, e))]

    @cached_property
    def estimated(self) -> dict[str, Examples]:
        """Examples of the tasks that are run and of which sizes are known."""
        config = self.config
        run = {n: t for n, t in config.tasks.items() if not t.optional or here(t)}
        found = {name: examples(task, config.modality) for name, task in run.items()}
        return {name: known for name, known in found.items() if known is not None}

    def held_out(self) -> list[Stage]:
        """One forward of every mask of every held-out sequence, a job a model.

        Files count as `heldout.size` sequences, and as long as the pool's. bf16 counts as float32.
        """
        config, options = self.config, self.config.heldout
        n = min(options.size, round(options.share * self.corpus.sequences))
        n += options.size * len(options.files)
        if not n:
            return []
        tokens = np.repeat(self.corpus.tokens(n, options.max_tokens), options.n_masks)
        work = Work(config.pretrain.preset, "forward", "float32", config.evaluate.threads)
        hours = self.hours(work, batched_load(tokens, options.tokens_per_batch))
        longest = self.longest(options.max_tokens)
        memory = self.forward_gb(work, longest, options.tokens_per_batch)
        return [Stage("heldout", len(self.models()), hours, memory, self.host_gb(n))]

    def models(self) -> list[str]:
        """Models that are tested, by their row's name: trained, untrained and given.

        All count as `pretrain.preset`, checkpoints that are given too.
        """
        selection, options = self.config.selection, self.config.evaluate
        drawn = selection.names * len(selection.budgets) + ["untrained"] * options.untrained
        return drawn * len(selection.seeds) + [*options.checkpoints]

    def of_task(self, name: str, found: Examples) -> list[Stage]:
        """The rows of one task: models, the network, the baselines.

        A job has some of a row's seeds. Heads and network take the seconds an operation of the
        encoder's linear layers in training.
        """
        task, options = self.config.tasks[name], self.config.evaluate
        jobs = len(options.seed_jobs())
        rows = sum(task.evaluates(row) for row in self.models())
        sequences = sum(n.size for n in found.lengths.values())
        host = self.host_gb(sequences)
        stages = []
        if rows:
            hours = self.row_hours(task, found) / jobs
            stages.append(
                Stage(f"evaluate {name}", rows * jobs, hours, self.row_gb(task, found), host)
            )
        if name in self.config.cnn_tasks():
            hours = self.network_hours(task, found) / jobs
            memory = self.head_gb(task, found, CHANNELS)
            stages.append(Stage(f"cnn {name}", jobs, hours, memory, host))
        return [*stages, Stage(f"baselines {name}", 2, kmer_hours(task, found), 0, host, cpu=True)]

    def row_hours(self, task: Task, found: Examples) -> float:
        """Hours of one model on one task, all seeds."""
        options = self.config.evaluate
        tuned = task.mode == "finetune"
        reading = self._reading(task, found, tuned)
        train, other = self._read(reading, task)
        head = self._head_hours(
            head_step(task, self.width, train) + head_forward(task, self.width, other)
        )
        if not tuned:  # a row's seeds share the stored states
            once = self.hours(self._work("forward"), reading.once(options.tokens_per_batch))
            return once + len(options.seeds) * head
        encoder = self.hours(self._work("train"), train.encoder)
        encoder += self.hours(self._work("forward"), other.encoder)
        return len(options.seeds) * (encoder + head)

    def network_hours(self, task: Task, found: Examples) -> float:
        """Hours of the small network on one task, all seeds."""
        options, modality = self.config.evaluate, self.config.modality
        train, other = self._read(self._reading(task, found, True), task)
        head = head_step(task, CHANNELS, train) + head_forward(task, CHANNELS, other)
        below = 3 * network_forward(task, modality, train) + network_forward(task, modality, other)
        return len(options.seeds) * self._head_hours(head + below)

    def row_gb(self, task: Task, found: Examples) -> float:
        """Memory of a job of a model: the encoder's batch, and the head's."""
        options = self.config.evaluate
        longest = _longest(task, found)
        if task.mode == "frozen":
            most = max(longest, options.tokens_per_batch)
            memory = self.forward_gb(self._work("forward"), longest, most)
        else:
            batch = max(longest, min(options.tokens_per_batch, task.batch_size * longest))
            memory = self.training_gb(self._work("train"), longest, batch)
        return memory + self.head_gb(task, found, self.width)

    def head_gb(self, task: Task, found: Examples, features: int) -> float:
        """Memory of a head in training; small but for pairs of residues."""
        if task.kind != "pairwise":
            return 0.0
        return head_bytes(task, features, _longest(task, found)) / 1e9

    def _reading(self, task: Task, found: Examples, tuned: bool) -> TaskReading:
        """Examples cut as on this device; rows of a frozen encoder are stored and not padded."""
        padding = max_padding(task, tuned, self.device.on_host)
        return TaskReading(task, found, self.config.evaluate.tokens_per_batch, padding)

    def _read(self, reading: TaskReading, task: Task) -> tuple[Reading, Reading]:
        """What a seed reads: in training steps, and in evaluations on valid and the one of test."""
        other = reading.validated() * reading.evaluations + reading.predicted("test")
        return reading.epoch() * task.epochs, other

    def _head_hours(self, operations: float) -> float:
        """Hours of so many operations of heads and networks."""
        return self.device.rate(self._work("train")).seconds(Flops(operations, 0), 0) / 3600

    def _work(self, path: Pass) -> Work:
        """A pass of an evaluation."""
        options = self.config.evaluate
        return Work(self.config.pretrain.preset, path, options.precision, options.threads)

    @property
    def width(self) -> int:
        """Width of the states of the models that are trained here."""
        return int(self.shape(self.config.pretrain.preset).hidden_size)


def _longest(task: Task, found: Examples) -> int:
    """Tokens of the longest input."""
    return max(int(found.tokens(s, task.max_tokens).max(initial=3)) for s in SPLITS)


def kmer_hours(task: Task, found: Examples) -> float:
    """CPU hours of the k-mer row, the dearer of the two baselines."""
    kind = task.kind if task.kind in KMER_SECONDS else "sequence"
    lengths = np.concatenate([n.ravel() for n in found.lengths.values()])
    if kind != "sequence":
        lengths = np.minimum(lengths, task.max_tokens - 2)
    units = float((lengths**2).sum() if kind == "pairwise" else lengths.sum())
    return (JOB_SECONDS + KMER_SECONDS[kind] * units) / 3600
