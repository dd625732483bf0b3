"""A task as one model sees it, and one run of it: an encoder and a head trained, test predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from coresift.hashing import content_hash
from coresift.models.checkpoint import machine, model_hash
from coresift.models.cropping import count_cropped
from coresift.models.resume import Resumable
from coresift.settings import plain
from coresift.tasks.data import Examples, encoded_columns, read_task
from coresift.tasks.heads import make_head
from coresift.tasks.kmers import kmer_frequencies
from coresift.tasks.probe import Batches, Features, Probe
from coresift.tasks.result import Run
from coresift.tasks.settings import Task
from coresift.tasks.splits import SPLITS
from coresift.tasks.targets import ScaledTargets, Targets, check_known, make_targets

#: Most padding in a forward pass that pads, as a share of its tokens (or pairs of them).
MAX_PADDING = 0.2
#: Of maps on a CPU, which one map fills: padding would buy nothing but longer passes.
MAX_CPU_MAP_PADDING = 0.05


def max_padding(task: Task, tuned: bool, on_cpu: bool) -> float:
    """Most padding in a forward pass of a task, as a share of its padded cost.

    Args:
        tuned: the encoder is run in the same pass; else its rows are stored.
    """
    if task.kind == "pairwise":
        return MAX_CPU_MAP_PADDING if on_cpu else MAX_PADDING
    # A head on stored rows pads nothing: smaller passes would win nothing.
    return MAX_PADDING if tuned else 1.0


@dataclass(frozen=True)
class Work:
    """Where an evaluation keeps what a killed job goes on from: one file a seed.

    Attributes:
        folder: of the files.
        steps: optimiser steps from one state to the next.
        run: what decides the result beside what `Problem.run` sees, JSON-ready.
    """

    folder: Path
    steps: int
    run: Mapping[str, Any]

    def resumable(self, seed: int, run: Mapping[str, Any]) -> Resumable:
        """The state of a seed's training."""
        return Resumable(self._path(seed), self.steps, {**self.run, **run, "seed": seed})

    def finish(self, seeds: Iterable[int]) -> None:
        """Remove the states of seeds whose results are written."""
        for seed in seeds:
            self._path(seed).unlink(missing_ok=True)

    def _path(self, seed: int) -> Path:
        return self.folder / f"{seed}.safetensors"


@dataclass(frozen=True)
class Problem:
    """A task's examples and targets, cropped to a model's input.

    Attributes:
        splits: numbers of the examples of train, valid and test.
        encoded: columns of sequences that the model reads.
        fixed: (n, features) standardised rows of partners that it cannot read.
        costs: (n,) tokens of an example, or their square for kind pairwise.
        budget: most padded cost of one forward pass.
        precision: of forward passes, float32 or bf16 (autocast).
        cropped: counts of what is not read (`count_cropped`).
        unread: (columns, n) residues of each sequence that are not read.
    """

    task: Task
    examples: Examples
    targets: Targets
    scaled: ScaledTargets
    splits: dict[str, np.ndarray]
    encoded: list[list[str]]
    fixed: list[np.ndarray]
    costs: np.ndarray
    budget: int
    precision: str
    cropped: dict[str, Any]
    unread: np.ndarray

    def run(
        self,
        seed: int,
        device: torch.device,
        columns: Sequence[Features],
        tuned: nn.Module | None = None,
        work: Work | None = None,
    ) -> Run:
        """Train a head, and `tuned` with it, and predict the test split.

        Args:
            seed: of the order of examples; the head's weights are torch's next random numbers.
            columns: features of each encoded column.
            work: where the training can be resumed from; None = it cannot.
        """
        rows = (_fixed_features(rows, device) for rows in self.fixed)
        features = _side_by_side([*columns, *rows])
        train = self.splits["train"]
        width = features(train[:1])[0].shape[1]
        head = make_head(self.task, width, self.targets.n_outputs, len(columns)).to(device)
        padding = max_padding(self.task, tuned is not None, device.type == "cpu")
        batches = Batches(self.costs, self.budget, padding)
        probe = Probe(self.task, head, tuned, features, self.scaled, batches, self.precision)
        resumable = None
        if work is not None:
            trained = nn.ModuleList([head] if tuned is None else [head, tuned])
            run = {
                **machine(device, __file__),
                "weights": model_hash(trained),
                "examples": self.digest,
            }
            resumable = work.resumable(seed, run)
        fitted = probe.fit(train, self.splits["valid"], seed, resumable)
        training = {key: value for key, value in asdict(fitted).items() if value is not None}
        return Run(probe.sample(self.splits["test"]), training)

    def run_live(
        self, seed: int, device: torch.device, encoder: nn.Module, work: Work | None = None
    ) -> Run:
        """`run` with an encoder of sequences that is trained: lists of texts -> lists of rows."""
        columns = [_live_features(encoder, column) for column in self.encoded]
        return self.run(seed, device, columns, encoder, work)

    @cached_property
    def digest(self) -> str:
        """Hash of the task, its examples and how they are batched; not of maps in files."""
        rows = self.examples.frame.write_csv()
        passes = (self.costs.tolist(), self.budget, self.precision)
        return content_hash([plain(self.task), rows, *passes])


