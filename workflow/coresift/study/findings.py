"""What a study's page says of what helps: decisions, floors, what seeds can detect, the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from coresift.report.controls import UNIGRAM, row_of
from coresift.report.verdict import gains, resolution
from coresift.study.book import ABLATIONS, FINAL, SCREEN, Book, title_of
from coresift.study.cells import HELD_OUT, by_budget, by_selection
from coresift.study.decide import PAPER, chosen, ranking
from coresift.study.disguise import MATCHED
from coresift.study.words import TITLE, at_budget, listed, table_lines

#: Decisions as a reader meets them.
_SAID = {
    "uncontrolled": "better than random by what counts, and no matched control was planned",
    "too little": "better than every control, by less than counts",
    "not shown": "no difference from the strongest control is shown",
    "worse": "worse than their strongest control",
    "unknown": "not decided, as models or controls are missing (gains over random in brackets)",
}
#: Columns of `traits_table` as a reader meets them.
TRAITS = {
    "length": "length / pool's",
    "low_complexity": "low complexity / pool's",
    "gain_random": "gain over random",
    **{f"gain_{kind}": f"gain of {kind}" for kind in MATCHED},
}


def decisions_in_short(book: Book) -> Iterator[str]:
    """What was decided of each finalist."""
    if FINAL not in book.started:
        yield (
            f"- The round `{FINAL}`, whose decisions count, has not been run: nothing on this page "
            "is a finding yet."
        )
        if SCREEN in book.started:
            yield "- The screen below chooses what is to be tested, on seeds not used again."
        return
    table = book.decisions.filter(pl.col("round") == FINAL)
    for (task,), rows in table.group_by("task", maintain_order=True):
        said = {
            kind: [_decided(r) for r in rows.to_dicts() if r["decision"] == kind]
            for kind in ("helps", *_SAID)
        }
        tested = sum(map(len, said.values())) - len(said["unknown"])
        title = title_of(str(task))
        yield (
            f"- {title}: by the rule of README.md, of {tested} tested what helps is "
            f"{listed(said.pop('helps'))} (gains over the strongest control in brackets)."
        )
        for kind, names in said.items():
            if names:
                yield f"- {title}: {_SAID[kind]}: {listed(names)}."
        short = rows.filter(pl.col("decision") == "not shown", pl.col("high") < pl.col("asked"))
        if short.height:
            names = [at_budget(r) for r in short.to_dicts()]
            yield (
                f"- {title}: the whole interval of the gain is below the gain that counts for "
                f"{listed(names)}."
            )


def _decided(row: dict[str, Any]) -> str:
    """A selection with its gain over its strongest control, nats; undecided, over random."""
    gain = row["gain_random" if row["decision"] == "unknown" else "gain"]
    return at_budget(row) if gain is None else f"{at_budget(row)} ({gain:+.3f})"


def floors_in_short(book: Book) -> Iterator[str]:
    """Which finalists are worse than a model that was never trained, and random against letters."""
    if FINAL not in book.started:
        return
    floors = book.comparisons.filter(
        pl.col("round") == FINAL, pl.col("role") == "floor", HELD_OUT
    ).with_columns(row=pl.col("selection"))
    for (task,), rows in floors.group_by("task", maintain_order=True):
        own = [r for r in rows.to_dicts() if not row_of(r["row"]).is_control]
        worse = [
            f"{r['row']} by {-r['gain']:.3f} (adjusted p {r['p_adjusted']:.2g})"
            for r in own
            if r["control"] == "untrained" and r["mark"] == "worse"
        ]
        letters = [
            f"{r['row']} {r['gain']:+.3f} ({r['mark']})"
            for r in rows.to_dicts()
            if r["control"] == UNIGRAM and row_of(r["row"]).kind == "random"
        ]
        tested = (rows["control"] == "untrained") & (rows["mark"] != "unknown")
        untrained = listed(worse) if tested.any() else "not tested"
        yield (
            f"- {title_of(str(task))}: worse than a model that was never trained: {untrained}. "
            f"Gain over the letter frequencies of all held-out sequences: {listed(letters)}."
        )


def power_in_short(book: Book) -> Iterator[str]:
    """Where gains that count are smaller than what the seeds can detect."""
    if FINAL not in book.started:
        return
    decided = book.decisions.filter(pl.col("round") == FINAL).with_columns(
        row=pl.format("{}-{}", "selection", "budget")
    )
    own = book.comparisons.filter(pl.col("round") == FINAL)
    for (task,), of_task in decided.group_by("task", maintain_order=True):
        family = own.filter(pl.col("task") == task, pl.col("role") != "regime").height
        # Holm's first step: what the smallest p-value is held against.
        table = book.at_level(FINAL, book.level / max(1, family)).select(
            "task", "control", "detectable", row="selection"
        )
        known = of_task.join(
            table, on=["task", "row", "control"], how="left", maintain_order="left"
        )
        for (budget,), rows in known.group_by("budget", maintain_order=True):
            # One by one: models of some selections scatter several times as far as those of others.
            both = rows.drop_nulls(["asked", "detectable"])
            blunt = both.filter(pl.col("detectable") > pl.col("asked")).to_dicts()
            if blunt:
                found = sorted(r["detectable"] for r in blunt)
                span = " to ".join(dict.fromkeys(f"{v:.3f}" for v in (found[0], found[-1])))
                every = len(blunt) == rows.height
                names = "every selection" if every else listed([at_budget(r) for r in blunt])
                yield (
                    f"- {title_of(str(task))}, {budget}: a gain that counts is "
                    f"{blunt[0]['asked']:.3f}, but these seeds detect {span} of {names} (80 % "
                    f"power after correction over {family} comparisons): smaller gains are "
                    "undecided there, not refuted."
                )


def decision_lines(book: Book) -> Iterator[str]:
    """The decisions of each round, and the sentences of the report on each."""
    for part in book.in_order:
        rows = book.decisions.filter(pl.col("round") == part)
        elsewhere = part == ABLATIONS or book.rounds[part].tasks  # has a section of its own
        if not rows.height or elsewhere:
            continue
        role = "its decisions count" if part == FINAL else "exploratory, no finding"
        yield f"### Round `{part}` ({role})\n"
        if part == SCREEN:
            yield from screen_lines(book)
            continue
        yield from table_lines(rows.drop("round").with_columns(TITLE))
        if part == FINAL:
            own = book.comparisons.filter(pl.col("round") == part, HELD_OUT).with_columns(TITLE)
            yield from (f"- {line}" for line in gains(own))
            yield from (f"- {line}" for line in resolution(own, book.level))
            yield ""


def screen_lines(book: Book) -> Iterator[str]:
    """The selections of the screen, the best first, and which of them are chosen."""
    best = ranking(book.comparisons, SCREEN)
    first = chosen(book.comparisons, SCREEN, int(book.study["finalists"]))
    yield (
        f"By mean gain over random, over budgets and outcomes, the first {len(first)} beside the "
        f"paper's two are {listed(first)}. Length and low complexity are those at "
        f"{book.rounds[SCREEN].budgets[0]}, over the pool's; a gain by itself: decisions.csv.\n"
    )
    if FINAL in book.rounds:
        beside = [row_of(f"{name}-1") for name in book.rounds[FINAL].strategies]
        tested = [r.selection for r in beside if not r.is_control and r.selection not in PAPER]
        if set(tested) != set(first):
            yield f"Those of the round `{FINAL}` are {listed([n for n in tested if n])}.\n"
    own = book.comparisons.filter(HELD_OUT, pl.col("round") == SCREEN)
    rows = own.filter(pl.col("role") == "random")
    named = rows.select(
        "gain",
        selection=by_selection(rows["selection"]),
        where=pl.format("{}, {}", TITLE, by_budget(rows["selection"])),
    )
    gained = named.pivot("where", index="selection", values="gain")
    traits = ("length", "low_complexity")
    found = book.traits.unique("selection", keep="first").select("selection", *traits)
    smallest = found.with_columns(
        budget=by_budget(found["selection"]),
        selection=by_selection(found["selection"]),
    ).filter(pl.col("budget") == str(book.rounds[SCREEN].budgets[0]))
    yield from table_lines(
        best.rename({"gain": "mean"})
        .join(gained, on="selection", how="left", maintain_order="left")
        .join(smallest.drop("budget"), on="selection", how="left", maintain_order="left")
        .rename({name: TRAITS[name] for name in traits})
    )
    yield from (f"- {line}" for line in resolution(own.with_columns(TITLE), book.level))
    yield ""
