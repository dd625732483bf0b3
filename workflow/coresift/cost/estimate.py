"""What a run will cost, before a cluster is committed to it: hours and memory of every stage.

    coresift-estimate --configfile config/rna.yaml --sequences 30e6 --mean-length 500 --gpu a100
    coresift-estimate --configfile config/rna.yaml --calibrate here.json
    coresift-estimate --configfile config/rna.yaml --calibration here.json

Hours are operations (operations.py) times seconds an operation (calibration.py): measured, or for
a GPU that nobody has calibrated a published peak times a stated utilisation. The table says which.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from coresift.config import Config, load_config
from coresift.cost.calibration import (
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
from coresift.cost.evaluation import Evaluation
from coresift.cost.operations import Load, Pass, batched_load, scoring_bytes
from coresift.cost.stages import Corpus, Costs, Stage
from coresift.files import read_yaml, write_json
from coresift.influence.engine import MAX_PADDING, resolve_settings
from coresift.training.settings import Optimisation

#: Sums over D_sub: products dY^T X, and rotations or factors, of a pass (see `flops`).
SUMS = {"diagonal": (1, 0), "kronecker": (0, 1), "corrected": (1, 1)}
#: Measured on the machine that coresift was written on; its device stands in every table.
CALIBRATION = Path(__file__).resolve().parents[3] / "resources" / "calibration.json"


class Estimator(Costs):
    """The stages of one config on one corpus and device.

    Raises:
        EstimateError: the device is not calibrated for a pass that the config needs.
    """

    def stages(self) -> list[Stage]:
        """Every stage that runs a model, in the order of the DAG."""
        trained = [*self.finetuning(), *self.scoring(), *self.embedding(), *self.pretraining()]
        return [*trained, *self.evaluation.stages()]

    @cached_property
    def evaluation(self) -> Evaluation:
        """The stages that test models."""
        return Evaluation(self.config, self.corpus, self.device)

    def finetuning(self) -> list[Stage]:
        """The base made from scratch, if it is, and fine-tuning on D_sub."""
        base, options, size = self.config.base, self.config.finetune, self.config.subset.size
        trainings = [("finetune", size, options.epochs, options.precision)]
        if base.checkpoint is None:
            made = ("base", base.size or size, base.warmup_epochs, base.precision)
            trainings = [made, *trainings]
        longest = self.longest(options.max_tokens)
        stages = []
        for name, n, epochs, precision in trainings:
            work = Work(base.checkpoint or base.preset, "train", precision, options.threads)
            hours = self.hours(
                work, train_load(options, self.corpus, epochs * n * self.corpus.mean)
            )
            memory = self.training_gb(work, longest, options.tokens_per_batch)
            if epochs:
                stages.append(Stage(name, 1, hours, memory, self.host_gb(n)))
        return stages

    def scoring(self) -> list[Stage]:
        """Sums over D_sub, a pass a kind; a pass over each target, and over D_sub to check it all;
        and the scoring jobs, a pass a loss. Targets are taken for as large as they may be.
        """
        config, influence = self.config, self.config.influence
        scores = influence.scores().values()
        longest = self.longest(influence.max_tokens)
        model = config.base.checkpoint or config.base.preset
        memory = max(scoring_bytes(model, config.modality, s, longest) for s in scores) / 1e9
        parts, n = influence.fisher_shards, config.subset.size
        stages = []
        for loss, kinds in influence.fishers().items():
            load = score_load(config, self.corpus, n, loss)
            for kind, sets in kinds.items():
                hours = self.hours(score_work(config, sets), load, *SUMS[kind])
                host = self.host_gb(n)
                stages.append(Stage(f"fisher {loss} {kind}", parts, hours / parts, memory, host))
        passes = {f"target {name}": target.size for name, target in influence.targets.items()}
        if influence.curvature == "diag_fisher":
            passes["identity"] = n
        for name, size in passes.items():
            load = score_load(config, self.corpus, size, influence.loss)
            hours = self.hours(score_work(config, [influence.parameters]), load)
            stages.append(Stage(name, 1, hours, memory, self.host_gb(size)))
        n = round(self.corpus.sequences / influence.shards)
        hours = 0.0
        for loss in {score.loss for score in scores}:
            group = [score for score in scores if score.loss == loss]
            rotated = {score.curvature in ("kfac", "ekfac") for score in group}
            work = score_work(config, [score.parameters for score in group])
            load = score_load(config, self.corpus, n, loss)
            hours += self.hours(work, load, len(rotated), int(True in rotated))
        return [*stages, Stage("score", influence.shards, hours, memory, self.host_gb(n))]

    def embedding(self) -> list[Stage]:
        """The pool's embeddings, a forward pass a shard, where a selection reads them.

        Memory is that of scoring, an upper bound: the same batches with gradients.
        """
        config, influence = self.config, self.config.influence
        if not config.selection.reads_states:
            return []
        model = config.base.checkpoint or config.base.preset
        n = round(self.corpus.sequences / influence.shards)
        size = max(1, min(n, round(self.corpus.sequences / config.corpus.blocks)))
        most = influence.max_tokens
        tokens = self.corpus.tokens(size, most)
        load = batched_load(tokens, influence.tokens_per_batch) * (n / size)
        hours = self.hours(Work(model, "forward", "float32", influence.threads), load)
        memory = scoring_bytes(model, config.modality, influence, self.longest(most)) / 1e9
        return [Stage("embeddings", influence.shards, hours, memory, self.host_gb(n))]

    def pretraining(self) -> list[Stage]:
        """One line a budget: every strategy and seed is a job."""
        config, options = self.config, self.config.pretrain
        work = Work(options.preset, "train", options.precision, options.threads)
        memory = self.training_gb(work, self.longest(options.max_tokens), options.tokens_per_batch)
        bucket = self.corpus.sequences / config.corpus.buckets
        jobs = len(config.selection.names) * len(config.selection.seeds)
        stages = []
        for budget in config.selection.budgets:
            residues = options.total(budget.residues(self.corpus.mean))
            load = train_load(options, self.corpus, residues)
            hours = self.hours(work, load) + self.validation()
            host = self.host_gb(bucket + budget.sequences(self.corpus.mean))
            stages.append(Stage(f"pretrain {budget}", jobs, hours, memory, host))
        return stages

    def validation(self) -> float:
        """Hours of the validation points of one training."""
        options, share = self.config.pretrain, self.config.heldout.share
        n = min(options.validation_sequences, round(share * self.corpus.sequences))
        if not n * options.validation_points:
            return 0.0
        tokens = self.corpus.tokens(n, options.max_tokens)
        load = batched_load(tokens, options.tokens_per_batch) * options.validation_points
        evaluate = self.config.evaluate
        return self.hours(Work(options.preset, "forward", "float32", evaluate.threads), load)


def score_work(config: Config, sets: Iterable[str | list[str]]) -> Work:
    """The pass that scores parameter sets. Patterns count as `linear`, their upper bound."""
    influence = config.influence
    path: Pass = "head" if all(parameters == "head" for parameters in sets) else "linear"
    model = config.base.checkpoint or config.base.preset
    return Work(model, path, influence.precision, influence.threads)


def score_load(config: Config, corpus: Corpus, n: int, loss: str) -> Load:
    """What scoring `n` sequences reads: batches are cut within a hash block."""
    settings = resolve_settings(config.influence.model_copy(update={"loss": loss}), config.seed)
    size = max(1, min(n, round(corpus.sequences / config.corpus.blocks)))
    tokens = corpus.tokens(size, settings.max_tokens)
    if settings.pad_to:
        tokens = np.full(size, settings.pad_to)
    load = batched_load(tokens * settings.n_masks, settings.tokens_per_batch, MAX_PADDING)
    # K mask patterns are K rows of a sequence's length, not one K times as long.
    counted = settings.mask_fraction if loss == "masked" else 1.0
    return Load(size, load.tokens, load.squares / settings.n_masks, counted) * (n / size)


def train_load(options: Optimisation, corpus: Corpus, residues: float) -> Load:
    """What training on `residues` reads: batches are cut within an optimiser step."""
    size = max(1, round(min(residues, options.tokens_per_step) / corpus.mean))
    tokens = corpus.tokens(size, options.max_tokens)
    load = batched_load(tokens, options.tokens_per_batch)
    return load * (residues / float((tokens - 2).sum()))


def needed_work(config: Config) -> list[Work]:
    """The distinct passes of a config: what `--calibrate` measures."""
    influence, pretrain, evaluate = config.influence, config.pretrain, config.evaluate
    works = [score_work(config, [score.parameters]) for score in influence.scores().values()]
    base = config.base.checkpoint or config.base.preset
    trained = [config.finetune.precision]
    if config.base.checkpoint is None:
        trained.append(config.base.precision)
    works += [
        *(Work(base, "train", precision, config.finetune.threads) for precision in trained),
        Work(pretrain.preset, "train", pretrain.precision, pretrain.threads),
    ]
    if config.selection.reads_states:
        works.append(Work(base, "head", "float32", influence.threads))
    if config.heldout.sets:
        works.append(Work(pretrain.preset, "head", "float32", evaluate.threads))
    if config.tasks:  # heads and networks go at the rate of training
        paths: tuple[Pass, ...] = ("head", "train")
        options = (evaluate.precision, evaluate.threads)
        works += [Work(pretrain.preset, path, *options) for path in paths]
    return list(dict.fromkeys(works))


def report(config: Config, corpus: Corpus, device: Device) -> str:
    """The estimate as text; a stage that does not fit the device is marked."""
    estimator = Estimator(config, corpus, device)
    stages = estimator.stages()
    lines = [
        f"run {config.run}: {corpus.sequences:,} sequences, mean length {corpus.mean:.0f} "
        f"({corpus.origin})",
        f"device: {device.name}",
        "",
        f"{'stage':<32}{'jobs':>6}{'h/job':>12}{'total h':>12}{'device GB':>11}{'host GB':>9}",
    ]
    for s in stages:
        host = s.host_gb + (s.device_gb if device.on_host else 0)
        held = f"{'CPU':>11}" if s.cpu else f"{s.device_gb:>11.2f}"
        lines.append(f"{s.name:<32}{s.jobs:>6}{s.hours:>12.4g}{s.total:>12.4g}{held}{host:>9.2f}")
        if device.memory_gb is not None and s.device_gb > device.memory_gb:
            lines[-1] += f"  over {device.memory_gb:g} GB: lower its tokens_per_batch"
    for name, cpu in (("total", False), ("total CPU", True)):
        own = [s for s in stages if s.cpu == cpu]
        if own:
            total = math.fsum(s.total for s in own)
            lines.append(f"{name:<32}{sum(s.jobs for s in own):>6}{'':>12}{total:>12.4g}")
    return "\n".join([*lines, "", *remarks(estimator, stages)])


def remarks(estimator: Estimator, stages: Sequence[Stage]) -> list[str]:
    """What the table does not say: what its figures are of, what tasks cost, what costs most."""
    config, found = estimator.config, estimator.evaluation.estimated
    lines = ["Hours are of one device (baselines: of one CPU core)."]
    if found:
        lines.append(
            "Tasks are taken to run all their epochs: an upper bound, early stopping makes it less."
        )
    unseen = [name for name, examples in found.items() if examples.published]
    if unseen:
        lines.append(f"Of published size, their files are not here: {', '.join(unseen)}.")
    pretraining = math.fsum(s.total for s in stages if s.name.startswith("pretrain "))
    for protocol in dict.fromkeys(config.tasks[name].protocol_name for name in found):
        names = [name for name in found if config.tasks[name].protocol_name == protocol]
        rows = {f"{kind} {name}" for kind in ("evaluate", "cnn") for name in names}
        hours = math.fsum(s.total for s in stages if s.name in rows)
        lines.append(
            f"Tasks by protocol {protocol}: {hours:.4g} h, {hours / pretraining:.2g} of the "
            f"pretraining's {pretraining:.4g} h."
        )
    skipped = [name for name in config.tasks if name not in found]
    lines.append("Not estimated: corpus, selection and report (CPU)")
    if skipped:
        lines[-1] += f"; tasks without files here, nor of published size: {', '.join(skipped)}"
    total = math.fsum(s.total for s in stages if not s.cpu)
    most = max(stages, key=lambda s: -1.0 if s.cpu else s.total)
    lines[-1] += "."
    return [
        *lines,
        f"Most of it: {most.name}, {most.total:.4g} h of {total:.4g} ({most.total / total:.0%})",
    ]


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
        config = load_config(read_yaml(options.configfile))
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
