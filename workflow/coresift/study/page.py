"""The page of a study in plain words: every sentence follows from the figures.

A function of the raw figures and the facts and of nothing else: `coresift.study.write` makes it
from the two files again, and a test holds the committed page to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from coresift.report.controls import row_of
from coresift.selection.names import budget_of
from coresift.study.ablations import ablation_lines, changes_in_short, trained_on
from coresift.study.book import DECISIVE, FINAL, SCALING, Book, title_of
from coresift.study.cells import ROW
from coresift.study.findings import (
    TRAITS,
    controls_in_short,
    curve_in_short,
    decision_lines,
    decisions_in_short,
    floors_in_short,
    power_in_short,
)
from coresift.study.learnt import learnt_in_short, learnt_lines
from coresift.study.regime import regime_budgets, regime_in_short, regime_lines
from coresift.study.settings import Round
from coresift.study.sources import source_lines, sources_in_short
from coresift.study.tables import CORESET_TRAITS, MACRO
from coresift.study.tasks import task_lines, tasks_in_short
from coresift.study.validity import validity_in_short, validity_lines
from coresift.study.words import TITLE, listed, percent, table_lines
from coresift.validate.plots import has_own_way

#: A coreset whose sequences are this much longer or shorter than the pool's, or this many times as
#: often of low complexity, is said to be so.
_LENGTH, _COMPLEXITY = 1.25, 1.5


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
        f"# Study: {name}\n\nMade by the rule `study` from {name}/runs.parquet and "
        f"{name}/facts.json; do not edit. What was planned: [README.md](README.md).\n"
    )
    return f"{head}\n{_glossary(book)}\n" + "".join(
        f"\n## {title}\n\n" + "\n".join(lines).rstrip("\n") + "\n"
        for title, lines in ((title, [*found]) for title, found in parts.items())
        if lines
    )


def _glossary(book: Book) -> str:
    """How names and figures read."""
    budgets = dict.fromkeys(str(budget) for part in book.rounds.values() for budget in part.budgets)
    first = min(budgets, key=book.share_of_pool, default=None)
    example = ""
    if first is not None:
        mean, budget = book.mean_length, budget_of(first)
        known, other = (
            f"{budget.residues(mean):,.0f} residues",
            f"{budget.sequences(mean):,} sequences",
        )
        if budget.unit == "sequences":
            known, other = other, known
        example = f" Of a budget `{first}` a coreset has {known}, some {other}."
    return (
        f"How to read it.{example} A gain is what is saved of the held-out loss, in nats a masked "
        "place: positive is better. `random_length:x`, `random_groups:x` and `random_complexity:x` "
        "are random draws with the lengths, the shares of sources, the low complexity of the "
        "selection x; `random_x10` draws ten "
        "times the sequences (all, where there are no more), `pool` takes all, trained on the same "
        f"residues. The gain that counts (`asked`) is {book.study['share']:g} of what random_x10 "
        "gains, 0 where that is negative. Selections: docs/selection.md.\n"
    )


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
    if facts["times"]:
        yield f"{_minutes(facts['times'])}.\n"
    yield (
        f"Gathered on: {machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"models may be of other machines (device: {facts['config']['device']}). "
        f"Commit when these figures were gathered: {facts['commit'] or 'unknown'}."
    )
    for commit, part in facts.get("kept", {}).items():
        of = [f"{len(part['models'])} models", *part["checks"]]
        yield (
            f"\nOf an earlier page, gathered at {commit}, are figures of {listed(of)}. "
            f"{_minutes(part['times'])}."
        )


def _minutes(times: Mapping[str, Mapping[str, float]]) -> str:
    """How long jobs took, by rule."""
    each = [
        f"{rule}, {spent['jobs']} jobs, {spent['wall_s'] / 60:.0f} and {spent['cpu_s'] / 60:.0f}"
        for rule, spent in times.items()
    ]
    return f"Minutes of wall and of processor, summed over jobs: {'; '.join(each)}"


def short_lines(book: Book) -> Iterator[str]:
    """What is learnt, the regime, decisions that count, ablations and tasks, a sentence each."""
    yield from learnt_in_short(book)
    yield from regime_in_short(book)
    yield from sources_in_short(book)
    yield from floors_in_short(book)
    yield from decisions_in_short(book)
    yield from power_in_short(book)
    yield from curve_in_short(book)
    yield from controls_in_short(book)
    yield from changes_in_short(book)
    yield from validity_in_short(book)
    yield from tasks_in_short(book)


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
    names = {**TRAITS, "task": "outcome"}
    yield from table_lines(
        shown.with_columns(TITLE).rename({k: v for k, v in names.items() if k in shown.columns})
    )
    for row in own.to_dicts():
        yield from _recovered(row)
    pool = next(iter(book.trait("pool_mean_low_complexity").values()), None)
    for row in own.unique("selection", keep="first", maintain_order=True).to_dicts():
        yield from _far(row, pool)
    far = own.filter(pl.col("low_complexity") > _COMPLEXITY)
    unknown = far.filter(pl.col("gain_random_complexity").is_null())
    if unknown.height:
        yield (
            "- What low complexity does by itself is not known where random_complexity has not "
            f"been run: {listed(unknown['selection'].unique(maintain_order=True).to_list())}."
        )


def _recovered(row: dict[str, Any]) -> Iterator[str]:
    """The controls that have more than half of what a selection gains or loses; of complexity any.

    Args:
        row: columns of `traits_table`.
    """
    for name, gain in row.items():
        if not name.startswith("gain_random_") or gain is None:
            continue
        what = {"better": "gain", "worse": "loss"}.get(row["mark"])
        asked = name == "gain_random_complexity" or gain / row["gain_random"] > 1 / 2
        if what is not None and asked:
            yield (
                f"- {title_of(row['task'])}: {name.removeprefix('gain_')} has "
                f"{100 * gain / row['gain_random']:.0f} % of the {what} of {row['selection']}."
            )


def _far(row: dict[str, Any], pool: float | None) -> Iterator[str]:
    """Lengths and low complexity that are far from the pool's.

    Args:
        row: columns of `traits_table`. pool: mean share of a sequence that is of low complexity.
    """
    name, ratio, low = row["selection"], row["length"], row["low_complexity"]
    if ratio is not None and not 1 / _LENGTH <= ratio <= _LENGTH:
        yield f"- {name} takes sequences {ratio:.2f} times as long as the pool's."
    if low is not None and low > _COMPLEXITY:
        share = "" if pool is None else f" ({low * pool:.1%} of a sequence, the pool's {pool:.1%})"
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
    if book.decisive:
        tasks = {task for part in book.decisive for task in book.outcomes(part)}
        if f"heldout_pool{MACRO}" not in tasks:
            yield "- No mean over groups: the pool's largest groups decide."
        unknown = book.decisions.filter(
            pl.col("round").is_in(DECISIVE), pl.col("decision") == "unknown"
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
    models = [c for part in (FINAL, SCALING) if part in book.started for c in book.coresets[part]]
    traits = book.main.filter(pl.col("task") == CORESET_TRAITS, pl.col("model").is_in(models))
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
    for task, shown, _ in regime_budgets(book):
        at = [percent(book, budget) for budget in shown]
        yield f"- Here, {title_of(task)}: it did at {listed(at) if at else 'no budget'}."
    if book.own["config"]["device"] == "cpu":
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
            "Held-out loss against budget, and gain over random; of other rounds where the round "
            "has no model; hollow: fewer than 3 models"
        )
    if book.decisions.drop_nulls("low").height:
        found["differences.svg"] = "Gain over the strongest control, with its interval"
    if "deciles" in book.checks:
        found["deciles.svg"] = "Held-out loss of each tenth of a score"
    if "lds" in book.checks and has_own_way(book.checks["lds"], book.own["way"]):
        found["lds.svg"] = "Linear datamodelling score by curvature and damping"
    if "stability" in book.checks:
        found["stability.svg"] = "Scores of changed settings against the run's own"
    return found
