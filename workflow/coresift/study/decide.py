"""Whether a selection helps, by the rule that is written down before the runs (docs/study)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from coresift.report.cells import Cell
from coresift.report.comparisons import comparisons_table, corrected, pair
from coresift.report.controls import row_of
from coresift.report.tables import COMPARISON
from coresift.study.cells import HELD_OUT, by_selection, cells_of, of_round
from coresift.study.settings import Round
from coresift.study.tables import CHANGE, DECISION

#: The run of which a change is, where it is no run beside.
OWN = "the study's"
#: The paper's selections: finalists whatever the screen says, and what is changed in ablations.
PAPER = ("cci", "top_influence")


def compared(runs: pl.DataFrame, rounds: Mapping[str, Round], level: float) -> pl.DataFrame:
    """Every row against its controls, round by round (`COMPARISON` and a column round, the first).

    A round is a family by itself: its p-values are adjusted over its own comparisons of an outcome,
    see `report.comparisons`. A round with tasks is compared on these alone: the losses of its
    models are another round's.

    Args:
        runs: columns of `RUN`, of one variant.
        rounds: those to be compared, by name.
    """
    frames = []
    for name, part in rounds.items():
        own = of_round(runs, part)
        if not own["model"].is_in(part.coresets()).any():
            continue
        cells = _of_trained(cells_of(own))
        if part.tasks:
            cells = [cell for cell in cells if cell.task in part.tasks]
        table = comparisons_table(cells, level)
        frames.append(table.select(pl.lit(name).alias("round"), pl.all()))
    return (
        pl.concat(frames)
        if frames
        else comparisons_table([], level).insert_column(0, pl.Series("round", [], pl.String))
    )


def _of_trained(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of the outcomes that a coreset was measured on: no task of another round's models."""
    measured = {cell.task for cell in cells if row_of(cell.selection).selection is not None}
    return [cell for cell in cells if cell.task in measured]


def decisions(comparisons: pl.DataFrame, share: float, rounds: Mapping[str, Round]) -> pl.DataFrame:
    """One row a round, outcome, selection and budget: columns of `DECISION`.

    A selection helps if it beats the strongest of random and what is matched to it (the one with
    the best mean) with an adjusted p below the level, and by more than `share` of what ten times
    the sequences give random at equal residues (nothing, where they give less than nothing). While
    a model of its own, of random, of ten times the sequences or of a control that its round plans
    is missing, nothing is decided: the strongest control may be the one that is not there. Where a
    round plans no matched control, what is better than random is "uncontrolled".

    Args:
        comparisons: of `compared`. rounds: as they are planned.
    """
    rows = []
    ten_times = {
        (r["round"], r["task"], str(row_of(r["selection"]).budget)): r
        for r in comparisons.filter(pl.col("role") == "regime").to_dicts()
        if row_of(r["selection"]).kind == "random_x10"
    }
    rivals = comparisons.filter(pl.col("role").is_in(["random", "matched"]))
    for (part, task, name), own in rivals.group_by(
        "round", "task", "selection", maintain_order=True
    ):
        best = own.sort("gain", maintain_order=True).row(0, named=True)
        row = row_of(str(name))
        against = own.filter(pl.col("role") == "random")["gain"].to_list()
        ten = ten_times.get((part, task, str(row.budget)))
        needed = None if ten is None else max(0.0, share * ten["gain"])
        planned = rounds[str(part)]
        decision = _decision(best, needed, _whole(planned, str(name), own, ten))
        if decision == "helps" and not planned.controls:
            decision = "uncontrolled"
        rows.append(
            {
                **{"round": part, "task": task},
                **{"selection": row.selection, "budget": str(row.budget)},
                "seeds": best["seeds"],
                "gain_random": against[0] if against else None,
                **{"control": best["control"], "gain": best["gain"]},
                **ends_of_gain(best),
                **{"p_adjusted": best["p_adjusted"], "asked": needed},
                "decision": decision,
            }
        )
    return pl.DataFrame(rows, schema=dict(DECISION))


def ends_of_gain(row: Mapping[str, Any]) -> dict[str, float | None]:
    """low and high of the gain; a comparison (`COMPARISON`) has those of the difference."""
    low, high = row["low"], row["high"]
    turned = low is not None and (row["difference"] >= 0) != (row["gain"] >= 0)
    return {"low": -high, "high": -low} if turned else {"low": low, "high": high}


