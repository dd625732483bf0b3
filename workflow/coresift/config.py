"""The configuration: one pydantic model is the schema, the defaults and the documentation.

`load_config` fails before any job starts, with one line per problem that names the key, the value
and what is allowed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Strategy = Literal[
    "top_influence",
    "bottom_influence",
    "cci",
    "random",
    "random_tokens",
    "random_length",
    "loss",
    "grad_norm",
    "error_norm",
]
Modality = Literal["rna", "protein"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


class ConfigError(ValueError):
    """The configuration is wrong; the message lists every problem, one a line."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Corpus(Section):
    """Raw FASTA -> distinct sequences in hash buckets."""

    fasta: list[str] = Field(min_length=1, description="FASTA(.gz) files, any number, any order")
    min_length: Positive = Field(30, description="shorter sequences are rejected")
    max_length: Positive = Field(1022, description="longer sequences are rejected")
    max_ambiguous: Fraction = Field(
        0.1, description="rejected above this fraction of ambiguity codes"
    )
    blocks: Positive = Field(
        1024,
        le=65536,
        description="hash blocks: the unit of batching and resume; not to be changed midway",
    )
    buckets: Positive = Field(16, description="deduplication jobs; does not change any result")
    chunk_bytes: Positive = Field(
        256 << 20, description="memory bound of ingest: characters held before a flush"
    )

    @model_validator(mode="after")
    def _check(self) -> Corpus:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        if self.buckets > self.blocks:
            raise ValueError(f"buckets {self.buckets} is above blocks {self.blocks}")
        names = [source_name(path) for path in self.fasta]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"fasta: file names must differ without their folder: {twice}")
        return self


class Decontaminate(Section):
    """Removal of pool sequences that share k-mers with a task's held-out examples."""

    enabled: bool = Field(True, description="remove pool sequences close to a task's examples")
    k: int = Field(15, ge=4, le=32, description="k-mer length, residues")
    containment: Fraction = Field(
        0.5, description="removed if this fraction of the shorter sequence's k-mers is shared"
    )
    splits: list[Literal["train", "valid", "test"]] = Field(
        ["valid", "test"], description="the task splits held out from pretraining"
    )


class Subset(Section):
    """The random subset D_sub for fine-tuning and the Fisher."""

    size: Positive = Field(20_000, description="sequences in D_sub")
    fasta: list[str] | None = Field(
        None,
        description="draw D_sub from these files of corpus.fasta only; pins D_sub (and every old "
        "score) when files are added. Default: all",
    )


class Base(Section):
    """The model that is fine-tuned on D_sub and scored."""

    checkpoint: str | None = Field(
        None, description="Hugging Face directory; null = pretrain `preset` from scratch"
    )
    preset: str = Field("tiny", description="model preset, a file in resources/models")
    warmup_epochs: float = Field(
        2.0, ge=0, description="epochs over D_sub for a base made from scratch"
    )
    warmup_learning_rate: float = Field(1e-3, gt=0)


class Optimisation(Section):
    """What every training run shares."""

    learning_rate: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: Fraction = Field(0.05, description="share of steps with rising rate")
    tokens_per_step: Positive = Field(8192, description="residues in one optimiser step, exactly")
    tokens_per_batch: Positive = Field(
        8192, description="padded tokens in one forward pass: bounds memory"
    )
    mask_fraction: float = Field(0.15, gt=0, lt=1)
    max_tokens: Positive = Field(1024, description="longest input, special tokens included")
    clip_norm: float = Field(1.0, gt=0)
    checkpoint_steps: Positive = Field(500, description="steps between resumable checkpoints")
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")


class Finetune(Optimisation):
    """Fine-tuning on D_sub before scoring."""

    epochs: float = Field(1.0, ge=0, description="0 = the ablation 'without fine-tuning'")
    learning_rate: float = Field(1e-4, gt=0)


