"""Settings of the three trainings: base, fine-tuning, pretraining."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from coresift.models.settings import Preset
from coresift.settings import FilePath, Fraction, InputLength, Positive, Precision, Section


class Base(Section):
    """The model that is fine-tuned on D_sub and scored."""

    checkpoint: FilePath | None = Field(
        None, description="Hugging Face directory; null = pretrain `preset` from scratch"
    )
    preset: Preset = Field(
        "tiny",
        description="name of a file in resources/models, or path of a "
        "config.json of an encoder trained by masking, as transformers writes it (not of one in "
        "which padding reaches residues)",
    )
    size: Positive | None = Field(
        None,
        description="sequences that a base made from scratch is pretrained on, a seeded sample of "
        "the pool with D_sub in it; default: D_sub, which teaches a large model little",
    )
    warmup_epochs: float = Field(
        2.0, ge=0, description="epochs over these sequences for a base made from scratch"
    )
    warmup_learning_rate: float = Field(
        1e-3, gt=0, description="peak learning rate of a base made from scratch"
    )
    precision: Precision = Field(
        "float32", description="of a base made from scratch; bf16 = autocast (GPU)"
    )

    @model_validator(mode="after")
    def _check(self) -> Base:
        if self.size is not None and self.checkpoint is not None:
            raise ValueError("size is of a base made from scratch; with checkpoint leave it out")
        return self


class Optimisation(Section):
    """What every training run shares."""

    learning_rate: float = Field(5e-4, gt=0, description="peak; a cosine leads to a tenth of it")
    weight_decay: float = Field(0.01, ge=0, description="AdamW; not of biases and norms")
    warmup_fraction: Fraction = Field(0.05, description="share of steps with rising rate")
    tokens_per_step: Positive = Field(8192, description="residues in one optimiser step, exactly")
    tokens_per_batch: Positive = Field(
        8192, description="padded tokens in one forward pass: bounds memory"
    )
    mask_fraction: float = Field(
        0.15, gt=0, lt=1, description="share of the residues that the loss is on"
    )
    max_tokens: InputLength = Field(1024, description="longest input, special tokens included")
    clip_norm: float = Field(1.0, gt=0, description="gradient clipping")
    checkpoint_steps: Positive = Field(500, description="steps between resumable checkpoints")
    threads: Positive = Field(1, description="CPU threads; part of the result's bits")


class Finetune(Optimisation):
    """Fine-tuning on D_sub before scoring."""

    epochs: float = Field(1.0, ge=0, description="0 = the ablation 'without fine-tuning'")
    learning_rate: float = Field(1e-4, gt=0, description="peak; a cosine leads to a tenth of it")
    precision: Precision = Field("float32", description="bf16 = autocast (GPU)")


class Pretrain(Optimisation):
    """Pretraining from scratch on each coreset."""

    preset: Preset = Field(
        "tiny",
        description="name of a file in resources/models, or path of a "
        "config.json of an encoder trained by masking, as transformers writes it (not of one in "
        "which padding reaches residues)",
    )
    epochs: float = Field(10.0, gt=0, description="passes over a coreset, see compute")
    residues: Positive | None = Field(
        None,
        description="residues of every training, whatever its budget: epochs is not read. Budgets "
        "are then comparable with each other, a small one is read more often",
    )
    compute: Literal["equal_tokens", "equal_epochs"] = Field(
        "equal_tokens",
        description="equal_tokens: every coreset of a budget trains on the same number of "
        "residues and steps (epochs x the budget's: of sequences, x mean length of the pool)",
    )
    precision: Precision = Field("float32", description="bf16 = autocast (GPU)")
    validation_points: int = Field(
        8,
        ge=0,
        description="steps, evenly spaced and the last one included, after which the loss on "
        "held-out sequences of the pool is measured, at mask_fraction; 0 = none",
    )
    validation_sequences: Positive = Field(
        256, description="held-out sequences that a validation point reads, a seeded sample"
    )

    @model_validator(mode="after")
    def _check(self) -> Pretrain:
        if self.residues is not None and self.compute != "equal_tokens":
            raise ValueError("residues: the same for all is compute: equal_tokens")
        return self

    @property
    def seen(self) -> dict[str, float]:
        """What says how much a training sees: residues, or epochs of a budget."""
        return {"epochs": self.epochs} if self.residues is None else {"residues": self.residues}

    def total(self, budget_residues: float) -> float:
        """Residues of a training at equal residues, given those of its budget."""
        return self.epochs * budget_residues if self.residues is None else self.residues
