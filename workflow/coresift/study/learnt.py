"""What a study's page says of what is learnt: sources that random teaches, and others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from coresift.report.controls import row_of
from coresift.study.book import Book
from coresift.study.words import at_budget, listed, percent, table_lines

#: Sources learnt from which on redundancy among them can be asked about.
_SEVERAL = 3


def learnt_in_short(book: Book) -> Iterator[str]:
    """What is learnt from random, and from others alone."""
    table = book.learnt()
    if table.height:
        groups = table["group"].n_unique()
        known = table.filter("learnt")["group"].unique(maintain_order=True).to_list()
        yield (
            f"- Learnt from random: at most {_most_learnt(table)} of {groups} groups by "
            f"{book.group} at a budget; at any, {listed(known)}."
        )
        if others := _learnt_from_others(book):
            yield f"- Not learnt from random at any budget, but from others: {listed(others)}."


def _learnt_from_others(book: Book) -> list[str]:
    """Groups that random teaches at no budget and a selection does, with the best of these."""
    table = book.by_group
    known = table.filter(pl.col("learnt"), pl.col("selection") == "random")["group"]
    rest = table.filter("learnt", ~pl.col("group").is_in(known.to_list()))
    controls = [row_of(f"{name}-1").is_control for name in rest["selection"]]
    ranked = rest.with_columns(control=pl.Series(controls, dtype=pl.Boolean)).sort(
        "control", "gain", descending=[False, True], maintain_order=True
    )
    best = ranked.unique(["group", "control"], keep="first", maintain_order=True)
    said = []
    for (group,), rows in best.group_by("group", maintain_order=True):
        found = [f"{at_budget(r)} {r['gain']:.2f}" for r in rows.to_dicts()]
        said.append(f"{group} (nats below its letters: {listed(found)})")
    return said


def _most_learnt(table: pl.DataFrame) -> int:
    """Most groups learnt at one budget (columns of `Book.learnt`)."""
    return int(str(table.group_by("budget").agg(pl.col("learnt").sum())["learnt"].max()))


def learnt_lines(book: Book) -> Iterator[str]:
    """Which groups random learns, by budget, and which another selection does."""
    table = book.learnt()
    if not table.height:
        yield "No random coreset has been trained on, or the held-out sequences have no groups."
        return
    margin = float(book.study["learnt"])
    for (budget,), rows in table.group_by("budget", maintain_order=True):
        found = rows.filter("learnt").sort("gain", descending=True).to_dicts()
        names = [r["group"] + _doubt(r, margin) for r in found]
        yield (
            f"- {percent(book, str(budget))}: random teaches {len(names)} of {rows.height} groups "
            f"by {book.group} ({margin:g} nats below their own letter frequencies): "
            f"{listed(names)}."
        )
        if float(str(rows["gain"].max())) <= 0:
            yield (
                f"- At {budget} random knows less than letter frequencies on every group: "
                "selections differ there in how far they mislead a model, not in what they teach."
            )
    others = _learnt_from_others(book)
    yield f"- Others teach what random does not: {listed(others)}."
    if book.by_group.filter("learnt")["group"].n_unique() < _SEVERAL:
        yield (
            f"\nFewer than {_SEVERAL} groups are learnt from anything: this study speaks of those "
            "few only. A larger model and more residues come first."
        )
    yield (
        "\nNats below a group's own letter frequencies, random, by budget (intervals, other "
        "selections: learnt.csv):\n"
    )
    yield from table_lines(table.pivot("budget", index="group", values="gain"))


def _doubt(row: dict[str, Any], margin: float) -> str:
    """What is said of a group whose interval has the limit."""
    return " (its interval has the limit)" if row["low"] is not None and row["low"] < margin else ""
