"""A study as its page reads it: figures of every run on it, facts, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from coresift.report.cells import Cell
from coresift.report.controls import UNIGRAM, row_of
from coresift.report.results import results_table
from coresift.selection.names import budget_of, parse_coreset
from coresift.study.cells import cells_of, of_round
from coresift.study.decide import compared, decisions
from coresift.study.settings import Round
from coresift.study.tables import CORESET_TRAITS, MACRO

#: The round whose decisions count: planned, with seeds that no other round has.
FINAL = "finalists"
SCREEN = "screen"
#: One thing of the method is changed at a time.
ABLATIONS = "ablations"


@dataclass(frozen=True)
class Book:
    """One study.

    Attributes:
        runs: columns of `RUN`, of all variants.
        facts: of `facts.study_facts` by variant, "" the study's own.
    """

    runs: pl.DataFrame
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def own(self) -> Mapping[str, Any]:
        """The facts of the study's own run."""
        return self.facts[""]

    @property
    def study(self) -> Mapping[str, Any]:
        """The section `study` of its configuration."""
        found: Mapping[str, Any] = self.own["config"]["study"]
        return found

    @property
    def level(self) -> float:
        """Of the tests."""
        return round(1 - float(self.own["config"]["evaluate"]["confidence"]), 6)

    @property
    def group(self) -> str:
        """The grouping of the held-out sequences."""
        return str(self.study["group"])

    @cached_property
    def main(self) -> pl.DataFrame:
        """The figures of the study's own run."""
        return self.runs.filter(pl.col("variant") == "")

    @cached_property
    def rounds(self) -> dict[str, Round]:
        """The rounds that are planned, in the order of the configuration, those of tasks last."""
        planned = {name: Round(**self.study["rounds"][name]) for name in self.own["rounds"]}
        return dict(sorted(planned.items(), key=lambda item: bool(item[1].tasks)))

    @cached_property
    def coresets(self) -> dict[str, list[str]]:
        """The coresets of every round that is planned."""
        return {name: part.coresets() for name, part in self.rounds.items()}

    @cached_property
    def done(self) -> set[str]:
        """The coresets that a model was trained on and tested."""
        found = self.main.filter(pl.col("task").str.starts_with("heldout_"))["model"]
        return set(found.to_list())

    @cached_property
    def comparisons(self) -> pl.DataFrame:
        """Of `decide.compared`, of the study's own run."""
        return compared(self.main, {n: self.rounds[n] for n in self.started}, self.level)

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """Of `decide.decisions`."""
        return decisions(self.comparisons, float(self.study["share"]))

    def cells(self, part: str) -> list[Cell]:
        """The cells of a round."""
        return cells_of(of_round(self.main, self.rounds[part]))

    def results(self, part: str) -> pl.DataFrame:
        """Columns of `report.tables.RESULT`, of a round."""
        return results_table(self.cells(part), 1 - self.level, int(self.own["config"]["seed"]))

    def curves(self, part: str) -> pl.DataFrame:
        """Columns of `report.tables.RESULT`: losses of a round's selections by all their models.

        At every budget and with every seed of the study, whatever the round.
        """
        names = {row_of(name.rpartition("-s")[0]).selection for name in self.coresets[part]}
        losses = self.main.filter("primary", pl.col("task").str.starts_with("heldout_"))
        rows = losses.select(row=pl.col("model").str.replace(r"-s\d+$", ""))["row"]
        asked = [row_of(row).selection in names or row == UNIGRAM for row in rows]
        return results_table(
            cells_of(losses.filter(pl.Series(asked))),
            1 - self.level,
            int(self.own["config"]["seed"]),
        )

    def share_of_pool(self, budget: str) -> float:
        """Residues of a budget over those of the pool."""
        pool = self.own["pool"]
        mean = pool["residues"] / pool["sequences"]
        return float(budget_of(budget).residues(mean) / pool["residues"])

    @cached_property
    def started(self) -> list[str]:
        """The rounds that have been run in part or whole.

        One whose only models are those that another round has as well is not, but if it is whole.
        """
        others = {
            name: {c for n, planned in self.coresets.items() if n != name for c in planned}
            for name in self.coresets
        }
        return [
            name
            for name, planned in self.coresets.items()
            if self.done >= set(planned) or self.done & (set(planned) - others[name])
        ]

    def trait(self, name: str) -> dict[str, float]:
        """A trait of the coresets, means over seeds, by row."""
        rows = self.main.filter(pl.col("task") == CORESET_TRAITS, pl.col("metric") == name)
        return {
            row: float(mean)
            for row, mean in rows.group_by(
                row=pl.col("model").str.replace(r"-s\d+$", ""), maintain_order=True
            )
            .agg(pl.col("value").mean())
            .rows()
        }

    def learnt(self) -> pl.DataFrame:
        """Of random, by budget: the loss on each group, and that of the group's own letters.

        Returns:
            Columns budget, group, letters, loss, gain (letters - loss), learnt; over all seeds.
        """
        prefix = f"loss_{self.group}="
        rows = self.main.filter(
            pl.col("task") == "heldout_pool", pl.col("metric").str.starts_with(prefix)
        ).with_columns(group=pl.col("metric").str.strip_prefix(prefix))
        letters = rows.filter(pl.col("model") == "unigram").select("group", letters="value")
        drawn = rows.filter(pl.col("model").str.starts_with("random-"))
        named = drawn.with_columns(
            budget=pl.col("model").map_elements(lambda n: str(parse_coreset(n)[1]), pl.String)
        )
        means = named.group_by("budget", "group", maintain_order=True).agg(
            loss=pl.col("value").mean()
        )
        joined = means.join(letters, on="group", how="left", maintain_order="left")
        return joined.select(
            "budget", "group", "letters", "loss", gain=pl.col("letters") - pl.col("loss")
        ).with_columns(learnt=pl.col("gain") >= float(self.study["learnt"]))

    def outcomes(self, part: str) -> list[str]:
        """The tasks that a round's models were measured on, held-out sets first."""
        rows = of_round(self.main, self.rounds[part]).filter(
            pl.col("model").is_in(self.coresets[part])
        )
        return rows["task"].unique(maintain_order=True).to_list()


def by_budget(names: pl.Series) -> pl.Series:
    """Budgets of rows' names, as text."""
    return names.map_elements(lambda name: str(row_of(name).budget), pl.String)


def title_of(task: str) -> str:
    """An outcome as a reader meets it."""
    if not task.startswith("heldout_"):
        return task
    name = task.removeprefix("heldout_")
    whole = name.removesuffix(MACRO)
    return f"loss, {whole}, mean over groups" if name != whole else f"loss, {whole}"
