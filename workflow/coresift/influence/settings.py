"""Settings of influence: what is scored, by which loss and curvature."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coresift.settings import Positive, Section

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

    parameters: Parameters | None = Field(None, description="as influence.parameters")
    loss: Loss | None = Field(
        None, description="as influence.loss; another loss is another pass over the pool"
    )
    curvature: Curvature | None = Field(None, description="as influence.curvature")
    damping: float | None = Field(None, gt=0, description="as influence.damping")
    damping_mode: DampingMode | None = Field(None, description="as influence.damping_mode")


class Influence(Section):
    """Self-influence I(z) = g^T (F + damping)^-1 g."""

    parameters: Parameters = Field(
        "head", description="'head', 'linear', or a list of parameter-name patterns (fnmatch)"
    )
    loss: Loss = Field(
        "unmasked",
        description="unmasked = over every residue of the plain input, as the published code; "
        "masked = over the masked residues, as in training",
    )
    n_masks: Positive = Field(4, description="seeded masks per sequence, for loss: masked")
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
