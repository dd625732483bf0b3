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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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
)
from coresift.config import Config, Optimisation, Task, load_config
from coresift.costs import Load, Pass, batched_load, flops, make_model, peak_bytes
from coresift.influence.engine import resolve_settings
from coresift.io import read_json, write_json
from coresift.tasks.data import encoded_columns, read_task

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


def _width(config: Config, most: int) -> int:
    """Tokens of the longest row."""
    return min(most, config.corpus.max_length + 2)


def _hours(device: Device, modality: str, work: Work, load: Load) -> float:
    with torch.device("meta"):
        model, _ = make_model(work.model, modality)
    operations = flops(model.config, work.path, load)
    linear, attention = device.rate(work)
    return (operations.linear * linear + operations.attention * attention) / 3600


def _gb(config: Config, work: Work, width: int, budget: int) -> float:
    weights, rest = peak_bytes(
        work.model, config.modality, work.path, work.precision, width, budget
    )
    return (weights + rest) / 1e9


def _host_gb(corpus: Corpus, rows: float) -> float:
    return (PROCESS_BYTES + rows * (corpus.mean + ROW_BYTES)) / 1e9


def score_work(config: Config) -> Work:
    """The scoring pass of a config. A list of patterns counts as `linear`, its upper bound."""
    settings = resolve_settings(config.influence, config.seed)
    model = config.base.checkpoint or config.base.preset
    path: Pass = "head" if settings.parameters == "head" else "linear"
    return Work(model, path, settings.precision, config.influence.threads)


def score_load(config: Config, corpus: Corpus, n: int) -> Load:
    """Padded tokens of scoring `n` sequences: batches are cut within a hash block."""
    settings = resolve_settings(config.influence, config.seed)
    size = max(1, min(n, round(corpus.sequences / config.corpus.blocks)))
    tokens = corpus.tokens(size, settings.max_tokens)
    if settings.pad_to:
        tokens = np.full(size, settings.pad_to)
    batches = batched_load(tokens * settings.n_masks, settings.tokens_per_batch)
    # A row of K masks is K rows of its length, not one K times as long.
    return Load(batches.tokens, batches.squares / settings.n_masks) * (n / size)


def train_load(options: Optimisation, corpus: Corpus, residues: float) -> Load:
    """Padded tokens of training on `residues`: batches are cut within an optimiser step."""
    size = max(1, round(min(residues, options.tokens_per_step) / corpus.mean))
    tokens = corpus.tokens(size, options.max_tokens)
    load = batched_load(tokens, options.tokens_per_batch)
    return load * (residues / float((tokens - 2).sum()))


def estimate(config: Config, corpus: Corpus, device: Device) -> list[Stage]:
    """Hours and memory of every stage that runs a model.

    Raises:
        EstimateError: the device is not calibrated for a pass that the config needs.
    """
    base, finetune = config.base, config.finetune
    influence, pretrain = config.influence, config.pretrain
    score = score_work(config)
    tuned = Work(score.model, "train", "float32", finetune.threads)
    subset_residues = config.subset.size * corpus.mean
    width = _width(config, finetune.max_tokens)
    tuned_gb = _gb(config, tuned, width, finetune.tokens_per_batch)
    subset_gb = _host_gb(corpus, config.subset.size)
    stages = []

    def add(name: str, jobs: int, work: Work, load: Load, device_gb: float, host: float) -> None:
        hours = _hours(device, config.modality, work, load)
        stages.append(Stage(name, jobs, hours, device_gb, host))

    if base.checkpoint is None and base.warmup_epochs:
        load = train_load(finetune, corpus, base.warmup_epochs * subset_residues)
        add("base", 1, tuned, load, tuned_gb, subset_gb)
    if finetune.epochs:
        load = train_load(finetune, corpus, finetune.epochs * subset_residues)
        add("finetune", 1, tuned, load, tuned_gb, subset_gb)
    score_width = _width(config, influence.max_tokens)
    score_gb = _gb(config, score, score_width, influence.tokens_per_batch)
    load = score_load(config, corpus, config.subset.size)
    add("fisher", 1, score, load, score_gb, subset_gb)
    rows = corpus.sequences / influence.shards
    load = score_load(config, corpus, corpus.sequences) * (1 / influence.shards)
    add("score", influence.shards, score, load, score_gb, _host_gb(corpus, rows))
    trained = Work(pretrain.preset, "train", pretrain.precision, pretrain.threads)
    trained_width = _width(config, pretrain.max_tokens)
    trained_gb = _gb(config, trained, trained_width, pretrain.tokens_per_batch)
    cells = len(config.selection.strategies) * len(config.selection.seeds)
    for budget in config.selection.budgets:
        load = train_load(pretrain, corpus, pretrain.epochs * budget * corpus.mean)
        rows = corpus.sequences / config.corpus.buckets + budget
        add(f"pretrain {budget}", cells, trained, load, trained_gb, _host_gb(corpus, rows))
    jobs = cells * len(config.selection.budgets)
    for name, task in config.tasks.items():
        if _here(task):
            tuning = Work(pretrain.preset, "train", "float32", config.evaluate.threads)
            hours, width, rows = _evaluation(config, task, device, tuning)
            memory = _gb(config, tuning, width, task.batch_size * width)
            stages.append(Stage(f"evaluate {name}", jobs, hours, memory, _host_gb(corpus, rows)))
    return stages


def _evaluation(config: Config, task: Task, device: Device, work: Work) -> tuple[float, int, int]:
    """Hours of one evaluation job, tokens of its longest row, and its examples.

    Frozen: one forward of every example. Fine-tuned: every epoch that it may take, in every seed.
    The head is not counted (of kind pairwise it is far from free).
    """
    examples = read_task(task, config.modality).frame
    columns = encoded_columns(task, config.modality)
    lengths = sum(examples[c].str.len_bytes().to_numpy().astype(np.int64) for c in columns)
    tokens = np.minimum(lengths + 2, task.max_tokens)

    def load(split: str | None = None) -> Load:
        chosen = tokens if split is None else tokens[(examples["split"] == split).to_numpy()]
        return batched_load(chosen, config.evaluate.tokens_per_batch)

    forward = Work(work.model, "forward", work.precision, work.threads)
    if task.mode == "frozen":
        hours = _hours(device, config.modality, forward, load())
    else:
        train = _hours(device, config.modality, work, load("train"))
        valid = _hours(device, config.modality, forward, load("valid"))
        test = _hours(device, config.modality, forward, load("test"))
        hours = len(config.evaluate.seeds) * (task.epochs * (train + valid) + test)
    return hours, int(tokens.max()), len(tokens)


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
    stages = estimate(config, corpus, device)
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
    absent = [name for name, task in config.tasks.items() if not _here(task)]
    lines += [
        f"{'total':<22}{sum(s.jobs for s in stages):>6}{'':>12}{total:>12.4g}",
        "",
        "Hours are of one device. Not estimated: corpus, selection and report (CPU)"
        + (f"; evaluation of {', '.join(absent)} (files not here)." if absent else "."),
    ]
    return "\n".join(lines)


def _here(task: Task) -> bool:
    return all(Path(file).exists() for file in task.data.files())


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
    add("--calibrate", metavar="FILE", help="measure this machine for this config, write FILE")
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
