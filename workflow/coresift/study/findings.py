"""What a study's page says of what helps: decisions, floors, what seeds can detect, the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from coresift.report.controls import UNIGRAM, row_of
from coresift.report.verdict import gains, resolution
from coresift.study.book import ABLATIONS, DECISIVE, FINAL, SCALING, SCREEN, Book, title_of
from coresift.study.cells import HELD_OUT, by_budget, by_selection
from coresift.study.decide import PAPER, chosen, ranking
from coresift.study.disguise import MATCHED
from coresift.study.words import TITLE, at_budget, listed, table_lines

#: Gains below this are said to four places, nats.
_SMALL = 0.02
#: Rows of decisions that leave no room for a gain that counts.
_REFUTED = (pl.col("decision") == "not shown") & (pl.col("high") < pl.col("asked"))
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
    if not book.decisive:
        yield (
            f"- The round `{FINAL}`, whose decisions count, has not been run: nothing on this page "
            "is a finding yet."
        )
        if SCREEN in book.started:
            yield "- The screen below chooses what is to be tested, on seeds not used again."
        return
    for part in book.decisive:
        yield from _decided_in(book, part)


def _decided_in(book: Book, part: str) -> Iterator[str]:
    """What one round decided."""
    table = book.decisions.filter(pl.col("round") == part)
    for (task,), rows in table.group_by("task", maintain_order=True):
        said = {
            kind: [_decided(r) for r in rows.to_dicts() if r["decision"] == kind]
            for kind in ("helps", *_SAID)
        }
        tested = rows.filter(pl.col("decision") != "unknown").group_by(
            "budget", maintain_order=True
        )
        counts = [f"{n} at {budget}" for budget, n in tested.len().rows()]
        title = _outcome(part, str(task))
        yield (
            f"- {title}: by the rule of README.md, of the selections tested ({listed(counts)}) "
            f"these help: {listed(said.pop('helps'))} (gains over the strongest control in "
            "brackets)."
        )
        for kind, names in said.items():
            if names:
                yield f"- {title}: {_SAID[kind]}: {listed(names)}."
        short = rows.filter(_REFUTED)
        if short.height:
            names = [at_budget(r) for r in short.to_dicts()]
            yield (
                f"- {title}: the whole interval of the gain is below the gain that counts, taken "
                f"as exact, for {listed(names)}."
            )
        for row in _asking_little(book, part, str(task)):
            yield (
                f"- {title}, {row_of(row['selection']).budget}: ten times the "
                f"sequences are not shown to help in this round ({_nats(row['gain'])}, adjusted p "
                f"{row['p_adjusted']:.2g}), so half of their gain asks next to nothing of a "
                "selection there: what helps does so by points 1 and 2 of the rule."
            )


def _outcome(part: str, task: str) -> str:
    """An outcome as a decisive round has it: the finalists' needs no name."""
    return title_of(task) if part == FINAL else f"{title_of(task)}, round `{part}`"


def _asking_little(book: Book, part: str, task: str) -> list[dict[str, Any]]:
    """The comparisons of ten times the sequences with random that show no gain, of a round."""
    rows = book.comparisons.filter(
        pl.col("round") == part, pl.col("task") == task, pl.col("role") == "regime"
    )
    known = rows.filter(~pl.col("mark").is_in(["better", "unknown"])).to_dicts()
    return [row for row in known if row_of(row["selection"]).kind == "random_x10"]


def curve_in_short(book: Book) -> Iterator[str]:
    """What differs from random at the budgets of the curve, which has no matched controls."""
    if SCALING not in book.started:
        return
    rows = book.comparisons.filter(pl.col("round") == SCALING, pl.col("role") == "random", HELD_OUT)
    for (task,), own in rows.group_by("task", maintain_order=True):
        budgets = by_budget(own["selection"]).unique(maintain_order=True).to_list()
        said = {
            mark: [
                f"{r['selection']} ({_nats(r['gain'])})"
                for r in own.filter(pl.col("mark") == mark).to_dicts()
            ]
            for mark in ("better", "worse")
        }
        yield (
            f"- {title_of(str(task))}, the curve (round `{SCALING}`, exploratory, at "
            f"{listed(budgets)}, no matched controls): of {own.height} gains over random better "
            f"are {listed(said['better'])}, worse {listed(said['worse'])}."
        )


def controls_in_short(book: Book) -> Iterator[str]:
    """What is better than random in exploratory rounds with matched controls, and over these."""
    for part in book.started:
        if part in DECISIVE or not book.rounds[part].controls:
            continue
        better = book.comparisons.filter(
            pl.col("round") == part,
            pl.col("role") == "random",
            pl.col("mark") == "better",
            HELD_OUT,
        )
        names = set(better.select("task", "selection").iter_rows())
        known = book.decisions.filter(pl.col("round") == part, pl.col("low").is_not_null())
        for (task,), rows in known.group_by("task", maintain_order=True):
            said = [
                f"{at_budget(r)} ({_nats(r['gain_random'])}; over {r['control']} "
                f"{_nats(r['gain'])} [{r['low']:z.4f}, {r['high']:z.4f}])"
                for r in rows.to_dicts()
                if (task, f"{r['selection']}-{r['budget']}") in names
            ]
            if not said:
                continue
            yield (
                f"- {title_of(str(task))}, round `{part}` (exploratory): better than random, with "
                f"the gain over the strongest control: {listed(said)}."
            )


