"""Settings of the downstream tasks and their evaluation."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from coresift.files import read_yaml
from coresift.settings import (
    FilePath,
    Fraction,
    InputLength,
    Modality,
    Positive,
    Precision,
    Section,
)
from coresift.tasks.readers.settings import LabelledData, Sampled

#: Characters of a token label that are masked out.
UNKNOWN = frozenset("-x?")


class Pairwise(Section):
    """What a task of kind pairwise predicts for every two residues, and BEACON's head for it."""

    target: Literal["structure", "contact", "distance"] = Field(
        "structure", description="base pairs or contacts (0, 1), or a distance"
    )
    contact_angstrom: float = Field(
        8.0, gt=0, description="contact of two residues in a PDB or mmCIF file: heavy atoms closer"
    )
    min_separation: Positive = Field(
        23, description="contact precision: least j - i (BEACON's code; its comment says 24)"
    )
    threshold: Literal["fixed", "valid"] = Field(
        "fixed",
        description="structure: probability above which a base pair is predicted: 0.5, as "
        "BEACON's, or what valid chooses by the primary metric, as for kmer: a head that is cut "
        "short ranks pairs long before it calls any",
    )
    blocks: Positive = Field(16, description="residual blocks of the head")
    channels: Positive = Field(48, description="channels of the head")
    dropout: float = Field(0.25, ge=0, lt=1, description="dropout in the blocks of the head")
    pairs_per_batch: Positive = Field(
        1 << 18, description="padded residue pairs in one forward pass: bounds memory"
    )
    activations_mb: int = Field(
        2048,
        ge=0,
        description="MiB of activations that the head keeps for backward in one pass; what does "
        "not fit is computed twice: same result, up to a third more time",
    )
    maps_mb: int = Field(
        1024,
        ge=0,
        description="MiB of labels' maps that stay in memory, packed; others are read every epoch",
    )


#: Keys of `Pairwise` that bound memory and make no protocol.
PAIRWISE_MEMORY = ("pairs_per_batch", "activations_mb", "maps_mb")
#: Names of the metrics of each set (`Task.metrics`); the first is the primary one by default.
METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "class": ("accuracy", "macro_f1", "mcc"),
    "scalar": ("spearman", "r2", "mse", "mae", "rmse"),
    "multilabel": ("mean_auc", "mean_mcc"),
    "token": ("micro_accuracy", "macro_accuracy", "macro_f1"),
    "pairwise_structure": ("pooled_f1", "pooled_f1_shift1", "mean_f1", "mean_f1_shift1"),
    "pairwise_contact": (
        *("beacon_top_l", "beacon_top_l2", "beacon_top_l5"),
        *("top_l", "top_l2", "top_l5", "top_l10"),
    ),
    "pairwise_distance": ("r2", "spearman", "mse"),
}
LOWER_IS_BETTER = frozenset({"mse", "mae", "rmse"})


#: Keys of a preset that are no keys of `Task`: what protocol quick changes, and published sizes.
QUICK, SIZES = "quick", "sizes"


@cache
def task_table() -> dict[str, dict[str, Any]]:
    """The table of published tasks, resources/tasks.yaml, by name."""
    path = Path(__file__).resolve().parents[3] / "resources" / "tasks.yaml"
    table: dict[str, dict[str, Any]] = read_yaml(path)
    return table


@cache
def task_presets() -> dict[str, dict[str, Any]]:
    """The published protocols: name -> values of `Task`."""
    return {
        name: {key: value for key, value in preset.items() if key not in (QUICK, SIZES)}
        for name, preset in task_table().items()
    }