class Influence(Section):
    """Self-influence I(z) = g^T (F + damping)^-1 g."""

    parameters: Literal["head", "linear"] | list[str] = Field(
        "head", description="'head', 'linear', or a list of parameter-name patterns (fnmatch)"
    )
    loss: Literal["masked", "unmasked"] = "unmasked"
    n_masks: Positive = Field(4, description="seeded masks per sequence, for loss: masked")
    mask_fraction: float = Field(0.15, gt=0, lt=1)
    curvature: Literal["diag_fisher", "identity"] = "diag_fisher"
    damping: float = Field(0.1, gt=0)
    damping_mode: Literal["relative", "absolute"] = Field(
        "relative", description="relative = times the mean of diag(F)"
    )
    preset: Literal["reference"] | None = Field(
        None, description="'reference' reproduces the published code's scores"
    )
    shards: Positive = Field(
        8,
        description="scoring jobs: each loads the model once for its run of corpus.blocks; does "
        "not change any result, and a change of it scores nothing again",
    )
    tokens_per_batch: Positive = Field(16384, description="padded tokens in one forward pass")
    max_tokens: Positive = Field(1024, description="longest input, special tokens included")
    precision: Literal["float32", "bf16", "float64"] = Field(
        "float32", description="bf16 = autocast with float32 accumulation (GPU)"
    )
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")


class Cci(Section):
    """Coverage-centric influence (paper, section 3.3)."""

    prune_hard: Fraction = Field(
        0.1, lt=1.0, description="share of the most influential dropped first (beta)"
    )
    n_strata: Positive = 50
    scale: Literal["raw", "log", "rank"] = "raw"
    strata: Literal["equal_width", "equal_mass"] = "equal_width"


class Selection(Section):
    """Which coresets are drawn."""

    strategies: list[Strategy] = Field(
        ["top_influence", "cci", "random", "random_tokens"], min_length=1
    )
    budgets: list[Positive] = Field([200_000], min_length=1, description="sequences in a coreset")
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0, 1, 2], min_length=1)
    cci: Cci = Field(default_factory=Cci)

    @model_validator(mode="after")
    def _unique(self) -> Selection:
        for key in ("strategies", "budgets", "seeds"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key} has a value twice: {values}")
        return self


class Pretrain(Optimisation):
    """Pretraining from scratch on each coreset."""

    preset: str = Field("tiny", description="model preset, a file in resources/models")
    epochs: float = Field(10.0, gt=0)
    compute: Literal["equal_tokens", "equal_epochs"] = Field(
        "equal_tokens",
        description="equal_tokens: every coreset of a budget trains on the same number of "
        "residues and steps (epochs x budget x mean length of the pool)",
    )
    precision: Literal["float32", "bf16"] = "float32"


class TaskData(Section):
    """Where a task's labelled sequences are and how to read them."""

    path: str | None = Field(None, description="one FASTA(.gz), CSV(.gz) or Parquet file")
    train: str | None = Field(None, description="or one file a split")
    valid: str | None = None
    test: str | None = None
    sequence: str = Field("sequence", description="column of the sequence (tables)")
    sequence_b: str | None = Field(None, description="column of the partner (kind: pair)")
    label: str = Field("label", description="column of the label (tables)")
    split: str = Field("split", description="column of the split (tables, `path` only)")
    label_regex: str | None = Field(
        None, description="FASTA: first group of this pattern in the header is the label"
    )
    split_regex: str | None = Field(
        None, description="FASTA: first group of this pattern is train, valid or test"
    )
    valid_fraction: Fraction = Field(
        0.1, description="share of train that is hashed into valid where no valid split is given"
    )

    @model_validator(mode="after")
    def _check(self) -> TaskData:
        if (self.path is None) == (self.train is None):
            raise ValueError("give either `path` or `train` (with `test`)")
        if self.train is not None and self.test is None:
            raise ValueError("`train` needs `test`")
        for key in ("label_regex", "split_regex"):
            value = getattr(self, key)
            if value is not None:
                try:
                    groups = re.compile(value).groups
                except re.error as error:
                    raise ValueError(f"{key}: not a regular expression ({error})") from error
                if groups != 1:
                    raise ValueError(f"{key}: needs exactly one group, has {groups}")
        return self

    def files(self) -> list[str]:
        """Every file of the task, in a fixed order."""
        return [p for p in (self.path, self.train, self.valid, self.test) if p is not None]


