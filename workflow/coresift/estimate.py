"""What a run will cost, before a cluster is committed to it: hours and memory of every stage.

    coresift-estimate --configfile config/rna.yaml --sequences 30e6 --mean-length 500 --gpu a100
    coresift-estimate --configfile config/rna.yaml --calibrate here.json
    coresift-estimate --configfile config/rna.yaml --calibration here.json

Hours are operations (costs.py) times seconds an operation (calibration.py): measured, or for a GPU
that nobody has calibrated a published peak times a stated utilisation. The table says which.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
import yaml

from coresift.calibration import (
    GPUS,
    Device,
    EstimateError,
    Work,
    assumed,
    calibrate,
    load_calibration,
    measured,
    merged,
)
from coresift.config import Config, Optimisation, Task, load_config
from coresift.costs import (
    Load,
    Pass,
    batched_load,
    flops,
    make_model,
    scoring_bytes,
    training_bytes,
)
from coresift.influence.engine import MAX_PADDING, resolve_settings
from coresift.io import read_json, write_json
from coresift.tasks.data import SPLITS, read_task

#: Measured on the machine that coresift was written on; its device stands in every table.
CALIBRATION = Path(__file__).resolve().parents[2] / "resources" / "calibration.json"
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
    """

    name: str
    jobs: int
    hours: float
    device_gb: float
    host_gb: float


class Estimator:
    """The stages of one config on one corpus and device.

    Raises:
        EstimateError: the device is not calibrated for a pass that the config needs.
    """

    def __init__(self, config: Config, corpus: Corpus, device: Device) -> None:
        self.config = config
        self.corpus = corpus
        self.device = device

    def stages(self) -> list[Stage]:
        """Every stage that runs a model, in the order of the DAG."""
        return [*self.finetuning(), *self.scoring(), *self.pretraining(), *self.evaluation()]

    def hours(self, work: Work, load: Load) -> float:
        """Hours of a pass."""
        with torch.device("meta"):
            model, _ = make_model(work.model, self.config.modality)
        operations = flops(model.config, work.path, load)
        linear, attention = self.device.rate(work)
        return (operations.linear * linear + operations.attention * attention) / 3600

    def training_gb(self, work: Work, longest: int, budget: int) -> float:
        """Memory of a training, whose longest row has `longest` tokens."""
        size = training_bytes(work.model, self.config.modality, work.precision, longest, budget)
        return size / 1e9

    def host_gb(self, rows: float) -> float:
        """Memory of a job's process with a table of `rows` sequences."""
        return (PROCESS_BYTES + rows * (self.corpus.mean + ROW_BYTES)) / 1e9

    def longest(self, most: int) -> int:
        """Tokens of the longest row of the pool."""
        return min(most, self.config.corpus.max_length + 2)

    def finetuning(self) -> list[Stage]:
        """The base made from scratch, if it is, and fine-tuning, both on D_sub."""
        base, options = self.config.base, self.config.finetune
        work = Work(base.checkpoint or base.preset, "train", "float32", options.threads)
        memory = self.training_gb(work, self.longest(options.max_tokens), options.tokens_per_batch)
        host = self.host_gb(self.config.subset.size)
        epochs = {"finetune": options.epochs}
        if base.checkpoint is None:
            epochs = {"base": base.warmup_epochs, **epochs}
        residues = self.config.subset.size * self.corpus.mean
        return [
            Stage(
                name, 1, self.hours(work, train_load(options, self.corpus, n * residues)),
                memory, host,
            )
            for name, n in epochs.items()
            if n
        ]  # fmt: skip

    def scoring(self) -> list[Stage]:
        """The Fisher over D_sub and the scoring jobs."""
        config, influence = self.config, self.config.influence
        work = score_work(config)
        longest = self.longest(influence.max_tokens)
        memory = scoring_bytes(work.model, config.modality, influence, longest) / 1e9
        rows = {"fisher": (1, config.subset.size)}
        rows["score"] = (influence.shards, round(self.corpus.sequences / influence.shards))
        return [
            Stage(
                name, jobs, self.hours(work, score_load(config, self.corpus, n)),
                memory, self.host_gb(n),
            )
            for name, (jobs, n) in rows.items()
        ]  # fmt: skip

    def pretraining(self) -> list[Stage]:
        """One line a budget: every strategy and seed is a job."""
        config, options = self.config, self.config.pretrain
        work = Work(options.preset, "train", options.precision, options.threads)
        memory = self.training_gb(work, self.longest(options.max_tokens), options.tokens_per_batch)
        bucket = self.corpus.sequences / config.corpus.buckets
        jobs = len(config.selection.names) * len(config.selection.seeds)
        stages = []
        for budget in config.selection.budgets:
            load = train_load(options, self.corpus, options.epochs * budget * self.corpus.mean)
            host = self.host_gb(bucket + budget)
            stages.append(Stage(f"pretrain {budget}", jobs, self.hours(work, load), memory, host))
        return stages

    def evaluation(self) -> list[Stage]:
        """One line a task whose files are here; a rough one.

        Frozen: one forward of every example. Fine-tuned: every epoch that it may take, in every
        seed.
        """
        config, selection = self.config, self.config.selection
        jobs = len(selection.names) * len(selection.seeds) * len(selection.budgets)
        work = Work(config.pretrain.preset, "train", "float32", config.evaluate.threads)
        forward = replace(work, path="forward")
        stages = []
        for name, task in config.tasks.items():
            if not files_here(task):
                continue
            tokens = task_tokens(task, config.modality)
            loads = {
                split: batched_load(n, config.evaluate.tokens_per_batch)
                for split, n in tokens.items()
            }
            if task.mode == "frozen":
                hours = sum(self.hours(forward, load) for load in loads.values())
            else:
                epoch = self.hours(work, loads["train"]) + self.hours(forward, loads["valid"])
                hours = task.epochs * epoch + self.hours(forward, loads["test"])
                hours *= len(config.evaluate.seeds)
            longest = max(int(n.max(initial=3)) for n in tokens.values())
            memory = self.training_gb(work, longest, task.batch_size * longest)
            host = self.host_gb(sum(map(len, tokens.values())))
            stages.append(Stage(f"evaluate {name}", jobs, hours, memory, host))
        return stages


