"""The configuration: one pydantic model is the schema, the defaults and the documentation.

`load_config` fails before any job starts, with one line per problem that names the key, the value
and what is allowed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
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


class Cluster(Section):
    """Near-duplicate clusters of the pool (MMseqs2 linclust)."""

    identity: Fraction = Field(0.9, description="identical positions, member to representative")
    coverage: Fraction = Field(0.8, description="share of the member's residues aligned")
    threads: Positive = Field(8, description="threads; does not change any result")


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
        16 << 20, description="memory bound of ingest: characters held before a flush"
    )

    sample: float = Field(
        1.0, gt=0, le=1, description="share of the distinct sequences, by seeded hash, in the pool"
    )
    cluster: Cluster | None = Field(
        None, description="cluster the pool by MMseqs2 (`mmseqs` on PATH); default: not"
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


class Download(Section):
    """Where a file comes from and what it must be."""

    url: str = Field(pattern=r"^https?://", description="address")
    size: Positive | None = Field(None, description="bytes; default: what the server says")
    checksum: str | None = Field(
        None,
        pattern=r"^(md5|sha1|sha256|sha512):[0-9a-f]+$",
        description="name:hex digits; default: not verified, the log shows the SHA-256",
    )


class Decontaminate(Section):
    """Removal of pool sequences that resemble a task's held-out examples."""

    enabled: bool = Field(True, description="remove pool sequences close to a task's examples")
    method: Literal["kmer", "mmseqs2"] = Field(
        "kmer", description="shared k-mers, or alignment by MMseqs2 (`mmseqs` on PATH)"
    )
    k: int = Field(15, ge=4, le=32, description="kmer: k-mer length, residues")
    containment: Fraction = Field(
        0.5, description="kmer: removed if this fraction of the shorter one's k-mers is shared"
    )
    identity: Fraction = Field(
        0.8, description="mmseqs2: removed if an alignment has this share of identical positions"
    )
    coverage: Fraction = Field(
        0.5, description="mmseqs2: ... over this fraction of the shorter sequence"
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


Parameters = Literal["head", "linear"] | list[str]
Loss = Literal["masked", "unmasked"]
Curvature = Literal["diag_fisher", "identity", "kfac", "ekfac"]
DampingMode = Literal["relative", "absolute"]

#: Sums over D_sub that a curvature is made of: squared gradients | Kronecker factors | squared
#: gradients in the factors' eigenbasis.
FISHER_KINDS: dict[str, list[str]] = {
    "identity": [],
    "diag_fisher": ["diagonal"],
    "kfac": ["kronecker"],
    "ekfac": ["kronecker", "corrected"],
}
#: What `influence.preset: reference` fixes (FACTS: the published code).
REFERENCE: dict[str, Any] = {
    "parameters": "head",
    "loss": "unmasked",
    "curvature": "diag_fisher",
    "damping": 1e-8,
    "damping_mode": "absolute",
    "max_tokens": 1024,
}


class Variant(Section):
    """A further score; what is not given is as in the main one."""

    parameters: Parameters | None = None
    loss: Loss | None = None
    curvature: Curvature | None = None
    damping: float | None = Field(None, gt=0)
    damping_mode: DampingMode | None = None


class Influence(Section):
    """Self-influence I(z) = g^T (F + damping)^-1 g."""

    parameters: Parameters = Field(
        "head", description="'head', 'linear', or a list of parameter-name patterns (fnmatch)"
    )
    loss: Loss = "unmasked"
    n_masks: Positive = Field(4, description="seeded masks per sequence, for loss: masked")
    mask_fraction: float = Field(0.15, gt=0, lt=1)
    curvature: Curvature = Field(
        "diag_fisher",
        description="diag_fisher = the paper's; identity = squared gradient norm; kfac, ekfac = "
        "Kronecker-factored, see influence/kronecker.py",
    )
    damping: float = Field(0.1, gt=0)
    damping_mode: DampingMode = Field(
        "relative", description="relative = times the mean eigenvalue, for diag_fisher mean diag(F)"
    )
    preset: Literal["reference"] | None = Field(
        None, description="'reference' reproduces the published code's scores"
    )
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variant] = Field(
        default_factory=dict,
        description="further scores by name, into scores_variants.parquet. Those of one loss share "
        "its pass over the shard: only the inverse curvature differs, not the gradient",
    )
    shards: Positive = Field(
        8,
        description="scoring jobs: each loads the model once for its run of corpus.blocks; does "
        "not change any result, and a change of it scores nothing again",
    )
    fisher_shards: Positive = Field(
        1, le=64, description="jobs over D_sub for the Fisher; does not change any result"
    )
    tokens_per_batch: Positive = Field(16384, description="padded tokens in one forward pass")
    max_tokens: Positive = Field(1024, description="longest input, special tokens included")
    precision: Literal["float32", "bf16", "float64"] = Field(
        "float32", description="bf16 = autocast with float32 accumulation (GPU)"
    )
    compile: bool = Field(
        False, description="torch.compile of the encoder, for parameters: head; part of the bits"
    )
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")

    @model_validator(mode="after")
    def _check(self) -> Influence:
        if self.preset is not None and self.variants:
            raise ValueError(f"preset: {self.preset} allows no variants")
        if "influence" in self.variants:
            raise ValueError("variants: 'influence' is the main score's name")
        # Compiled code would not see the hooks on layers inside the encoder.
        if self.compile and any(score.parameters != "head" for score in self.scores().values()):
            raise ValueError("compile: needs parameters: head in every score")
        return self

    def resolved(self) -> Influence:
        """The section with what the preset fixes."""
        return self if self.preset is None else self.model_copy(update=REFERENCE)

    def scores(self) -> dict[str, Influence]:
        """The section of every score by name, the main one's `influence` first."""
        main = self.resolved()
        changes = {n: variant.model_dump(exclude_none=True) for n, variant in self.variants.items()}
        return {"influence": main, **{n: main.model_copy(update=c) for n, c in changes.items()}}

    def fishers(self) -> dict[str, dict[str, list[str | list[str]]]]:
        """Of every loss and kind of sums over D_sub that a score needs: the parameter sets."""
        found: dict[str, dict[str, list[str | list[str]]]] = {}
        for score in self.scores().values():
            kinds = found.setdefault(score.loss, {})
            for kind in FISHER_KINDS[score.curvature]:
                sets = kinds.setdefault(kind, [])
                if score.parameters not in sets:
                    sets.append(score.parameters)
        return found


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
    cci_variants: dict[Annotated[str, Field(pattern=r"^cci_[a-z0-9_]+$")], Cci] = Field(
        default_factory=dict,
        description="more CCI selections by name, e.g. the ablation cci_hard0: {prune_hard: 0}",
    )

    @property
    def names(self) -> list[str]:
        """Strategies and CCI variants: the first part of a coreset's name."""
        return [*self.strategies, *self.cci_variants]

    def resolve(self, name: str) -> tuple[str, dict[str, Any]]:
        """Strategy and CCI options (empty for other strategies) of a selection's name."""
        if name in self.cci_variants:
            return "cci", plain(self.cci_variants[name])
        return name, plain(self.cci) if name == "cci" else {}

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


