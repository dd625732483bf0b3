"""Settings of the validation: does a score mean anything?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from coresift.influence.settings import Curvature, Influence, Loss, Parameters
from coresift.models.settings import Preset
from coresift.selection.names import DECILES, Budget
from coresift.selection.settings import BudgetSetting
from coresift.settings import Fraction, Positive, Section
from coresift.training.settings import Optimisation
from coresift.validate.tables import CONTROL, parameters_text


def _distinct(values: list[Any]) -> list[Any]:
    if any(value in values[:i] for i, value in enumerate(values)):
        raise ValueError(f"a value twice: {values}")
    return values


Distinct = AfterValidator(_distinct)
Seed = Annotated[int, Field(ge=0)]
Seeds = Annotated[list[Seed], Field(min_length=1), Distinct]


def own_way(influence: Influence) -> dict[str, str]:
    """Loss, parameters and curvature of a run's main score, as columns of `tables.WAY`."""
    parameters = parameters_text(influence.parameters)
    return {"loss": influence.loss, "parameters": parameters, "curvature": influence.curvature}


class Retraining(Optimisation):
    """The small models that are trained anew, for the datamodelling score and leave-one-out."""

    preset: Preset = Field("tiny", description="model preset, a file in resources/models")
    learning_rate: float = Field(1e-3, gt=0, description="peak; a cosine leads to a tenth of it")


class Datamodel(Section):
    """Linear datamodelling score: predicted and real held-out loss of models of random subsets."""

    sequences: int = Field(500, ge=4, description="the small pool: a seeded sample of the pool")
    subsets: int = Field(64, ge=3, description="random subsets, each trained on; 40 or more")
    share: float = Field(0.5, gt=0, lt=1, description="of the small pool in a subset")
    seeds: Seeds = Field(
        [0, 1],
        description="retrainings of each subset, averaged; with one alone the page cannot say how "
        "noisy a retraining is",
    )
    epochs: float = Field(
        10.0, gt=0, description="passes over a subset of mean size: the same residues for each"
    )


class LeaveOneOut(Section):
    """A tiny pool, trained on with and without each of its sequences."""

    sequences: int = Field(24, ge=3, description="the tiny pool: a seeded sample of the pool")
    seeds: Seeds = Field([0, 1, 2], description="repeats: how noisy a difference is")
    epochs: float = Field(30.0, gt=0, description="passes over the tiny pool")


@dataclass(frozen=True)
class Setting:
    """What the scores of Assumption 1 should not hang on.

    Attributes:
        seed: of base and fine-tuning. draw: seed of D_sub. size: sequences of D_sub. width: of the
            base, as a multiple of the preset's. epochs: of fine-tuning.
    """

    seed: int
    draw: int
    size: int
    width: float
    epochs: float

    @property
    def name(self) -> str:
        """A name for files: s42-d42-n1000-w1-e1."""
        return f"s{self.seed}-d{self.draw}-n{self.size}-w{self.width:g}-e{self.epochs:g}"


class Stability(Section):
    """Assumption 1: whether scores stay when what they should not hang on changes.

    Each setting changes one thing of the run's own, but `seeds`, which change all draws.
    """

    sequences: int = Field(5000, ge=10, description="a seeded sample of the pool, scored each time")
    draws: Annotated[list[Seed], Distinct] = Field(
        [1, 2], description="other seeds of D_sub alone: base and fine-tuning as they are"
    )
    seeds: Annotated[list[Seed], Distinct] = Field(
        [1, 2], description="other seeds of D_sub, base and fine-tuning together"
    )
    sizes: Annotated[list[Annotated[float, Field(gt=0)]], Distinct] = Field(
        [0.25, 0.5],
        description="other sizes of D_sub, as multiples of subset.size, fine-tuned for as many "
        "steps",
    )
    epochs: Annotated[list[Annotated[float, Field(ge=0)]], Distinct] = Field(
        [0.0, 1.0, 3.0], description="other lengths of fine-tuning"
    )
    widths: Annotated[list[Annotated[float, Field(gt=0)]], Distinct] = Field(
        [0.5, 2.0],
        description="other widths of the base, as multiples of the preset's: the proxy question; "
        "not where base.checkpoint is given",
    )
    top: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Distinct] = Field(
        [0.02, 0.1, 0.5], description="shares of the sample whose overlap is told"
    )
    length_bins: Positive = Field(
        20, description="bins of equal count, where length is taken out of a comparison"
    )

    def changes(self, reference: Setting, from_scratch: bool) -> list[tuple[str, float, Setting]]:
        """What is changed, to what value, and the setting that it makes; the run's own left out.

        Args:
            reference: the run's own setting.
            from_scratch: whether the base is made here, and can be made in another width.
        """
        sizes = [(size, max(1, round(size * reference.size))) for size in self.sizes]
        wanted: list[tuple[str, float, dict[str, Any]]] = [
            *(("subset", seed, {"draw": seed}) for seed in self.draws),
            *(("all seeds", seed, {"seed": seed, "draw": seed}) for seed in self.seeds),
            *(
                ("subset size", size, {"size": count, "epochs": reference.epochs / size})
                for size, count in sizes
            ),
            *(("fine-tuning epochs", epochs, {"epochs": epochs}) for epochs in self.epochs),
            *(("base width", width, {"width": width}) for width in self.widths if from_scratch),
        ]
        made = [(factor, value, replace(reference, **changed)) for factor, value, changed in wanted]
        return [row for row in made if row[2] != reference]


