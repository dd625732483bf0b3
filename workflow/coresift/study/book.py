"""A study as its page reads it: figures of every run on it, facts, and what follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
from scipy import stats

from coresift.report.cells import Cell
from coresift.report.comparisons import comparisons_table
from coresift.report.controls import REGIME, UNIGRAM, row_of
from coresift.report.results import results_table
from coresift.selection.names import budget_of, without_seed
from coresift.study.cells import HELD_OUT, ROW, by_budget, by_selection, cells_of, of_round
from coresift.study.decide import changes, compared, decisions
from coresift.study.disguise import traits_table
from coresift.study.settings import Round
from coresift.study.tables import CORESET_TRAITS, MACRO

#: Rounds whose decisions count: planned, with seeds that no other round has. The second has again
#: what the first leaves undecided, with the seeds that the difference asked for takes.
FINAL = "finalists"
POWER = "power"
DECISIVE = (FINAL, POWER)
SCREEN = "screen"
#: One thing of the method is changed at a time.
ABLATIONS = "ablations"
#: The finalists at the other budgets, without their controls: the curve.
SCALING = "scaling"
#: The outcome on the held-out set that is of the pool, whose losses by group are there.
POOL_SET = "heldout_pool"


#: Sections of a configuration that decide what is trained on at random and tested: where a run
#: beside shares them, its models differ from the study's in how sequences were chosen alone.
TRAINED = ("seed", "modality", "corpus", "decontaminate", "heldout", "pretrain")
#: Sections that decide what the scores are, but for what `influence` only adds or cuts into jobs.
SCORED = ("subset", "base", "finetune", "influence")
_ADDED = {"variants", "targets", "shards", "fisher_shards"}


@dataclass(frozen=True)
class Book:
    """One study.

    Attributes:
        runs: columns of `RUN`, of all variants.
        facts: of `facts.study_facts` by variant in order of their names, "" the study's own, first.
    """

    runs: pl.DataFrame
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def own(self) -> Mapping[str, Any]:
        """The facts of the study's own run."""
        return self.facts[""]

    @cached_property
    def checks(self) -> dict[str, pl.DataFrame]:
        """The tables of the validation, by name."""
        return {
            name: pl.DataFrame(rows, infer_schema_length=None)
            for name, rows in self.own["validate"].items()
        }

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
        return self.figures("")

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
        return self.tested("")

    def tested(self, label: str) -> set[str]:
        """The models of a variant that were tested on held-out sequences."""
        return set(self.figures(label).filter(HELD_OUT)["model"].to_list())

    def models(self, part: str, task: str | None = None) -> set[str]:
        """The coresets of a round whose models are there, tested on a task if one is given."""
        found = self.done & set(self.coresets[part])
        if task is not None:
            found &= set(self.main.filter(pl.col("task") == task)["model"].to_list())
        return found

    @cached_property
    def comparisons(self) -> pl.DataFrame:
        """Of `decide.compared`, of the study's own run."""
        return compared(self.main, {n: self.rounds[n] for n in self.started}, self.level)

    def at_level(self, part: str, level: float) -> pl.DataFrame:
        """The comparisons of a round at another level: `detectable` hangs on it."""
        return compared(self.main, {part: self.rounds[part]}, level)

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """Of `decide.decisions`; no claim rests on tasks."""
        claimed = [name for name, part in self.rounds.items() if not part.tasks]
        of_these = self.comparisons.filter(pl.col("round").is_in(claimed))
        return decisions(of_these, float(self.study["share"]), self.rounds)

    @property
    def in_order(self) -> list[str]:
        """The rounds there are, those which count first."""
        return [*self.decisive, *(name for name in self.started if name not in DECISIVE)]

    @property
    def decisive(self) -> list[str]:
        """The rounds there are whose decisions count."""
        return [name for name in DECISIVE if name in self.started]

    @cached_property
    def traits(self) -> pl.DataFrame:
        """Of `disguise.traits_table`."""
        return traits_table(self.comparisons, self.in_order, self.trait)

    @cached_property
    def regime(self) -> pl.DataFrame:
        """More sequences against random at equal residues (columns of `COMPARISON`).

        Of all models of these in the study, each once, whatever its round: one family an outcome.
        A budget that training does not read once is left out, for more of it is not read either.
        """
        losses = self.main.filter(HELD_OUT)

        def of_these(name: str) -> bool:
            row = row_of(name)
            passes = None if row.budget is None else self.passes(str(row.budget))
            return row.kind in ("random", *REGIME) and (passes is None or passes >= 1)

        asked = [of_these(row) for row in losses.select(row=ROW)["row"]]
        kept = losses.filter(pl.Series(asked, dtype=pl.Boolean))
        table = comparisons_table(cells_of(kept), self.level)
        return table.filter(pl.col("role") == "regime")

    @cached_property
    def beside(self) -> list[tuple[str, str, Round]]:
        """Variant, name and plan of every round of the runs beside."""
        return [
            (label, name, Round(**part))
            for label, facts in self.facts.items()
            for name, part in facts["config"]["study"]["rounds"].items()
            if label and not part["tasks"]  # which are of the study's own models
        ]

    def figures(self, label: str) -> pl.DataFrame:
        """The figures of a variant."""
        return self.runs.filter(pl.col("variant") == label)

    def trained_alike(self, label: str) -> bool:
        """Whether a run beside has the study's pool, held-out sequences and training."""
        return self._shares(label, TRAINED)

    @cached_property
    def redraws(self) -> list[str]:
        """The runs beside in which D_sub is drawn anew and nothing else is changed."""
        return [
            label
            for label, facts in self.facts.items()
            if label
            and _subset_seed(facts) != _subset_seed(self.own)
            and self._shares(label, (*TRAINED, *SCORED), {"seed"})
        ]

    def _shares(
        self, label: str, sections: Sequence[str], but: Collection[str] = frozenset()
    ) -> bool:
        """Whether a run beside has sections of the study's configuration, but for keys of D_sub."""
        left = {"subset": but, "influence": _ADDED}
        return not differing(self.facts[label], self.own, sections, left)

    @cached_property
    def changes(self) -> pl.DataFrame:
        """What one changed thing does (`decide.changes`), here and in the runs beside.

        Where a round was trained otherwise, such as at equal epochs, it is no such change.
        """
        planned = self.rounds.get(ABLATIONS)
        if planned is None:
            return changes({}, self.level)
        found = {"": self.cells(ABLATIONS)}
        for label, _, part in self.beside:
            asked = (part.budgets, part.seeds) == (planned.budgets, planned.seeds)
            if asked and self.trained_alike(label):
                # Of two rounds that share a selection, once.
                known = {(cell.task, cell.selection) for cell in found.get(label, ())}
                own = cells_of(of_round(self.figures(label), part))
                new = [cell for cell in own if (cell.task, cell.selection) not in known]
                found.setdefault(label, []).extend(new)
        return changes(found, self.level, self.redraws)

    def cells(self, part: str) -> list[Cell]:
        """The cells of a round."""
        return cells_of(of_round(self.main, self.rounds[part]))

    def results(self, part: str) -> pl.DataFrame:
        """Columns of `report.tables.RESULT`, of a round."""
        return results_table(self.cells(part), 1 - self.level, int(self.own["config"]["seed"]))

    def curves(self, part: str) -> pl.DataFrame:
        """Columns of `report.tables.RESULT`: losses of a round's selections at every budget.

        At a budget of the round by its own models, else by those of all other rounds.
        """
        own = set(self.coresets[part]) & self.done
        rows = set(map(without_seed, own))
        names = {row_of(without_seed(name)).selection for name in self.coresets[part]}
        losses = self.main.filter("primary", HELD_OUT)

        def asked(model: str) -> bool:
            row = without_seed(model)
            shown = row == UNIGRAM or row_of(row).selection in names
            return shown and (row not in rows or model in own)

        kept = losses.filter(pl.Series(map(asked, losses["model"]), dtype=pl.Boolean))
        return results_table(cells_of(kept), 1 - self.level, int(self.own["config"]["seed"]))

    @property
    def mean_length(self) -> float:
        """Of the sequences of the pool, residues."""
        return float(self.own["pool"]["residues"] / self.own["pool"]["sequences"])

    def share_of_pool(self, budget: str) -> float:
        """Residues of a budget over those of the pool."""
        return budget_of(budget).residues(self.mean_length) / float(self.own["pool"]["residues"])

    def passes(self, budget: str) -> float | None:
        """How often a model reads a coreset; null where training is said in epochs."""
        residues = self.own["config"]["pretrain"]["residues"]
        return None if residues is None else residues / budget_of(budget).residues(self.mean_length)

    @cached_property
    def started(self) -> list[str]:
        """The rounds that have been run in part or whole.

        One whose only models are those that another round has as well is not, but if it is whole;
        one of tasks, whose models are other rounds', is if any of them was tested on one.
        """
        found = []
        losses = {n: names for n, names in self.coresets.items() if not self.rounds[n].tasks}
        for name, planned in self.coresets.items():
            if self.rounds[name].tasks:
                if self.tasks_done(name):
                    found.append(name)
                continue
            own = self.models(name)
            others = {c for n, names in losses.items() if n != name for c in names}
            if own >= set(planned) or own & (set(planned) - others):
                found.append(name)
        return found

    def tasks_done(self, part: str) -> list[str]:
        """The tasks of a round that any of its models was tested on."""
        own = self.main.filter(pl.col("model").is_in(self.coresets[part]))["task"].unique()
        return [task for task in self.rounds[part].tasks if task in own]

    def trait(self, name: str) -> dict[str, float]:
        """A trait of the coresets, means over seeds, by row."""
        rows = self.main.filter(pl.col("task") == CORESET_TRAITS, pl.col("metric") == name)
        return {
            row: float(mean)
            for row, mean in rows.group_by(row=ROW, maintain_order=True)
            .agg(pl.col("value").mean())
            .rows()
        }

    @cached_property
    def by_group(self) -> pl.DataFrame:
        """`groups` of the study's own run."""
        return self.groups("")

    def group_losses(self, label: str) -> pl.DataFrame:
        """The loss of every model of a variant on each group: columns model, row, group, loss."""
        prefix = f"loss_{self.group}="
        rows = self.figures(label).filter(
            pl.col("task") == POOL_SET, pl.col("metric").str.starts_with(prefix)
        )
        return rows.select(
            "model", row=ROW, group=pl.col("metric").str.strip_prefix(prefix), loss="value"
        )

    def groups(self, label: str) -> pl.DataFrame:
        """By row and group of a variant: the loss on the group, and that of the group's letters.

        Returns:
            Columns selection, budget, group, letters, loss, gain (letters - loss), low, high (of
            the gain, over seeds; null of one), learnt; over all seeds of the run.
        """
        rows = self.group_losses(label)
        letters = rows.filter(pl.col("model") == UNIGRAM).select("group", letters="loss")
        trained = rows.filter(pl.col("model").is_in(self.tested(label)))
        means = trained.group_by("row", "group", maintain_order=True).agg(
            pl.col("loss").mean(), std=pl.col("loss").std(), seeds=pl.len()
        )
        joined = means.join(letters, on="group", how="left", maintain_order="left").with_columns(
            gain=pl.col("letters") - pl.col("loss"),
            selection=by_selection(means["row"]),
            budget=by_budget(means["row"]),
        )
        share = 1 - self.level / 2
        reach = [
            None if n < 2 else float(stats.t.ppf(share, n - 1)) * std / n**0.5
            for n, std in joined.select("seeds", "std").rows()
        ]
        return joined.with_columns(reach=pl.Series(reach, dtype=pl.Float64)).select(
            *("selection", "budget", "group", "letters", "loss", "gain"),
            low=pl.col("gain") - pl.col("reach"),
            high=pl.col("gain") + pl.col("reach"),
            learnt=pl.col("gain") >= float(self.study["learnt"]),
        )

    def learnt(self) -> pl.DataFrame:
        """The rows of `by_group` of random, without the selection."""
        return self.by_group.filter(pl.col("selection") == "random").drop("selection")

    def outcomes(self, part: str) -> list[str]:
        """The tasks that a round's models were measured on, held-out sets first."""
        rows = of_round(self.main, self.rounds[part]).filter(
            pl.col("model").is_in(self.coresets[part])
        )
        return rows["task"].unique(maintain_order=True).to_list()


def _subset_seed(facts: Mapping[str, Any]) -> int:
    """Of the draw of D_sub."""
    own = facts["config"]["subset"].get("seed")
    return int(facts["config"]["seed"] if own is None else own)


def differing(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    sections: Sequence[str],
    left: Mapping[str, Collection[str]],
) -> list[str]:
    """The sections of a configuration in which two runs differ.

    Args:
        one, other: facts of the runs. left: keys of a section that do not count.
    """
    return [
        s for s in sections if not _alike(one["config"][s], other["config"][s], left.get(s, ()))
    ]


def _alike(one: object, other: object, but: Collection[str] = ()) -> bool:
    """Whether two parts of configurations say the same where both say something.

    A key that only one has came with a later version, whose default is what was done before.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_alike(one[k], other[k]) for k in one.keys() & other.keys() if k not in but)
    return one == other


def title_of(task: str) -> str:
    """An outcome as a reader meets it."""
    if not task.startswith("heldout_"):
        return task
    name = task.removeprefix("heldout_")
    whole = name.removesuffix(MACRO)
    return f"loss, {whole}, mean over groups" if name != whole else f"loss, {whole}"
