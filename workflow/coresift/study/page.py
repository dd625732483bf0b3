"""The page of a study in plain words: every sentence follows from the figures.

A function of the raw figures and the facts and of nothing else: `coresift.study.write` makes it
from the two files again, and a test holds the committed page to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from coresift.report.controls import UNIGRAM, row_of
from coresift.report.verdict import gains, resolution
from coresift.selection.names import budget_of
from coresift.study.ablations import ablation_lines, changes_in_short, trained_on
from coresift.study.book import ABLATIONS, FINAL, SCREEN, Book, title_of
from coresift.study.cells import HELD_OUT, ROW, by_budget, by_selection
from coresift.study.decide import PAPER, chosen, ranking
from coresift.study.disguise import MATCHED
from coresift.study.settings import Round
from coresift.study.sources import source_lines, sources_in_short
from coresift.study.tables import CORESET_TRAITS, MACRO
from coresift.study.tasks import task_lines, tasks_in_short
from coresift.study.validity import by_curvature, validity_in_short, validity_lines
from coresift.study.words import TITLE, listed, table_lines

#: A coreset whose sequences are this much longer or shorter than the pool's, or this many times as
#: often of low complexity, is said to be so.
_LENGTH, _COMPLEXITY = 1.25, 1.5
#: Columns of `traits_table` as a reader meets them.
_TRAITS = {
    "length": "length / pool's",
    "low_complexity": "low complexity / pool's",
    "gain_random": "gain over random",
    **{f"gain_{kind}": f"gain of {kind}" for kind in MATCHED},
}
#: Sources learnt from which on redundancy among them can be asked about.
_SEVERAL = 3


def page(book: Book, name: str) -> str:
    """Markdown.

    Args:
        name: of the page: its files are in the folder of that name.
    """
    parts = {
        "What has been run": run_lines(book),
        "In short": short_lines(book),
        "Does the model learn?": learnt_lines(book),
        "Do more different sequences help?": regime_lines(book),
        "What helps, what does not": decision_lines(book),
        "Source by source": source_lines(book),
        "Length, low complexity and sources": disguise_lines(book),
        "Ablations": ablation_lines(book),
        "Does the score mean anything?": validity_lines(book),
        "Tasks": task_lines(book),
        "Limits": limit_lines(book),
        "On a cluster": cluster_lines(book),
        "Files": file_lines(book, name),
    }
    head = (
        f"# Study: {name}\n\nMade by `make study` from {name}/runs.parquet and {name}/facts.json; "
        "do not edit. What was planned: [README.md](README.md).\n"
    )
    return f"{head}\n{_glossary(book)}\n" + "".join(
        f"\n## {title}\n\n" + "\n".join(lines).rstrip("\n") + "\n"
        for title, lines in ((title, [*found]) for title, found in parts.items())
        if lines
    )


def _glossary(book: Book) -> str:
    """How names and figures read."""
    pool = book.own["pool"]
    budgets = dict.fromkeys(str(budget) for part in book.rounds.values() for budget in part.budgets)
    first = min(budgets, key=book.share_of_pool, default=None)
    example = ""
    if first is not None:
        mean, budget = pool["residues"] / pool["sequences"], budget_of(first)
        known, other = (
            f"{budget.residues(mean):,.0f} residues",
            f"{budget.sequences(mean):,} sequences",
        )
        if budget.unit == "sequences":
            known, other = other, known
        example = f" Of a budget `{first}` a coreset has {known}, some {other}."
    return (
        f"How to read it.{example} A gain is what is saved of the held-out loss, in nats a masked "
        "place: positive is better. `random_length:x` and `random_groups:x` are random draws with "
        "the lengths, and with the shares of sources, of the selection x; `random_x10` draws ten "
        "times the sequences, `pool` takes all, trained on the same residues. The gain that counts "
        f"(`asked`) is {book.study['share']:g} of what random_x10 gains. Selections: "
        "docs/selection.md.\n"
    )


def _percent(book: Book, budget: str) -> str:
    return f"{budget} ({100 * book.share_of_pool(budget):.2g} % of the pool)"


def _counts(name: str, part: Round, models: int) -> dict[str, Any]:
    """A round in figures."""
    return {
        "round": name,
        "models": models,
        "planned": len(part.coresets()),
        "selections": len(part.names),
        "budgets": len(part.budgets),
        "seeds": len(part.seeds),
    }


def run_lines(book: Book) -> Iterator[str]:
    """Rounds, models, time, machine, code."""
    rows, missing = [], []
    for name, part in book.rounds.items():
        tasks: list[str | None] = [*part.tasks] or [None]
        for task in tasks:
            title = name if task is None else f"{name}: {task}"
            rows.append(_counts(title, part, len(book.models(name, task))))
            if name not in book.started or not rows[-1]["models"]:
                missing.append(title)
    alongside = [
        _counts(f"{label}: {name}", part, len(book.tested(label) & set(part.coresets())))
        for label, name, part in book.beside
    ]
    yield from table_lines(pl.DataFrame([*rows, *alongside]))
    partial = [
        row["round"]
        for row in [*rows, *alongside]
        if row["models"] < row["planned"] and row["round"] not in missing
    ]
    if missing:
        yield f"Not run: {listed(missing)}. Nothing is said of them below.\n"
    if partial:
        yield (
            f"Run in part: {listed(partial)}. What is said of them may change, and p-values are "
            "adjusted over the comparisons that are there: more will raise them.\n"
        )
    beside = [label for label, run in book.study["beside"].items() if run]
    absent = [label for label in beside if label not in book.facts]
    if beside:
        yield f"Runs beside this one, not on this page: {listed(absent)}.\n"
    facts = book.own
    pool, machine = facts["pool"], facts["machine"]
    yield (
        f"Pool: {pool['sequences']:,} sequences, {pool['residues']:,} residues, of "
        f"{listed([source['file'] for source in facts['sources']])} (checksums: facts.json).\n"
    )
    pretrain = facts["config"]["pretrain"]
    seen = trained_on(facts["config"])
    yield f"Every model: preset {pretrain['preset']}, trained from scratch on {seen}.\n"
    times = [
        f"{rule}, {spent['jobs']} jobs, {spent['wall_s'] / 60:.0f} and {spent['cpu_s'] / 60:.0f}"
        for rule, spent in facts["times"].items()
    ]
    if times:
        yield f"Minutes of wall and of processor, summed over jobs: {'; '.join(times)}.\n"
    yield (
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}. "
        f"Commit when these figures were gathered: {facts['commit'] or 'unknown'}."
    )


def short_lines(book: Book) -> Iterator[str]:
    """What is learnt, the regime, decisions that count, ablations and tasks, a sentence each."""
    yield from _learnt_in_short(book)
    yield from _regime_in_short(book)
    yield from sources_in_short(book)
    yield from _floors_in_short(book)
    yield from _decisions_in_short(book)
    yield from _power_in_short(book)
    yield from changes_in_short(book)
    yield from validity_in_short(book)
    yield from tasks_in_short(book)


def _learnt_in_short(book: Book) -> Iterator[str]:
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


def _decisions_in_short(book: Book) -> Iterator[str]:
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
            names = [_at(r) for r in short.to_dicts()]
            yield (
                f"- {title}: the whole interval of the gain is below the gain that counts for "
                f"{listed(names)}."
            )


def _floors_in_short(book: Book) -> Iterator[str]:
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


def _power_in_short(book: Book) -> Iterator[str]:
    """Where gains that count are smaller than what the seeds can detect."""
    if FINAL not in book.started:
        return
    decided = book.decisions.filter(pl.col("round") == FINAL).with_columns(
        row=pl.format("{}-{}", "selection", "budget")
    )
    own = book.comparisons.filter(pl.col("round") == FINAL)
    for (task, budget), rows in decided.group_by("task", "budget", maintain_order=True):
        family = own.filter(pl.col("task") == task, pl.col("role") != "regime")
        # Holm's first step: what the smallest p-value is held against.
        table = book.at_level(FINAL, book.level / max(1, family.height)).select(
            "task", "control", "detectable", row="selection"
        )
        known = rows.join(table, on=["task", "row", "control"], maintain_order="left")
        found, asked = known["detectable"].median(), rows["asked"].max()
        if isinstance(found, float) and isinstance(asked, float) and found > asked:
            yield (
                f"- {title_of(str(task))}, {budget}: a gain that counts is {asked:.3f}, but these "
                f"seeds detect {found:.3f} (80 % power after correction over {family.height} "
                "comparisons, median over the selections): smaller gains are undecided, not "
                "refuted."
            )


#: Decisions as a reader meets them.
_SAID = {
    "uncontrolled": "better than random by what counts, and no matched control was planned",
    "too little": "better than every control, by less than counts",
    "not shown": "no difference from the strongest control is shown",
    "worse": "worse than their strongest control",
    "unknown": "not decided, as models or controls are missing",
}


def _at(row: dict[str, Any]) -> str:
    return f"{row['selection']} at {row['budget']}"


def _decided(row: dict[str, Any]) -> str:
    """A selection with its gain over its strongest control, nats."""
    name = _at(row)
    if row["decision"] == "unknown":
        return name
    return f"{name} ({row['gain']:+.3f})"


def _regime_in_short(book: Book) -> Iterator[str]:
    """Where more sequences at equal residues lower the loss."""
    for task, own in _known_regime(book):
        names = [
            f"{r['selection']} by {r['gain']:.3f} nats (adjusted p {r['p_adjusted']:.2g})"
            for r in own.filter(pl.col("mark") == "better").to_dicts()
        ]
        yield (
            f"- {title_of(task)}: more sequences at equal residues (random_x10, pool) beat "
            f"random in {len(names)} of {own.height} comparisons: {listed(names)}."
        )


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
        found = [f"{_at(r)} {r['gain']:.2f}" for r in rows.to_dicts()]
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
            f"- {_percent(book, str(budget))}: random teaches {len(names)} of {rows.height} groups "
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


def regime_lines(book: Book) -> Iterator[str]:
    """What ten times the sequences, and all of the pool, give at equal residues."""
    if not book.regime.height:
        yield "Neither random_x10 nor pool has been run: not known."
        return
    yield (
        "All models of random, random_x10 and pool, whatever their round; p-values are adjusted "
        "over an outcome.\n"
    )
    rows = book.regime
    yield from table_lines(
        rows.select(
            TITLE.alias("outcome"),
            *("selection", "control", "gain", "p_adjusted", "mark", "seeds", "control_seeds"),
            _passes(book, rows["control"]).alias("passes of the control"),
        )
    )
    for task, shown, without in _regime_budgets(book):
        yield f"- {title_of(task)}: shown at {listed(shown)}, not shown at {listed(without)}."
    yield (
        "\nWhere it is not shown, random sequences of that budget are enough for this model, or "
        "too few of more are read to tell: a selection that keeps the mixture of sources has "
        "little to gain there; one that changes it may. Fewer than ten passes over a control "
        "cannot read ten times its sequences."
    )


def _passes(book: Book, rows: pl.Series) -> pl.Series:
    """How often a model reads the coresets of a row; null where it is said in epochs."""
    residues = book.own["config"]["pretrain"]["residues"]
    return pl.Series(
        [
            None
            if residues is None
            else residues
            / (book.share_of_pool(str(row_of(r).budget)) * book.own["pool"]["residues"])
            for r in rows
        ],
        dtype=pl.Float64,
    )


def _known_regime(book: Book) -> Iterator[tuple[str, pl.DataFrame]]:
    """By outcome, the comparisons of more sequences with random of which something is known."""
    known = book.regime.filter(pl.col("mark") != "unknown")
    for (task,), rows in known.group_by("task", maintain_order=True):
        yield str(task), rows


def _regime_budgets(book: Book) -> Iterator[tuple[str, list[str], list[str]]]:
    """By outcome, the budgets at which more sequences are shown to help, and the others."""
    for task, own in _known_regime(book):
        better = set(by_budget(own.filter(pl.col("mark") == "better")["selection"]).to_list())
        budgets = by_budget(own["selection"]).unique(maintain_order=True).to_list()
        yield task, [b for b in budgets if b in better], [b for b in budgets if b not in better]


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
        .rename({name: _TRAITS[name] for name in traits})
    )
    yield from (f"- {line}" for line in resolution(own.with_columns(TITLE), book.level))
    yield ""


def disguise_lines(book: Book) -> Iterator[str]:
    """How far each selection is from the pool, and how much of its gain controls have."""
    table = book.traits
    if not table.height:
        yield "No selection has been run."
        return
    first = next(part for part in book.in_order if (table["round"] == part).any())
    own = table.filter(pl.col("round") == first).drop("round")
    yield f"Round `{first}`; those of all rounds: traits.csv.\n"
    shown = own[[column.name for column in own if column.null_count() < own.height]]
    names = {**_TRAITS, "task": "outcome"}
    yield from table_lines(
        shown.with_columns(TITLE).rename({k: v for k, v in names.items() if k in shown.columns})
    )
    for row in own.to_dicts():
        yield from _recovered(row)
    pool = next(iter(book.trait("pool_mean_low_complexity").values()), None)
    for row in own.unique("selection", keep="first", maintain_order=True).to_dicts():
        yield from _far(row, pool)
    if (own["low_complexity"] > _COMPLEXITY).any():
        yield (
            "- No control has the low complexity of a selection: what it does by itself is not "
            "known from here."
        )


def _recovered(row: dict[str, Any]) -> Iterator[str]:
    """The controls that have more than half of a selection's gain.

    Args:
        row: columns of `traits_table`.
    """
    for name, gain in row.items():
        if not name.startswith("gain_random_") or gain is None or row["mark"] != "better":
            continue
        if gain > row["gain_random"] / 2:
            yield (
                f"- {title_of(row['task'])}: {name.removeprefix('gain_')} has "
                f"{100 * gain / row['gain_random']:.0f} % of the gain of {row['selection']}."
            )


def _far(row: dict[str, Any], pool: float | None) -> Iterator[str]:
    """Lengths and low complexity that are far from the pool's.

    Args:
        row: columns of `traits_table`. pool: share of its residues that is of low complexity.
    """
    name, ratio, low = row["selection"], row["length"], row["low_complexity"]
    if ratio is not None and not 1 / _LENGTH <= ratio <= _LENGTH:
        yield f"- {name} takes sequences {ratio:.2f} times as long as the pool's."
    if low is not None and low > _COMPLEXITY:
        share = "" if pool is None else f" ({low * pool:.1%} of residues, the pool {pool:.1%})"
        yield f"- {name} takes {low:.1f} times the pool's share of low complexity{share}."


def limit_lines(book: Book) -> Iterator[str]:
    """What the figures cannot tell, from what was run."""
    facts = book.own
    pool = facts["pool"]
    yield (
        f"- One pool of {pool['residues']:,} residues and one size of model "
        f"({facts['config']['pretrain']['preset']}): another scale may answer otherwise."
    )
    if facts["config"]["corpus"]["sample"] < 1:
        share = facts["config"]["corpus"]["sample"]
        yield f"- The pool is a seeded sample of {share:g} of the distinct sequences."
    few = [name for name in book.started if len(book.rounds[name].seeds) < 3]
    if few:
        yield f"- Two seeds at most in {listed(few)}: only large differences are found there."
    if FINAL in book.started:
        tasks = book.outcomes(FINAL)
        if f"heldout_pool{MACRO}" not in tasks:
            yield "- No mean over groups: the pool's largest groups decide."
        unknown = book.decisions.filter(
            pl.col("round") == FINAL, pl.col("decision") == "unknown"
        ).height
        if unknown:
            yield f"- {unknown} of the decisions are unknown: seeds or controls are missing."
    yield "- P-values are adjusted within a round and an outcome, not over the whole page."
    yield (
        f"- Intervals are of one comparison, {1 - book.level:.0%}; p-values alone are corrected "
        "for their number."
    )
    yield (
        "- One base, one fine-tuning and one D_sub: seeds vary draws and trainings, so what is "
        "said of a score is said of one realisation of it."
    )
    if same := _of_one_coreset(book):
        yield (
            f"- The same sequences whatever the seed: {listed(same)}. Intervals and p-values of "
            "these are of that one coreset and its trainings."
        )
    sizes = {part["config"]["subset"]["size"] for part in book.facts.values()}
    if len(sizes) > 1:
        yield (
            "- Another size of D_sub changes the Fisher's sample and how often fine-tuning reads a "
            "sequence of it: the runs beside do not tell which of them matters."
        )
    base = facts["config"]["base"]
    if base["checkpoint"] is None:
        yield (
            "- The base was made from this pool, D_sub among it (of another draw a part), so "
            "fine-tuning has little to add: what it does for a base that others made is not known "
            "from here."
        )
    if facts["config"]["corpus"]["cluster"]:
        yield (
            "- Held-out sequences are resampled by cluster; of a group with few clusters little "
            "is known, whatever the interval of the mean over groups."
        )
    elif facts["config"]["heldout"]["by"] not in (None, "hash"):
        yield (
            "- Held-out sequences are taken as independent; those that were held out together as "
            "a group are not, so that intervals are too narrow."
        )


def _of_one_coreset(book: Book) -> list[str]:
    """Finalists whose coresets are alike over seeds, as all their traits to the last bit say."""
    if FINAL not in book.started:
        return []
    traits = book.main.filter(
        pl.col("task") == CORESET_TRAITS, pl.col("model").is_in(book.coresets[FINAL])
    )
    each = traits.group_by(ROW, "metric", maintain_order=True).agg(
        pl.col("value").n_unique(), n=pl.len()
    )
    rows = each.group_by("model", maintain_order=True).agg(pl.col("value").max(), pl.col("n").min())
    names = rows.filter(pl.col("value") == 1, pl.col("n") > 1)["model"].to_list()
    return [name for name in names if not row_of(name).is_control]


def cluster_lines(book: Book) -> Iterator[str]:
    """What to try at scale: instructions, and what the regime says about them."""
    yield (
        "- Ask first whether more different sequences help: `study_regime` alone, with your own "
        "files in `corpus.fasta` and your model in `pretrain`. Where random_x10 does not beat "
        "random, choose a smaller budget or more residues before you compare selections."
    )
    for task, shown, _ in _regime_budgets(book):
        at = [_percent(book, budget) for budget in shown]
        yield f"- Here, {title_of(task)}: it did at {listed(at) if at else 'no budget'}."
    yield (
        "- `config/study_gpu.yaml` lies over this configuration: `make study-gpu-rna`, "
        "`make study-gpu-protein`."
    )


def file_lines(book: Book, name: str) -> Iterator[str]:
    """What is beside the page."""
    for path, what in {
        "runs.parquet": "every figure of every model of a round",
        "facts.json": "configuration, commit, checksums, times, tables of the validation",
        "results.csv": "means and intervals by round, outcome and row",
        "comparisons.csv": "every row against its controls",
        "decisions.csv": "the rule of README.md, applied",
        "learnt.csv": "loss by group and budget",
        "traits.csv": "length, low complexity and what controls have, by selection",
        "changes.csv": "ablations against the selection without the change",
        "sources.csv": "gains over random on each source, of every round",
        "by_identity.csv": "tasks by how near test examples are to the pool and to train",
        "seen.csv": "test examples of tasks that are in the pool or in train",
        **{f"{name}.csv": "of the validation" for name in book.checks},
    }.items():
        yield f"- [{path}]({name}/{path}): {what}"
    for plot, title in plots_of(book).items():
        yield f"\n![{title}]({name}/{plot})"


def plots_of(book: Book) -> dict[str, str]:
    """Title by file of the plots that there is something for."""
    found = {}
    if book.started:
        found["budgets.svg"] = (
            "Held-out loss against budget; of other rounds where the round has no model; hollow: "
            "fewer than 3 models"
        )
    if book.decisions.drop_nulls("low").height:
        found["differences.svg"] = "Gain over the strongest control, with its interval"
    if "deciles" in book.checks:
        found["deciles.svg"] = "Held-out loss of each tenth of a score"
    if "lds" in book.checks and by_curvature(book.checks["lds"], book.own["way"]).height:
        found["lds.svg"] = "Linear datamodelling score by curvature and damping"
    if "stability" in book.checks:
        found["stability.svg"] = "Scores of changed settings against the run's own"
    return found