def score_work(config: Config) -> Work:
    """The scoring pass of a config. A list of patterns counts as `linear`, its upper bound."""
    settings = resolve_settings(config.influence, config.seed)
    model = config.base.checkpoint or config.base.preset
    path: Pass = "head" if settings.parameters == "head" else "linear"
    return Work(model, path, settings.precision, config.influence.threads)


def score_load(config: Config, corpus: Corpus, n: int) -> Load:
    """What scoring `n` sequences reads: batches are cut within a hash block."""
    settings = resolve_settings(config.influence, config.seed)
    size = max(1, min(n, round(corpus.sequences / config.corpus.blocks)))
    tokens = corpus.tokens(size, settings.max_tokens)
    if settings.pad_to:
        tokens = np.full(size, settings.pad_to)
    load = batched_load(tokens * settings.n_masks, settings.tokens_per_batch, MAX_PADDING)
    # K mask patterns are K rows of a sequence's length, not one K times as long.
    counted = settings.mask_fraction if settings.loss == "masked" else 1.0
    return Load(load.tokens, load.squares / settings.n_masks, counted) * (n / size)


def train_load(options: Optimisation, corpus: Corpus, residues: float) -> Load:
    """What training on `residues` reads: batches are cut within an optimiser step."""
    size = max(1, round(min(residues, options.tokens_per_step) / corpus.mean))
    tokens = corpus.tokens(size, options.max_tokens)
    load = batched_load(tokens, options.tokens_per_batch)
    return load * (residues / float((tokens - 2).sum()))


def files_here(task: Task) -> bool:
    """Whether every file of a task exists."""
    return all(Path(file).exists() for file in task.data.files())


def task_tokens(task: Task, modality: str) -> dict[str, np.ndarray]:
    """Tokens of every example of a task, by split; a pair counts as one row."""
    examples = read_task(task, modality).frame
    columns = ["sequence", "partner"] if task.two_sequences else ["sequence"]
    lengths = examples.select(pl.sum_horizontal(pl.col(columns).str.len_bytes())).to_series()
    tokens = np.minimum(lengths.to_numpy().astype(np.int64) + 2, task.max_tokens)
    return {split: tokens[(examples["split"] == split).to_numpy()] for split in SPLITS}