def _whole(part: Round, name: str, own: pl.DataFrame, ten: Mapping[str, Any] | None) -> bool:
    """Whether all models are there that a decision needs.

    Args:
        name: of a row. own: its comparisons with random and what is matched to it. ten: that of
            ten times the sequences with random, if there is one.
    """
    row = row_of(name)
    planned = [row_of(f"{selection}-{row.budget}") for selection in part.names]
    wanted = {c.name for c in planned if c.kind == "random" or c.matched_to == row.selection}
    if ten is None and any(c.kind == "random_x10" for c in planned):
        return False
    found = [*own.to_dicts(), *([] if ten is None else [ten])]
    return wanted | {f"random-{row.budget}"} <= set(own["control"]) and all(
        min(r["seeds"], r["control_seeds"]) >= len(part.seeds) for r in found
    )


def _decision(best: Mapping[str, Any], asked: float | None, whole: bool) -> str:
    if best["mark"] == "unknown" or not whole:
        return "unknown"
    if best["mark"] != "better":
        return "worse" if best["mark"] == "worse" else "not shown"
    if asked is None:
        return "unknown"
    return "helps" if best["gain"] > asked else "too little"


def ranking(comparisons: pl.DataFrame, part: str) -> pl.DataFrame:
    """Selections of a round by their mean gain over random, the best first.

    The mean is over the budgets and the outcomes of held-out sets; what is drawn by chance is left
    out, and so is a selection that has not been run where others have. Ties by name.

    Returns:
        Columns selection, gain.
    """
    rows = comparisons.filter(
        pl.col("round") == part,
        pl.col("role") == "random",
        HELD_OUT,
    )
    named = rows.select("gain", selection=by_selection(rows["selection"]))
    means = named.group_by("selection").agg(pl.col("gain").mean(), cells=pl.len())
    return (
        means.filter(pl.col("cells") == pl.col("cells").max())
        .select("selection", "gain")
        .sort("gain", "selection", descending=[True, False])
    )


def _unchanged(selection: str) -> str | None:
    """Of the paper's selections that of which one is a variant or another score's."""
    return next((name for name in PAPER if re.match(rf"{name}($|[._])", selection)), None)


def changes(
    cells: Mapping[str, Sequence[Cell]], level: float, redraws: Collection[str] = ()
) -> pl.DataFrame:
    """A selection with one thing changed against the same without.

    Families of an outcome: the changes in the study's own run; those of all runs beside it; and
    apart, since they change nothing of the method, the redraws.

    Args:
        cells: by run: "" the study's own, in which `cci_x` and `cci.x` are held against `cci` and
            `top_influence.x` against `top_influence`; of others the two against the study's own.
        redraws: the runs in which D_sub is drawn anew and nothing else is changed.

    Returns:
        Columns of `CHANGE`.
    """
    unchanged = {(cell.task, cell.selection): cell for cell in cells.get("", ())}
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run, found in cells.items():
        for cell in found:
            row = row_of(cell.selection)
            if not cell.task.startswith("heldout_") or row.selection is None or row.is_control:
                continue
            base = _unchanged(row.selection)
            control = unchanged.get((cell.task, f"{base}-{row.budget}"))
            # Of its own run all but the selection itself, of others that alone.
            if control is None or (row.selection == base) != bool(run):
                continue
            own = pair(cell, control, "changed", level)
            family = "redraw" if run in redraws else "beside" if run else "own"
            rows.setdefault((cell.task, family), []).append(
                {"run": run or OWN, **own, **ends_of_gain(own)}
            )
    table = [row for own in rows.values() for row in corrected(own, level)]
    made = pl.DataFrame(table, schema={**COMPARISON, **CHANGE}).select(*CHANGE)
    by_chance = (
        made.filter(pl.col("run").is_in(list(redraws)))
        .group_by("task", "selection")
        .agg(redrawn=pl.col("gain").abs().max())
    )
    changed = ~pl.col("run").is_in([OWN, *redraws])
    return (
        made.drop("redrawn")
        .join(by_chance, on=["task", "selection"], how="left", maintain_order="left")
        .with_columns(redrawn=pl.when(changed).then("redrawn"))
        .select(*CHANGE)
    )


def chosen(comparisons: pl.DataFrame, part: str, count: int) -> list[str]:
    """The first `count` of `ranking` beside the paper's own: the finalists."""
    names = ranking(comparisons, part)["selection"].to_list()
    return [name for name in names if name not in PAPER][:count]