def _of_protocol(preset: str, protocol: str) -> dict[str, Any]:
    """Values of `Task` that a preset gives by protocol."""
    values = task_presets()[preset]
    return _over(values, task_table()[preset][QUICK]) if protocol == QUICK else values


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, section by section."""
    merged = {**below, **above}
    for key in ("data", "pairwise", "sample"):
        if isinstance(below.get(key), dict) and isinstance(merged[key], dict):
            merged[key] = {**below[key], **merged[key]}
    return merged


Protocol = Literal["published", "quick"]


class Task(LabelledData):
    """One downstream task."""

    preset: str | None = Field(
        None, description="a published protocol of resources/tasks.yaml; keys given here override"
    )
    protocol: Protocol = Field(
        "published",
        description="the preset's as published, or what the preset makes of it to screen many "
        "models (docs/tasks.md); it stands in every table",
    )
    rows: list[str] | None = Field(
        None,
        min_length=1,
        description="rows that are evaluated: names of selections and of evaluate.checkpoints, "
        "untrained, cnn; null = all. constant and kmer always are",
    )
    modality: Modality | None = Field(None, description="the run's modality must be this one")
    pairwise: Pairwise = Field(default_factory=Pairwise, description="for kind pairwise")
    metric: str | None = Field(None, description="primary metric; default: the first of the kind's")
    mode: Literal["frozen", "finetune"] = Field(
        "frozen", description="the head alone on stored states, or head and encoder"
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean", description="a sequence's state: mean over its residues, or the first token's"
    )
    classes: list[str] | None = Field(None, description="class names; default: those of train")
    n_labels: Positive | None = Field(None, description="labels of a multilabel task")
    head: Literal["linear", "pooler", "mlp"] = Field(
        "linear",
        description="linear probe, BEACON's pooler (linear, tanh, linear) or PEER's MLP (linear, "
        "ReLU, linear); kind pairwise has its own",
    )
    epochs: Positive = Field(30, description="passes over train, at most (see patience)")
    learning_rate: float = Field(1e-3, gt=0, description="of the head")
    encoder_rate: float = Field(
        0.1, gt=0, description="learning rate of the encoder over the head's (mode: finetune)"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="learning rate after the warm-up: constant, or down to 0"
    )
    warmup_steps: Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        0, description="optimiser steps with rising rate; below 1: their share of all steps"
    )
    clip_norm: float | None = Field(None, gt=0, description="gradient clipping; null = none")
    weight_decay: float = Field(0.01, ge=0, description="AdamW")
    batch_size: Positive = Field(32, description="examples in one optimiser step")
    stop_on: Literal["loss", "metric"] = Field(
        "loss", description="what picks the best weights on valid: the loss or the primary metric"
    )
    evaluate_steps: Positive | None = Field(
        None,
        description="optimiser steps from one evaluation on valid to the next; null = those of an "
        "epoch; the last step is followed by one in any case",
    )
    patience: Positive = Field(
        5, description="evaluations on valid without a better value that end training"
    )
    max_tokens: InputLength = Field(1024, description="longest input, special tokens included")
    optional: bool = Field(
        False, description="left out, with a notice, where its files do not exist"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Put the preset's values, by protocol, under the given ones, section by section."""
        if not isinstance(values, dict):
            return values
        name, quick = values.get("preset"), values.get("protocol") == QUICK
        if name is None:
            if quick:
                raise ValueError(
                    "protocol quick is a preset's; without one give mode, epochs and sample"
                )
            return values
        if name not in task_presets():
            raise ValueError(f"no task preset {name!r}; allowed: {', '.join(task_presets())}")
        return _over(_of_protocol(name, QUICK if quick else "published"), values)

    @model_validator(mode="after")
    def _check(self) -> Task:
        if self.two_sequences != bool(self.data.sequence_b or self.data.fasta_b):
            raise ValueError(
                "kinds pair and pair_scalar, and only they, need data.sequence_b or data.fasta_b"
            )
        if self.pairwise.threshold == "valid" and self.pairwise.target != "structure":
            # A precision is best where one sure pair is called.
            raise ValueError("pairwise.threshold: valid needs pairwise.target: structure")
        unknown = sorted(UNKNOWN & set(self.classes or []))
        if self.kind == "token" and unknown:
            raise ValueError(
                f"classes: {', '.join(unknown)} stand for residues whose label is not known; give "
                "the class another letter, in the data as well"
            )
        allowed = METRIC_NAMES[self.metrics]
        if self.metric not in (None, *allowed):
            raise ValueError(f"metric {self.metric!r} is not one of {', '.join(allowed)}")
        return self

    @property
    def protocol_name(self) -> str:
        """What stands in the tables: published, quick, or own.

        A task without a preset is the user's own, and so is one with other training than its
        preset's: not the data, but how a model is trained on them.
        """
        if self.preset is None:
            return "own"
        values = _of_protocol(self.preset, self.protocol)
        sample = values.get("sample")
        preset = Task.model_construct(
            **{
                **values,
                "pairwise": Pairwise(**values.get("pairwise", {})),
                "sample": sample and Sampled(**sample),
            }
        )
        memory = dict.fromkeys(PAIRWISE_MEMORY)
        mine, theirs = (
            {key: getattr(task, key) for key in TRAINING}
            | {"pairwise": task.pairwise.model_copy(update=memory)}
            for task in (self, preset)
        )
        return self.protocol if mine == theirs else "own"

    def evaluates(self, row: str) -> bool:
        """Whether a row, by its name in `rows`, is evaluated."""
        return self.rows is None or row in self.rows

    @property
    def target(self) -> str:
        """What a label is, whether of one sequence or of two."""
        return {"pair": "class", "pair_scalar": "scalar"}.get(self.kind, self.kind)

    @property
    def metrics(self) -> str:
        """Name of the task's set of metrics, a key of `METRIC_NAMES`."""
        if self.kind == "pairwise":
            return f"pairwise_{self.pairwise.target}"
        return self.target

    @property
    def chooses_threshold(self) -> bool:
        """Whether valid chooses above which probability a base pair is predicted."""
        return self.kind == "pairwise" and self.pairwise.threshold == "valid"

    @property
    def primary(self) -> str:
        """Name of the primary metric."""
        return self.metric or METRIC_NAMES[self.metrics][0]