def needed_work(config: Config) -> list[Work]:
    """The distinct passes of a config: what `--calibrate` measures."""
    score = score_work(config)
    pretrain, evaluate = config.pretrain, config.evaluate
    works = [
        score,
        Work(score.model, "train", "float32", config.finetune.threads),
        Work(pretrain.preset, "train", pretrain.precision, pretrain.threads),
    ]
    if config.tasks:
        works.append(Work(pretrain.preset, "head", "float32", evaluate.threads))
    if any(task.mode == "finetune" for task in config.tasks.values()):
        works.append(Work(pretrain.preset, "train", "float32", evaluate.threads))
    return list(dict.fromkeys(works))


def report(config: Config, corpus: Corpus, device: Device) -> str:
    """The estimate as text; a stage that does not fit the device is marked."""
    stages = Estimator(config, corpus, device).stages()
    lines = [
        f"run {config.run}: {corpus.sequences:,} sequences, mean length {corpus.mean:.0f} "
        f"({corpus.origin})",
        f"device: {device.name}",
        "",
        f"{'stage':<22}{'jobs':>6}{'h/job':>12}{'total h':>12}{'device GB':>11}{'host GB':>9}",
    ]
    for s in stages:
        host = s.host_gb + (s.device_gb if device.on_host else 0)
        lines.append(
            f"{s.name:<22}{s.jobs:>6}{s.hours:>12.4g}{s.jobs * s.hours:>12.4g}"
            f"{s.device_gb:>11.2f}{host:>9.2f}"
        )
        if device.memory_gb is not None and s.device_gb > device.memory_gb:
            lines[-1] += f"  over {device.memory_gb:g} GB: lower its tokens_per_batch"
    total = math.fsum(s.jobs * s.hours for s in stages)
    absent = [name for name, task in config.tasks.items() if not files_here(task)]
    lines += [
        f"{'total':<22}{sum(s.jobs for s in stages):>6}{'':>12}{total:>12.4g}",
        "",
        "Hours are of one device. Not estimated: corpus, selection and report (CPU)"
        + (f"; evaluation of {', '.join(absent)} (files not here)." if absent else "."),
    ]
    return "\n".join(lines)


def _corpus(options: argparse.Namespace, config: Config) -> Corpus:
    if options.sequences is not None and options.mean_length is not None:
        return Corpus.given(round(options.sequences), options.mean_length)
    summary = Path("results") / config.run / "corpus" / "summary.json"
    if options.sequences is not None or options.mean_length is not None or not summary.is_file():
        raise EstimateError(
            f"give both --sequences and --mean-length, or build the corpus first ({summary})"
        )
    return Corpus.from_summary(summary)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("coresift-estimate", description="What a run will cost.")
    add = parser.add_argument
    add("--configfile", required=True, help="YAML file, as given to snakemake")
    add("--sequences", type=float, help="sequences in the pool; default: of the built corpus")
    add("--mean-length", type=float, help="residues a sequence")
    add("--calibration", default=CALIBRATION, help="JSON that --calibrate wrote")
    add("--gpu", choices=sorted(GPUS), help="assume this GPU's published peak instead")
    add("--utilisation", type=float, default=0.3, help="share of the peak that --gpu reaches")
    add("--calibrate", metavar="FILE", help="measure this machine for this config; add to FILE")
    add("--tokens", type=int, default=4096, help="of one measurement; on a GPU: tokens_per_batch")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        config = load_config(yaml.safe_load(Path(options.configfile).read_text(encoding="utf-8")))
        if options.calibrate:
            calibration = calibrate(config, needed_work(config), options.tokens)
            if Path(options.calibrate).is_file():
                calibration = merged(load_calibration(options.calibrate), calibration)
            write_json(options.calibrate, calibration.model_dump())
            return 0
        corpus = _corpus(options, config)
        if options.gpu:
            device = assumed(options.gpu, options.utilisation)
        else:
            device = measured(load_calibration(options.calibration))
        print(report(config, corpus, device))
    except (ValueError, OSError) as error:
        print(f"coresift-estimate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