def _decided(row: dict[str, Any]) -> str:
    """A selection with its gain over its strongest control, nats; undecided, over random."""
    gain = row["gain_random" if row["decision"] == "unknown" else "gain"]
    return at_budget(row) if gain is None else f"{at_budget(row)} ({_nats(gain)})"


def _nats(gain: float) -> str:
    """A gain with its sign; small ones count where more data give little."""
    return f"{gain:+z.4f}" if abs(gain) < _SMALL else f"{gain:+z.3f}"


def floors_in_short(book: Book) -> Iterator[str]:
    """Which finalists are worse than a model that was never trained, and random against letters."""
    if FINAL not in book.started:
        return
    floors = book.comparisons.filter(
        pl.col("round") == FINAL, pl.col("role") == "floor", HELD_OUT
    ).with_columns(row=pl.col("selection"))
    for (task,), rows in floors.group_by("task", maintain_order=True):
        own = [r for r in rows.to_dicts() if not row_of(r["row"]).is_control]
        below = [r for r in own if r["control"] == "untrained" and r["gain"] < 0]
        worse, maybe = (
            [
                f"{r['row']} by {-r['gain']:.3f} (adjusted p {r['p_adjusted']:.2g})"
                for r in below
                if r["mark"] == mark
            ]
            for mark in ("worse", "no different")
        )
        letters = [
            f"{r['row']} {r['gain']:+z.3f} ({r['mark']})"
            for r in rows.to_dicts()
            if r["control"] == UNIGRAM and row_of(r["row"]).kind == "random"
        ]
        tested = (rows["control"] == "untrained") & (rows["mark"] != "unknown")
        untrained = listed(worse) if tested.any() else "not tested"
        other = f"; below it, not shown: {listed(maybe)}" if maybe else ""
        yield (
            f"- {title_of(str(task))}: shown to be worse than a model that was never trained: "
            f"{untrained}{other}. Gain over the letter frequencies of all held-out sequences: "
            f"{listed(letters)}."
        )


def power_in_short(book: Book) -> Iterator[str]:
    """Where gains that count are smaller than what the seeds can detect."""
    for part in book.decisive:
        yield from _power_of(book, part)


def _power_of(book: Book, part: str) -> Iterator[str]:
    """The same of one round."""
    decided = book.decisions.filter(pl.col("round") == part).with_columns(
        row=pl.format("{}-{}", "selection", "budget")
    )
    own = book.comparisons.filter(pl.col("round") == part)
    for (task,), of_task in decided.group_by("task", maintain_order=True):
        family = own.filter(pl.col("task") == task, pl.col("role") != "regime").height
        # Holm's first step: what the smallest p-value is held against.
        table = book.at_level(part, book.level / max(1, family)).select(
            "task", "control", "detectable", row="selection"
        )
        known = of_task.join(
            table, on=["task", "row", "control"], how="left", maintain_order="left"
        )
        for (budget,), rows in known.group_by("budget", maintain_order=True):
            # One by one: models of some selections scatter several times as far as those of others.
            # Of what is decided otherwise, and where nothing is asked, there is nothing to detect.
            both = rows.drop_nulls(["asked", "detectable"]).filter(
                pl.col("decision") == "not shown", ~_REFUTED, pl.col("asked") > 0
            )
            blunt = both.filter(pl.col("detectable") > pl.col("asked")).to_dicts()
            if blunt:
                found = sorted(r["detectable"] for r in blunt)
                span = " to ".join(dict.fromkeys(f"{v:.3f}" for v in (found[0], found[-1])))
                every = len(blunt) == rows.height
                names = "every selection" if every else listed([at_budget(r) for r in blunt])
                yield (
                    f"- {_outcome(part, str(task))}, {budget}: a gain that counts is "
                    f"{blunt[0]['asked']:.2g}, but these seeds detect {span} of {names} (80 % "
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
        role = "its decisions count" if part in DECISIVE else "exploratory, no finding"
        yield f"### Round `{part}` ({role})\n"
        if part == SCREEN:
            yield from screen_lines(book)
            continue
        if not book.rounds[part].controls and (rows["decision"] == "uncontrolled").any():
            yield (
                "uncontrolled: better than random by more than `asked`, with no control of the "
                "same lengths or sources beside it.\n"
            )
        yield from table_lines(rows.drop("round").with_columns(TITLE))
        if part in DECISIVE:
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