class Draw(Section):
    """Test and valid examples drawn from files without splits; the rest is train."""

    test: Positive | Annotated[float, Field(gt=0, lt=1)] = Field(description="number or share")
    valid: Positive | Annotated[float, Field(gt=0, lt=1)] = Field(description="number or share")
    seed: int = 42

    def counts(self, n: int) -> tuple[int, int]:
        """Test and valid examples of `n`."""
        test, valid = (round(v * n) if v < 1 else int(v) for v in (self.test, self.valid))
        return test, valid


Split = Literal["train", "valid", "test"]


class TaskData(Section):
    """Where a task's labelled sequences are and how to read them (docs/tasks.md)."""

    path: str | None = Field(
        None,
        description="one file, or a folder of .bpseq, .ct or .dbn; its ending says how to read",
    )
    train: str | None = Field(None, description="or one file or folder a split")
    valid: str | None = None
    test: str | None = None
    sequence: str = Field("sequence", description="column of the sequence (tables)")
    sequence_b: str | None = Field(None, description="column of the partner (two sequences)")
    label: str = Field(
        "label",
        description="column of the label (tables), or a pattern of columns such as "
        "contact_map/{id}.npy; files are relative to the table",
    )
    split: str = Field("split", description="column of the split (tables, `path` only)")
    split_names: dict[str, Split] = Field(
        default_factory=dict, description="what the file calls a split: which it is"
    )
    default_split: Split | None = Field(None, description="split of records that name none")
    draw: Draw | None = Field(None, description="seeded split of a file without splits (`path`)")
    mask: str | None = Field(
        None, description="column of numbers a residue, 0 = label not known (kind token)"
    )
    skip_labels: list[str] = Field(default_factory=list, description="labels left out, counted")
    label_regex: str | None = Field(
        None, description="FASTA: first group of this pattern in the header is the label"
    )
    split_regex: str | None = Field(
        None, description="FASTA: first group of this pattern is the split"
    )
    fasta: str | None = Field(None, description=".txt list of pairs: FASTA of the run's modality")
    fasta_b: str | None = Field(None, description=".txt list of pairs: FASTA of the partners")
    modality_b: Modality | None = Field(
        None,
        description="partner's modality; if not the run's, k-mer frequencies stand for the partner",
    )
    foreign_letters: Literal["error", "unknown"] = Field(
        "error", description="unknown = read as N (RNA) or X (protein), counted"
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
        if self.draw is not None and self.path is None:
            raise ValueError("`draw` splits one `path`; with a file a split write `draw: null`")
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
        """Every file or folder of the task, in a fixed order."""
        given = (self.path, self.train, self.valid, self.test, self.fasta, self.fasta_b)
        return [path for path in given if path is not None]


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
    blocks: Positive = Field(16, description="residual blocks of the head")
    channels: Positive = Field(48, description="channels of the head")
    dropout: float = Field(0.25, ge=0, lt=1)
    pairs_per_batch: Positive = Field(
        1 << 18, description="padded residue pairs in one forward pass: bounds memory"
    )


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


@cache
def task_presets() -> dict[str, dict[str, Any]]:
    """The table of published tasks, resources/tasks.yaml: name -> values of `Task`."""
    path = Path(__file__).resolve().parents[2] / "resources" / "tasks.yaml"
    presets: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return presets


class Task(Section):
    """One downstream task."""

    preset: str | None = Field(
        None, description="a published protocol of resources/tasks.yaml; keys given here override"
    )
    kind: Literal["class", "multilabel", "scalar", "token", "pair", "pair_scalar", "pairwise"] = (
        Field(
            description="what a label is: a class, 0/1 labels, a number, one class a residue, the "
            "class or the number of two sequences, or an L x L map over one sequence"
        )
    )
    modality: Modality | None = Field(None, description="the run's modality must be this one")
    data: TaskData
    pairwise: Pairwise = Field(default_factory=Pairwise, description="for kind pairwise")
    metric: str | None = Field(None, description="primary metric; default: the set's first")
    mode: Literal["frozen", "finetune"] = Field(
        "frozen", description="the head alone on stored states, or head and encoder"
    )
    pooling: Literal["mean", "cls"] = "mean"
    classes: list[str] | None = Field(None, description="class names; default: those of train")
    n_labels: Positive | None = Field(None, description="labels of a multilabel task")
    head: Literal["linear", "pooler", "mlp"] = Field(
        "linear",
        description="linear probe, BEACON's pooler (linear, tanh, linear) or PEER's MLP (linear, "
        "ReLU, linear); kind pairwise has its own",
    )
    epochs: Positive = 30
    learning_rate: float = Field(1e-3, gt=0, description="of the head")
    encoder_rate: float = Field(
        0.1, gt=0, description="learning rate of the encoder over the head's (mode: finetune)"
    )
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0, description="optimiser steps with rising rate")
    clip_norm: float | None = Field(None, gt=0, description="gradient clipping; null = none")
    weight_decay: float = Field(0.01, ge=0)
    batch_size: Positive = Field(32, description="examples in one optimiser step")
    stop_on: Literal["loss", "metric"] = Field(
        "loss", description="what picks the best epoch on valid: the loss or the primary metric"
    )
    patience: Positive = Field(5, description="epochs without a better validation value")
    max_tokens: Positive = Field(1024, description="longest input, special tokens included")
    optional: bool = Field(
        False, description="left out, with a notice, where its files do not exist"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Put the preset's values under the given ones, section by section."""
        if not isinstance(values, dict) or values.get("preset") is None:
            return values
        preset = task_presets().get(values["preset"])
        if preset is None:
            raise ValueError(
                f"no task preset {values['preset']!r}; allowed: {', '.join(task_presets())}"
            )
        merged = {**preset, **values}
        for key in ("data", "pairwise"):
            if key in preset and isinstance(merged[key], dict):
                merged[key] = {**preset[key], **merged[key]}
        return merged

    @model_validator(mode="after")
    def _check(self) -> Task:
        if self.two_sequences != bool(self.data.sequence_b or self.data.fasta_b):
            raise ValueError(
                "kinds pair and pair_scalar, and only they, need data.sequence_b or data.fasta_b"
            )
        allowed = METRIC_NAMES[self.metrics]
        if self.metric not in (None, *allowed):
            raise ValueError(f"metric {self.metric!r} is not one of {', '.join(allowed)}")
        return self

    @property
    def two_sequences(self) -> bool:
        """Whether an example is a pair of sequences."""
        return self.kind in ("pair", "pair_scalar")

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
    def primary(self) -> str:
        """Name of the primary metric."""
        return self.metric or METRIC_NAMES[self.metrics][0]


class Evaluate(Section):
    """What every evaluation shares."""

    seeds: list[int] = Field([0, 1, 2], min_length=1)
    checkpoints: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$")], str] = Field(
        default_factory=dict,
        description="further Hugging Face checkpoint folders to evaluate: name in the table: path",
    )
    bootstrap: Positive = Field(1000, description="resamples of the test set")
    confidence: float = Field(0.95, gt=0, lt=1)
    tokens_per_batch: Positive = Field(
        16384, description="padded tokens in one forward pass: bounds memory"
    )
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")