class Validate(Section):
    """The target `validate`: does a score mean anything? (docs/validate.md)."""

    scores: Annotated[list[str], Distinct] = Field(
        ["influence"],
        description="scores whose ten deciles are each pretrained on (ten coresets a score, budget "
        "and seed); [] = none",
    )
    budget: BudgetSetting | None = Field(
        None,
        description="what is drawn of each decile, as selection.budgets, at most a tenth of the "
        "pool; null = the smallest of selection.budgets, in sequences if one is",
    )
    lds: Datamodel | None = Field(
        default_factory=Datamodel, description="linear datamodelling score; null = left out"
    )
    loo: LeaveOneOut | None = Field(
        default_factory=LeaveOneOut, description="leave-one-out; null = left out"
    )
    stability: Stability | None = Field(
        default_factory=Stability, description="Assumption 1; null = left out"
    )
    training: Retraining = Field(
        default_factory=Retraining, description="of the small models of lds and loo"
    )
    heldout: str = Field("pool", description="held-out set V that lds and loo are tested on")
    heldout_size: Positive = Field(500, description="most sequences of V, a seeded sample")
    models: Annotated[list[Literal["pool", "finetuned"]], Distinct] = Field(
        ["pool", "finetuned"],
        min_length=1,
        description="whose gradients predict: pool = the small models of the whole small pool, one "
        "a seed, averaged, its curvature over that pool; finetuned = the model that the run's "
        "scores are of, its curvature over D_sub",
    )
    losses: Annotated[list[Loss], Distinct] = Field(
        ["masked", "unmasked"], min_length=1, description="as influence.loss, each tried"
    )
    parameters: Annotated[list[Parameters], Distinct] = Field(
        ["head", "linear"], min_length=1, description="as influence.parameters, each tried"
    )
    curvatures: Annotated[list[Curvature], Distinct] = Field(
        ["identity", "diag_fisher", "kfac", "ekfac"],
        min_length=1,
        description="as influence.curvature, each tried",
    )
    damping: Annotated[list[Annotated[float, Field(gt=0)]], Distinct] = Field(
        [0.01, 0.1, 1.0],
        min_length=1,
        description="relative dampings, each tried with each curvature but identity",
    )
    jobs: Positive = Field(
        8, description="jobs that share the retrainings of a check; does not change any result"
    )
    bootstrap: Positive = Field(2000, description="resamples of an interval")
    confidence: Fraction = Field(0.95, description="of the intervals")

    def decile_budget(self, budgets: list[Budget]) -> Budget:
        """Budget of the coresets of the decile curve, given those of `selection`."""
        if self.budget is not None:
            return self.budget
        return min(budgets, key=lambda budget: (budget.unit != "sequences", budget.amount))

    def deciles(self) -> list[str]:
        """Selections of the decile curve: every tenth of every score, then the random control."""
        tenths = [f"{name}.{score}" for score in self.scores for name in DECILES]
        return [*tenths, CONTROL] if tenths else []

    def samples(self) -> dict[str, int]:
        """Sequences in the sample of the pool of each check that is not left out."""
        found = {"lds": self.lds, "loo": self.loo, "stability": self.stability}
        return {name: section.sequences for name, section in found.items() if section is not None}

    def retrained(self) -> dict[str, Datamodel | LeaveOneOut]:
        """The checks that train small models anew, those left out aside."""
        found: dict[str, Datamodel | LeaveOneOut | None] = {"lds": self.lds, "loo": self.loo}
        return {name: section for name, section in found.items() if section is not None}