#: Keys that make the training a protocol's.
TRAINING = tuple(
    key
    for key in Task.model_fields
    if key not in ("preset", "protocol", "rows", "modality", "data", "optional")
)


class Identity(Section):
    """How near test examples are to the pool and to train: results by bins, and a warning."""

    enabled: bool = Field(True, description="compare them; False: no results by identity")
    examples: Positive = Field(
        500, description="most distinct test examples of a task that are compared, a seeded sample"
    )
    coverage: Fraction = Field(
        0.8, description="an alignment counts if it spans this share of the shorter sequence"
    )
    seen: Fraction = Field(
        0.95,
        description="at this identity an example counts as seen: a warning where more than 1 % are",
    )


class Evaluate(Section):
    """What every evaluation shares."""

    seeds: list[int] = Field(
        [0, 1, 2], min_length=1, description="of a head: its weights, order of examples, dropout"
    )
    seeds_per_job: Positive = Field(
        1,
        description="seeds that share a job and its start: more for tasks of seconds; no result "
        "depends on it, though another number of jobs evaluates again",
    )
    checkpoint_steps: Positive = Field(
        500,
        description="optimiser steps between resumable states of an evaluation (and cnn); a seed "
        "of fewer steps starts anew",
    )
    checkpoints: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$")], FilePath] = Field(
        default_factory=dict,
        description="further Hugging Face checkpoint folders to evaluate: name in the table: path",
    )
    untrained: bool = Field(
        True,
        description="a row `untrained`: pretrain.preset with the random weights that training "
        "starts from, one model a seed of selection.seeds",
    )
    cnn: bool | list[str] = Field(
        True,
        description="a row of a small convolutional network, trained from scratch on each task of "
        "one sequence, or on the tasks named (docs/tasks.md)",
    )
    identity: Identity = Field(default_factory=Identity)
    bootstrap: Positive = Field(1000, description="resamples of the test set")
    confidence: float = Field(
        0.95, gt=0, lt=1, description="of intervals; 1 - it = the level of the verdict"
    )
    tokens_per_batch: Positive = Field(
        16384, description="padded tokens in one forward pass: bounds memory"
    )
    precision: Precision = Field(
        "float32", description="of encoder, head and cnn; bf16 = autocast (GPU), losses in float32"
    )
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")

    @field_validator("seeds")
    @classmethod
    def _once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is given twice")
        return seeds

    def seed_jobs(self) -> list[list[int]]:
        """Seeds of each job of a row."""
        size = self.seeds_per_job
        return [self.seeds[i : i + size] for i in range(0, len(self.seeds), size)]
