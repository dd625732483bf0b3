"""Settings of selection: strategies, budgets, seeds, CCI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coresift.settings import Positive, Section, plain

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


class Cci(Section):
    """Coverage-centric influence (paper, section 3.3)."""

    prune_hard: float = Field(
        0.1, ge=0.0, lt=1.0, description="share of the most influential dropped first (beta)"
    )
    n_strata: Positive = Field(50, description="strata that the rest is cut into")
    scale: Literal["raw", "log", "rank"] = Field(
        "raw", description="of the scores, before they are cut; log needs positive scores"
    )
    strata: Literal["equal_width", "equal_mass"] = Field(
        "equal_width", description="bins of one width, or of one number of sequences (quantiles)"
    )


class Selection(Section):
    """Which coresets are drawn."""

    strategies: list[Strategy] = Field(
        ["top_influence", "cci", "random", "random_tokens"],
        min_length=1,
        description="ways to draw; random_tokens and random_length are matched to top_influence",
    )
    budgets: list[Positive] = Field([200_000], min_length=1, description="sequences in a coreset")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [0, 1, 2], min_length=1, description="draws, one pretraining each"
    )
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
