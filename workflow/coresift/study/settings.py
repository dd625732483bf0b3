"""Settings of the study: rounds of selections that are trained on and compared."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from coresift.selection.names import coreset_name
from coresift.selection.settings import (
    BudgetSetting,
    Control,
    SelectionName,
    check_distinct,
    with_controls,
)
from coresift.settings import FilePath, Section

RoundName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Round(Section):
    """Selections x budgets x seeds; comparisons are made within a round, on its own seeds."""

    strategies: list[SelectionName] = Field(
        min_length=1, description="selections, as selection.strategies"
    )
    controls: list[Control] = Field(
        default_factory=list, description="matched controls of each, as selection.controls"
    )
    budgets: list[BudgetSetting] = Field(min_length=1, description="as selection.budgets")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        min_length=1, description="of the draws and the models"
    )
    tasks: list[str] = Field(
        default_factory=list, description="tasks of `tasks` that each model is tested on"
    )

    @model_validator(mode="after")
    def _check(self) -> Round:
        check_distinct(self, ("strategies", "budgets", "seeds", "tasks"))
        return self

    @property
    def names(self) -> list[str]:
        """The selections and their controls."""
        return with_controls([*self.strategies], self.controls)

    def coresets(self) -> list[str]:
        """Names of all coresets of the round."""
        return [
            coreset_name(selection, budget, seed)
            for budget in self.budgets
            for selection in self.names
            for seed in self.seeds
        ]


class Study(Section):
    """The study of `make study` (docs/study): its rounds, and how they are judged."""

    rounds: dict[RoundName, Round] = Field(
        default_factory=dict,
        description="by name, each the target study_NAME; a coreset that is in two is made once",
    )
    group: str = Field(
        "source",
        pattern=r"^[a-z0-9_]+$",
        description="grouping of the held-out sequences: the macro mean, and which are learnt",
    )
    learnt: float = Field(
        0.03,
        ge=0,
        description="nats below the loss of a group's own letter frequencies from which on it "
        "counts as learnt",
    )
    share: float = Field(
        0.5,
        ge=0,
        description="of what ten times the sequences give random at equal residues: a selection "
        "that helps gains more than this",
    )
    finalists: int = Field(
        4, ge=1, description="selections of the round `screen` that its gains choose"
    )
    beside: dict[RoundName, str | None] = Field(
        default_factory=dict,
        description="other runs on the same page by label, such as an ablation that needs a run "
        "of its own: read where results/{run}/study has them; null = not read",
    )
    kept: FilePath | None = Field(
        None,
        description="folder of an earlier page of this study (runs.parquet, facts.json): figures "
        "of models, runs beside and checks that are not here any more, such as another machine's",
    )

    @model_validator(mode="after")
    def _check(self) -> Study:
        if "runs" in self.rounds:
            raise ValueError("rounds.runs: this name is taken, by the rule study_runs")
        return self

    def kept_files(self) -> list[str]:
        """What the earlier page that is kept was made of."""
        files = ("runs.parquet", "facts.json")
        return [] if self.kept is None else [f"{self.kept}/{file}" for file in files]
