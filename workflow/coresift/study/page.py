"""The page of a study in plain words: every sentence follows from the figures.

A function of the raw figures and the facts and of nothing else: `coresift.study.write` makes it
from the two files again, and a test holds the committed page to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from coresift.report.controls import row_of
from coresift.report.verdict import gains, resolution
from coresift.study.ablations import ablation_lines, changes_in_short, trained_on
from coresift.study.book import ABLATIONS, FINAL, SCREEN, Book, title_of
from coresift.study.cells import HELD_OUT, by_budget, by_selection
from coresift.study.decide import PAPER, chosen, ranking
from coresift.study.disguise import MATCHED
from coresift.study.settings import Round
from coresift.study.tables import MACRO
from coresift.study.tasks import task_lines, tasks_in_short
from coresift.study.validity import validity_in_short, validity_lines
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
        "Is there redundancy to be seen?": regime_lines(book),
        "What helps, what does not": decision_lines(book),
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
    return head + "".join(
        f"\n## {title}\n\n" + "\n".join(lines).rstrip("\n") + "\n"
        for title, lines in ((title, [*found]) for title, found in parts.items())
        if lines
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
    rows = [_counts(name, part, len(book.models(name))) for name, part in book.rounds.items()]
    alongside = [
        _counts(f"{label}: {name}", part, len(book.tested(label) & set(part.coresets())))
        for label, name, part in book.beside
    ]
    yield from table_lines(pl.DataFrame([*rows, *alongside]))
    missing = [row["round"] for row in rows if row["round"] not in book.started]
    partial = [
        row["round"]
        for row in rows
        if row["round"] in book.started and row["models"] < row["planned"]
    ]
    partial += [row["round"] for row in alongside if row["models"] < row["planned"]]
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
    for rule, spent in facts["times"].items():
        yield (
            f"{rule}: {spent['jobs']} jobs, {spent['wall_s'] / 60:.1f} min of wall and "
            f"{spent['cpu_s'] / 60:.1f} min of processor time, summed over jobs.\n"
        )
    yield (
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}. "
        f"Commit when these figures were gathered: {facts['commit'] or 'unknown'}."
    )


def short_lines(book: Book) -> Iterator[str]:
    """What is learnt, the regime, decisions that count, ablations and tasks, a sentence each."""
    yield from _learnt_in_short(book)
    yield from _regime_in_short(book)
    yield from _decisions_in_short(book)
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
            yield f"- Learnt from another selection alone: {listed(others)}."


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
            f"{listed(said.pop('helps'))}."
        )
        for kind, names in said.items():
            if names:
                yield f"- {title}: {_SAID[kind]}: {listed(names)}."
        short = rows.filter(pl.col("decision") == "not shown", pl.col("high") < pl.col("asked"))
        if short.height:
            names = [_at(r) for r in short.to_dicts()]
            yield (
                f"- {title}: the interval of the gain ends below what counts for {listed(names)}."
            )


#: Decisions as a reader meets them.
_SAID = {
    "uncontrolled": "better than random by what counts, and no matched control was planned",
    "too little": "better than every control, by less than counts",
    "not shown": "no difference from the strongest control is shown",
    "worse": "worse than a control",
    "unknown": "not decided, as models or controls are missing",
}


def _at(row: dict[str, Any]) -> str:
    return f"{row['selection']} at {row['budget']}"


def _decided(row: dict[str, Any]) -> str:
    """A selection's gain over its strongest control, nats, with its interval."""
    name = _at(row)
    if row["decision"] == "unknown":
        return name
    return (
        f"{name} (gain over {row['control']} {row['gain']:.3f} [{row['low']:.3f}, "
        f"{row['high']:.3f}], adjusted p {row['p_adjusted']:.2g})"
    )


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
    best = rest.sort("gain", descending=True).unique("group", keep="first", maintain_order=True)
    return [f"{r['group']} ({_at(r)}, {r['gain']:.2f} nats)" for r in best.to_dicts()]


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
    yield f"- Another selection alone teaches: {listed(others)}."
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
    yield from table_lines(
        book.regime.select(
            TITLE.alias("outcome"),
            *("selection", "control", "gain", "p_adjusted", "mark", "seeds", "control_seeds"),
        )
    )
    for task, shown, without in _regime_budgets(book):
        yield f"- {title_of(task)}: shown at {listed(shown)}, not shown at {listed(without)}."
    yield (
        "\nWhere it is not shown, no redundancy within this mixture of sources can be seen, and a "
        "selection that keeps the mixture has nothing to gain; one that changes it may."
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
            own = book.comparisons.filter(pl.col("round") == part).drop("round")
            yield from (f"- {line}" for line in gains(own.filter(HELD_OUT)))
            yield from (f"- {line}" for line in resolution(own.filter(HELD_OUT), book.level))
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
    yield from (f"- {line}" for line in resolution(own, book.level))
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
    yield from table_lines(own.with_columns(TITLE).rename({**_TRAITS, "task": "outcome"}))
    for row in own.to_dicts():
        yield from _recovered(row)
    for row in own.unique("selection", keep="first", maintain_order=True).to_dicts():
        yield from _far(row)


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


def _far(row: dict[str, Any]) -> Iterator[str]:
    """Lengths and low complexity that are far from the pool's.

    Args:
        row: columns of `traits_table`.
    """
    name, ratio, low = row["selection"], row["length"], row["low_complexity"]
    if ratio is not None and not 1 / _LENGTH <= ratio <= _LENGTH:
        yield f"- {name} takes sequences {ratio:.2f} times as long as the pool's."
    if low is not None and low > _COMPLEXITY:
        yield f"- {name} takes {low:.1f} times the pool's share of low complexity."


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


def cluster_lines(book: Book) -> Iterator[str]:
    """What to try at scale: instructions, and what the regime says about them."""
    yield (
        "- Ask first whether redundancy can be seen: `study_regime` alone, with your own files in "
        "`corpus.fasta` and your model in `pretrain`. Where random_x10 does not beat random, "
        "choose a smaller budget or more residues before you compare selections."
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
    if "lds" in book.checks:
        found["lds.svg"] = "Linear datamodelling score by curvature and damping"
    if "stability" in book.checks:
        found["stability.svg"] = "Scores of changed settings against the run's own"
    return found