class Report(Section):
    """What the page shows."""

    embedding_size: Positive = Field(2000, description="pool sequences in the map of embeddings")


class Config(Section):
    """The whole configuration of one run."""

    run: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="name; results go to results/{run}")
    modality: Modality
    seed: int = Field(42, ge=0)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    downloads: dict[str, Download] = Field(
        default_factory=dict,
        description="files, by path, that are fetched where corpus.fasta or a task names them and "
        "they are absent",
    )
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
    report: Report = Field(default_factory=Report)

    @model_validator(mode="after")
    def _check(self) -> Config:
        if self.influence.shards > self.corpus.blocks:
            raise ValueError(
                f"influence.shards {self.influence.shards} is above corpus.blocks "
                f"{self.corpus.blocks}"
            )
        for name, task in self.tasks.items():
            if task.modality not in (None, self.modality):
                raise ValueError(
                    f"tasks.{name}: a {task.modality} task, modality is {self.modality}"
                )
        if "kmer" in self.evaluate.checkpoints:
            raise ValueError("evaluate.checkpoints: kmer is the name of the baseline")
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
        fields = getattr(model, "model_fields", None)
        if fields is None:  # a mapping of sections, such as `tasks`
            model = get_args(model)[-1]
        elif part in fields:
            model = fields[part].annotation
        else:
            return ""
    fields = getattr(model, "model_fields", None)
    return f"; allowed: {', '.join(fields)}" if fields else ""
