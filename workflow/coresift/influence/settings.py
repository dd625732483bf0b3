"""Settings of influence: what is scored, by which loss and curvature."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coresift.settings import FilePath, InputLength, Positive, Section

Parameters = Literal["head", "linear"] | Annotated[list[str], Field(min_length=1)]


Loss = Literal["masked", "unmasked"]


Curvature = Literal["diag_fisher", "identity", "kfac", "ekfac"]


DampingMode = Literal["relative", "absolute"]


Per = Literal["sequence", "residue"]


Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


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
    "per": "sequence",
    "ambiguous": "count",
}


class Variant(Section):
    """A further score; what is not given is as in the main one."""

    parameters: Parameters | None = Field(None, description="as influence.parameters")
    loss: Loss | None = Field(
        None, description="as influence.loss; another loss is another pass over the pool"
    )
    curvature: Curvature | None = Field(None, description="as influence.curvature")
    damping: float | None = Field(None, gt=0, description="as influence.damping")
    damping_mode: DampingMode | None = Field(None, description="as influence.damping_mode")
    per: Per | None = Field(None, description="as influence.per")


class Target(Section):
    """A set V that pretraining should serve: one of fasta, task and heldout."""

    fasta: FilePath | None = Field(None, description="a FASTA file, such as a family of your own")
    task: str | None = Field(None, description="the inputs of a task of `tasks`, labels aside")
    split: Literal["train", "valid"] | None = Field(
        None,
        description="of the task, default train; never test, which the results are measured on",
    )
    heldout: str | None = Field(None, description="a held-out set: pool, or one of heldout.files")
    size: Positive = Field(
        20_000, description="most sequences whose gradients are averaged, a seeded sample"
    )

    @model_validator(mode="after")
    def _check(self) -> Target:
        given = [name for name in ("fasta", "task", "heldout") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of fasta, task, heldout; given: {given or 'none'}")
        if self.split is not None and self.task is None:
            raise ValueError("split: goes with task")
        return self


class Influence(Section):
    """Self-influence I(z) = g^T (F + damping)^-1 g."""

    parameters: Parameters = Field(
        "head", description="'head', 'linear', or a list of parameter-name patterns (fnmatch)"
    )
    loss: Loss = Field(
        "masked",
        description="masked = over the masked residues, as in training; unmasked = over every "
        "residue of the plain input, as the published code: finds low complexity (docs/study)",
    )
    n_masks: Positive = Field(
        1, description="seeded masks per sequence, for loss: masked; each is a pass over the pool"
    )
    mask_fraction: float = Field(
        0.15, gt=0, lt=1, description="share of the residues in a mask, for loss: masked"
    )
    curvature: Curvature = Field(
        "diag_fisher",
        description="diag_fisher = the paper's; identity = squared gradient norm; kfac, ekfac = "
        "Kronecker-factored, see influence/kronecker.py",
    )
    damping: float = Field(0.1, gt=0, description="added to the curvature before it is inverted")
    damping_mode: DampingMode = Field(
        "relative", description="relative = times the mean eigenvalue, for diag_fisher mean diag(F)"
    )
    preset: Literal["reference"] | None = Field(
        None, description="'reference' reproduces the published code's scores"
    )
    per: Per = Field(
        "sequence",
        description="of the column influence. sequence = g of the mean loss, as the paper; residue "
        "= times the counted tokens: what a residue of budget buys, which leans less on length",
    )
    ambiguous: Literal["skip", "count"] = Field(
        "skip",
        description="skip = the loss is over canonical residues only: no ambiguity code, unknown "
        "or special token is predicted or masked; count = over every token, as the published code",
    )
    variants: dict[Name, Variant] = Field(
        default_factory=dict,
        description="further scores by name, a column of scores.parquet each. Those of one loss "
        "share its pass over the shard: only the inverse curvature differs, not the gradient",
    )
    targets: dict[Name, Target] = Field(
        default_factory=dict,
        description="influence on sets of sequences by name, a column target_NAME each: g_V^T C g, "
        "g_V the mean of the set's gradients by the main score's loss, parameters and curvature",
    )
    shards: Positive = Field(
        8,
        description="scoring jobs: each loads the model once for its run of corpus.blocks; does "
        "not change any result, and a change of it scores nothing again (run `scores` first: "
        "nothing is drawn and trained again)",
    )
    fisher_shards: Positive = Field(
        1, le=64, description="jobs over D_sub for the Fisher; does not change any result"
    )
    tokens_per_batch: Positive = Field(16384, description="padded tokens in one forward pass")
    max_tokens: InputLength = Field(
        1024,
        description="longest input, special tokens included; of a base from scratch at most "
        "finetune.max_tokens, unless positions are rotary",
    )
    precision: Literal["float32", "bf16", "float64"] = Field(
        "float32", description="bf16 = autocast with float32 accumulation (GPU)"
    )
    compile: bool = Field(
        False, description="torch.compile of the encoder, for parameters: head; part of the bits"
    )
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        reference = isinstance(values, dict) and values.get("preset") == "reference"
        return {**REFERENCE, **values} if reference else values

    @model_validator(mode="after")
    def _check(self) -> Influence:
        if self.preset is not None:
            for key, value in REFERENCE.items():
                if getattr(self, key) != value:
                    raise ValueError(
                        f"preset: {self.preset} fixes {key}: {value}, not {getattr(self, key)}; "
                        "leave it out"
                    )
            if self.variants:
                raise ValueError(f"preset: {self.preset} allows no variants")
        # Compiled code would not see the hooks on layers inside the encoder.
        if self.compile and any(score.parameters != "head" for score in self.scores().values()):
            raise ValueError("compile: needs parameters: head in every score")
        return self

    def scores(self) -> dict[str, Influence]:
        """The section of every score by name, the main one's `influence` first."""
        changes = {n: variant.model_dump(exclude_none=True) for n, variant in self.variants.items()}
        return {"influence": self, **{n: self.model_copy(update=c) for n, c in changes.items()}}

    def target_columns(self) -> list[str]:
        """The column of every target."""
        return [f"target_{name}" for name in self.targets]

    def columns(self) -> list[str]:
        """Columns of the score table beside those of `tables.SCORE`."""
        return [*self.variants, *self.target_columns()]

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
