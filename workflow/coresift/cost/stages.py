"""What every part of an estimate counts with: the pool, a stage, hours and memory of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coresift.config import Config
from coresift.cost.calibration import Device, Work
from coresift.cost.operations import Load, flops, forward_bytes, make_model, training_bytes
from coresift.files import read_json

#: Bytes of a job before it loads a model: Python and its libraries, measured here.
PROCESS_BYTES = 450 << 20
#: Bytes of a row in memory beside its residues: ids, offsets, tables being sorted.
ROW_BYTES = 200


@dataclass(frozen=True)
class Corpus:
    """Size of the pool and the lengths of its sequences.

    Attributes:
        sequences: number of sequences. mean: residues a sequence.
        quantiles: lengths (residues) at even steps from the shortest to the longest.
        origin: where this comes from, for the table.
    """

    sequences: int
    mean: float
    quantiles: tuple[float, ...]
    origin: str

    @classmethod
    def from_summary(cls, path: str | Path) -> Corpus:
        """The pool of a corpus that is built: counts, mean and quartiles of lengths."""
        summary = read_json(path)
        return cls(
            summary["pool"],
            summary["residues"] / summary["pool"],
            tuple(summary["length_quartiles"]),
            str(path),
        )

    @classmethod
    def given(cls, sequences: int, mean: float) -> Corpus:
        """A corpus of which only these are known: every sequence has the mean length."""
        return cls(sequences, mean, (mean, mean), "given; every sequence of the mean length")

    def tokens(self, n: int, most: int) -> np.ndarray:
        """(n,) tokens of a typical sample: lengths linear between quantiles, held to the mean."""
        position = (np.arange(n) + 0.5) / n * (len(self.quantiles) - 1)
        lengths = np.interp(position, np.arange(len(self.quantiles)), self.quantiles)
        lengths *= self.mean / lengths.mean()
        return np.clip(np.rint(lengths).astype(np.int64) + 2, 3, most)


@dataclass(frozen=True)
class Stage:
    """One line of the table.

    Attributes:
        jobs: how many. hours: of one job. device_gb: model, batch and optimiser at their peak.
        host_gb: the job's own process and tables; on a CPU the model's memory comes on top.
        cpu: it runs no model and asks for no device.
    """

    name: str
    jobs: int
    hours: float
    device_gb: float
    host_gb: float
    cpu: bool = False

    @property
    def total(self) -> float:
        """Hours of all jobs."""
        return self.jobs * self.hours


class Costs:
    """What passes of models cost, on one device, in one config on one corpus.

    Raises:
        EstimateError: the device is not calibrated for a pass that is asked for.
    """

    def __init__(self, config: Config, corpus: Corpus, device: Device) -> None:
        self.config = config
        self.corpus = corpus
        self.device = device
        self._shapes: dict[str, Any] = {}

    def hours(self, work: Work, load: Load, products: int = 1, rotations: int = 0) -> float:
        """Hours of a pass; see `flops`."""
        operations = flops(self.shape(work.model), work.path, load, products, rotations)
        return self.device.rate(work).seconds(operations, load.sequences) / 3600

    def shape(self, model: str) -> Any:
        """Hugging Face config of a preset or a checkpoint."""
        if model not in self._shapes:
            with torch.device("meta"):
                self._shapes[model] = make_model(model, self.config.modality)[0].config
        return self._shapes[model]

    def training_gb(self, work: Work, longest: int, budget: int) -> float:
        """Memory of a training, whose longest row has `longest` tokens."""
        size = training_bytes(work.model, self.config.modality, work.precision, longest, budget)
        return size / 1e9

    def forward_gb(self, work: Work, longest: int, budget: int) -> float:
        """Memory of forward passes, whose longest row has `longest` tokens."""
        size = forward_bytes(work.model, self.config.modality, work.precision, longest, budget)
        return size / 1e9

    def host_gb(self, rows: float) -> float:
        """Memory of a job's process with a table of `rows` sequences."""
        return (PROCESS_BYTES + rows * (self.corpus.mean + ROW_BYTES)) / 1e9

    def longest(self, most: int) -> int:
        """Tokens of the longest row of the pool."""
        return min(most, self.config.corpus.max_length + 2)