class Task(Section):
    """One downstream task."""

    kind: Literal["class", "multilabel", "scalar", "token", "pair"]
    data: TaskData
    mode: Literal["frozen", "finetune"] = Field(
        "frozen", description="frozen encoder (linear probe on pooled states) or full fine-tuning"
    )
    pooling: Literal["mean", "cls"] = "mean"
    classes: list[str] | None = Field(None, description="class names; default: those of train")
    n_labels: Positive | None = Field(None, description="labels of a multilabel task")
    hidden: int = Field(0, ge=0, description="width of the head's hidden layer; 0 = linear")
    epochs: Positive = 30
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    batch_size: Positive = 32
    patience: Positive = Field(5, description="epochs without a better validation loss")
    max_tokens: Positive = 1024
    optional: bool = Field(
        False, description="left out, with a notice, where its files do not exist"
    )


class Evaluate(Section):
    """What every evaluation shares."""

    seeds: list[int] = Field([0, 1, 2], min_length=1)
    bootstrap: Positive = Field(1000, description="resamples of the test set")
    confidence: float = Field(0.95, gt=0, lt=1)
    tokens_per_batch: Positive = 16384
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")


class Config(Section):
    """The whole configuration of one run."""

    run: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="name; results go to results/{run}")
    modality: Modality
    seed: int = Field(42, ge=0)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    corpus: Corpus
    decontaminate: Decontaminate = Field(default_factory=Decontaminate)
    subset: Subset = Field(default_factory=Subset)
    base: Base = Field(default_factory=Base)
    finetune: Finetune = Field(default_factory=Finetune)
    influence: Influence = Field(default_factory=Influence)
    selection: Selection = Field(default_factory=Selection)
    pretrain: Pretrain = Field(default_factory=Pretrain)
    tasks: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Task] = Field(default_factory=dict)
    evaluate: Evaluate = Field(default_factory=Evaluate)

    @model_validator(mode="after")
    def _check(self) -> Config:
        if self.influence.shards > self.corpus.blocks:
            raise ValueError(
                f"influence.shards {self.influence.shards} is above corpus.blocks "
                f"{self.corpus.blocks}"
            )
        if self.subset.fasta is not None:
            unknown = sorted(set(self.subset.fasta) - set(self.corpus.fasta))
            if unknown:
                raise ValueError(f"subset.fasta: not in corpus.fasta: {unknown}")
        return self

    def section(self, *names: str) -> dict[str, Any]:
        """The named sections as plain data: the slice of config a rule depends on."""
        return {name: plain(getattr(self, name)) for name in names}


def plain(value: Any) -> Any:
    """A section (or a scalar) as JSON-ready data, for `params` and file metadata."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def source_name(path: str) -> str:
    """`dir/name.fa.gz` -> `name`: the wildcard and the label of an input file."""
    name = Path(path).name
    return re.sub(r"\.(fasta|fa|fna|faa|fas)?(\.gz)?$", "", name) or name


def _location(parts: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in parts) or "config"


def load_config(values: dict[str, Any]) -> Config:
    """Validate a configuration mapping.

    Raises:
        ConfigError: one line per problem: key, value, what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            given = problem["input"]
            shown = "" if isinstance(given, dict) else f" (given: {given!r})"
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = "unknown key" + _nearest(problem["loc"])
            lines.append(f"  {_location(problem['loc'])}: {message}{shown}")
        raise ConfigError("invalid configuration:\n" + "\n".join(lines)) from None


def _nearest(location: tuple[int | str, ...]) -> str:
    """The allowed keys beside an unknown one."""
    model: Any = Config
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return ""
        model = field.annotation
    fields = getattr(model, "model_fields", None)
    return f"; allowed: {', '.join(fields)}" if fields else ""
