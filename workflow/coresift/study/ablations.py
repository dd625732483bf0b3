"""What a study's page says of single changes of the method, and of the runs beside the study's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from coresift.report.results import results_table
from coresift.study.book import ABLATIONS, Book, title_of
from coresift.study.cells import HELD_OUT, cells_of, of_round
from coresift.study.decide import OWN, compared
from coresift.study.settings import Round
from coresift.study.words import TITLE, listed, table_lines


def trained_on(config: Mapping[str, Any]) -> str:
    """What every model of a run is trained on."""
    pretrain = config["pretrain"]
    if pretrain["residues"]:
        return f"{pretrain['residues']:,} residues, whatever its coreset"
    return f"{pretrain['epochs']:g} epochs of its budget"


def _with_random(book: Book) -> pl.DataFrame:
    """The changes, and the gain of what is changed over random (columns of `CHANGE`, over_random).

    A gain over the unchanged and that one's over random add up: both are of the study's own models.
    """
    unchanged = book.comparisons.filter(
        pl.col("round") == ABLATIONS, pl.col("role") == "random"
    ).select("task", control="selection", over_random="gain")
    table = book.changes.join(unchanged, on=["task", "control"], how="left", maintain_order="left")
    return table.with_columns(pl.col("over_random") + pl.col("gain"))


def changes_in_short(book: Book) -> Iterator[str]:
    """What one changed thing is shown to do; of the runs beside, what another draw does not do."""
    for (task,), rows in _with_random(book).group_by("task", maintain_order=True):
        tested = [r for r in rows.to_dicts() if r["run"] not in book.redraws]
        told = [r for r in tested if r["redrawn"] is None or abs(r["gain"]) > r["redrawn"]]
        said = {
            mark: [_changed(r) for r in told if r["mark"] == mark] for mark in ("better", "worse")
        }
        yield (
            f"- {title_of(str(task))}: changes of the method (exploratory, {len(tested)} tested), "
            f"gains over the selection without: better {listed(said['better'])}; worse "
            f"{listed(said['worse'])}."
        )


def _changed(row: dict[str, Any]) -> str:
    """A change that is shown to do something, with its gain."""
    where = "" if row["run"] == OWN else f" ({row['run']})"
    random = row["over_random"]
    over = "" if random is None else f" (over random {random:+z.3f})"
    return f"{row['selection']}{where} {row['gain']:+z.3f}{over}"


def ablation_lines(book: Book) -> Iterator[str]:
    """What changes when one thing of the method does; then what was trained otherwise."""
    said = False
    for lines in (_changes(book), _redrawn(book), _otherwise(book)):
        for line in lines:
            said = True
            yield line
    if not said:
        yield "Not run."


def _changes(book: Book) -> Iterator[str]:
    """Against the method."""
    table = book.changes
    if not table.height:
        labels = sorted({label for label, _, _ in book.beside if book.tested(label)})
        if labels:
            yield (
                f"The runs beside ({listed(labels)}) are held against the round `{ABLATIONS}`, "
                "which has not been run.\n"
            )
        return
    yield (
        "One thing changed at a time: gain over the selection without the change, its interval, "
        "and the mark of the adjusted p; then the gain of what is changed over random. Families "
        "of an outcome are the study's own run, the runs beside it and other draws of D_sub; "
        "exploratory, no finding (all figures: changes.csv).\n"
    )
    yield from table_lines(_side_by_side(_with_random(book)))


def _redrawn(book: Book) -> Iterator[str]:
    """What is within reach of chance: other draws of D_sub, of the same size."""
    own = book.changes.filter(pl.col("run").is_in(book.redraws))
    for (task, selection), rows in own.group_by("task", "selection", maintain_order=True):
        gains = [f"{gain:+z.3f}" for gain in rows["gain"]]
        beside = book.changes.filter(
            pl.col("task") == task,
            pl.col("selection") == selection,
            pl.col("redrawn").is_not_null(),
        )
        further = pl.col("gain").abs() > pl.col("redrawn")
        within = beside.filter(~further)["run"].to_list()
        beyond = beside.filter(further)["run"].to_list()
        yield (
            f"- {title_of(str(task))}, {selection}: D_sub drawn anew, all else the same, gains "
            f"{listed(gains)}. Runs beside that gain or lose no more, so that their marks may be "
            f"the draw's: {listed(within)}; more: {listed(beyond)}."
        )


def _side_by_side(table: pl.DataFrame) -> pl.DataFrame:
    """One row a change, outcomes beside each other, as text."""
    cells = [
        ("" if r["low"] is None else f"{r['gain']:+z.3f} [{r['low']:z.3f}, {r['high']:z.3f}] ")
        + r["mark"]
        for r in table.to_dicts()
    ]
    random = [None if v is None else f"{v:+z.3f}" for v in table["over_random"]]
    shown = table.with_columns(
        TITLE.alias("outcome"),
        gain=pl.Series(cells, dtype=pl.String),
        over_random=pl.Series(random, dtype=pl.String),
    )
    wide = shown.pivot("outcome", index=["run", "selection"], values=["gain", "over_random"])
    names = {
        name: name.removeprefix("gain_") if name.startswith("gain_")
        else f"over random, {name.removeprefix('over_random_')}"
        for name in wide.columns[2:]
    }  # fmt: skip
    return wide.rename(names)


def _gains_over_random(book: Book, rounds: list[tuple[str, str, Round]]) -> pl.DataFrame:
    rows = [
        {
            "run": label or OWN,
            "outcome": title_of(row["task"]),
            "selection": row["selection"],
            "gain over random": row["gain"],
            "p_adjusted": row["p_adjusted"],
            "mark": row["mark"],
            "seeds": row["seeds"],
        }
        for label, name, part in rounds
        for row in compared(book.figures(label), {name: part}, book.level).to_dicts()
        if row["control"].startswith("random-") and row["role"] in ("random", "regime")
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _otherwise(book: Book) -> Iterator[str]:
    """The runs beside whose models were trained otherwise: what they learn, and against random."""
    for label, name, part in book.beside:
        rows = of_round(book.figures(label), part)
        if book.trained_alike(label) or not rows["model"].is_in(part.coresets()).any():
            continue
        config = book.facts[label]["config"]
        yield f"\n### Trained otherwise: `{label}`\n\nEvery model: {trained_on(config)}.\n"
        losses = rows.filter("primary", HELD_OUT)
        means = results_table(cells_of(losses), 1 - book.level, int(config["seed"]))
        columns = ("selection", "mean", "low", "high", "runs")
        yield from table_lines(means.select(TITLE.alias("outcome"), *columns))
        groups = book.groups(label).filter(pl.col("selection") == "random")
        for (budget,), found in groups.group_by("budget", maintain_order=True):
            learnt = found.filter("learnt")["group"].to_list()
            yield f"- {budget}: random teaches {len(learnt)} of {found.height}: {listed(learnt)}."
        against = _gains_over_random(book, [(label, name, part)])
        if against.height:
            yield ""
            yield from table_lines(against.drop("run"))