def read_problem(
    task: Task, modality: str, room: int, tokens_per_batch: int, precision: str = "float32"
) -> Problem:
    """Read a task for a model of a modality that reads `room` residues.

    Raises:
        TaskDataError: the data cannot be read or learnt from (`read_task`, `check_known`).
    """
    examples = read_task(task, modality)
    targets = make_targets(task, examples.frame, modality)
    splits = {split: examples.indices(split) for split in SPLITS}
    lengths = examples.frame["sequence"].str.len_chars().to_numpy()
    scaled = ScaledTargets(task, targets, lengths, room, splits["train"])
    check_known(task, targets, scaled, splits)
    encoded, fixed = _columns(task, examples, modality, splits["train"])
    read = np.array([[len(s) for s in column] for column in encoded])
    tokens = read.max(0).clip(max=room) + 2
    pairwise = task.kind == "pairwise"
    costs = tokens**2 if pairwise else tokens
    budget = task.pairwise.pairs_per_batch if pairwise else tokens_per_batch
    cropped = count_cropped(read.ravel(), room)
    unread = (read - room).clip(min=0)
    return Problem(
        task,
        examples,
        targets,
        scaled,
        splits,
        encoded,
        fixed,
        costs,
        budget,
        precision,
        cropped,
        unread,
    )


def _columns(
    task: Task, examples: Examples, modality: str, train: np.ndarray
) -> tuple[list[list[str]], list[np.ndarray]]:
    """Sequences that the encoder reads, and (n, features) standardised rows of other partners."""
    encoded = [examples.frame[c].to_list() for c in encoded_columns(task, modality)]
    if len(encoded) == 2 or not task.two_sequences:
        return encoded, []
    rows = kmer_frequencies(examples.frame["partner"].to_list(), task.data.modality_b or modality)
    mean, std = rows[train].mean(0), rows[train].std(0)
    return encoded, [(rows - mean) / np.where(std > 0, std, 1)]


def _live_features(encoder: nn.Module, sequences: list[str]) -> Features:
    return lambda batch: encoder([sequences[i] for i in batch])


def _fixed_features(rows: np.ndarray, device: torch.device) -> Features:
    return lambda batch: list(torch.from_numpy(rows[batch]).unsqueeze(1).to(device))


def _side_by_side(columns: list[Features]) -> Features:
    """Features of several columns next to each other (PEER's order: not symmetric)."""

    def features(batch: np.ndarray) -> list[torch.Tensor]:
        parts = [column(batch) for column in columns]
        return [torch.cat(rows, dim=1) for rows in zip(*parts, strict=True)]

    return features
