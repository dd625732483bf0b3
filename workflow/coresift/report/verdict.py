"""What a run says: marks of every selection against its controls, and sentences."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from coresift.report.controls import REGIME, UNIGRAM, absent, explains, row_of, short
from coresift.report.markup import listed
from coresift.report.seen import leakage

SIGNS = {"better": "+", "no different": "=", "worse": "\N{MINUS SIGN}", "unknown": "?"}
LEGEND = "+ better than the control, = no different, \N{MINUS SIGN} worse, ? one seed: nobody knows"
#: Fewer coreset seeds than this are a caution.
ENOUGH = 3


def _unique(frame: pl.DataFrame, column: str) -> list[str]:
    return frame[column].unique(maintain_order=True).to_list()


def with_protocol(table: pl.DataFrame) -> pl.DataFrame:
    """The same rows, tasks named with their protocol: 'sec_struct (quick)'."""
    named = pl.format("{} ({})", "task", pl.col("protocol").fill_null(""))
    return table.with_columns(
        task=pl.when(pl.col("protocol").is_null()).then("task").otherwise(named)
    )


def marks_table(comparisons: pl.DataFrame) -> pl.DataFrame:
    """Rows by outcomes: a mark for each control, e.g. 'random +, length =, untrained +'.

    Args:
        comparisons: columns of `tables.COMPARISON`.

    Returns:
        Columns selection, seeds and one an outcome, text.
    """
    cells = with_protocol(comparisons).with_columns(
        cell=pl.format(
            "{} {}",
            pl.col("control").map_elements(short, pl.String),
            pl.col("mark").replace_strict(SIGNS, return_dtype=pl.String),
        )
    )
    joined = cells.group_by("selection", "task", maintain_order=True).agg(
        pl.col("seeds").first(), pl.col("cell").str.join(", ")
    )
    seeds = joined.group_by("selection", maintain_order=True).agg(pl.col("seeds").first())
    wide = joined.pivot(on="task", index="selection", values="cell").fill_null("")
    return seeds.with_columns(pl.col("seeds").cast(pl.String)).join(
        wide, on="selection", maintain_order="left"
    )


def as_lines(table: pl.DataFrame) -> list[str]:
    """A table of text as lines, columns aligned, for a terminal."""
    rows = [table.columns, *table.rows()]
    widths = [max(len(row[i]) for row in rows) for i in range(table.width)]
    return ["  ".join(f"{v:{w}}" for v, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def _gain(rows: pl.DataFrame) -> str:
    """The sentence of one selection that is better than random on one outcome."""
    name, task = rows["selection"][0], rows["task"][0]
    matched = rows.filter(pl.col("role") == "matched")
    rivals = rows.filter(pl.col("role") != "floor")
    beaten = rivals.filter(pl.col("mark") == "better").sort("gain").row(0, named=True)
    strongest = (
        f"the strongest control that it beats is {beaten['control']} "
        f"(by {beaten['gain']:.3g} {beaten['metric']})"
    )
    if not matched.height:
        return (
            f"{task}: {name} is better than random, with no matched control beside it "
            f"(selection.controls): its lengths or its sources may explain the gain; {strongest}."
        )
    open_ = matched.filter(pl.col("mark") != "better")
    if not open_.height:
        every = "better than random and than every control matched to it"
        return f"{task}: {name} is {every}; {strongest}."
    why = [f"{row['control']} ({explains(row['control'])})" for row in open_.to_dicts()]
    return (
        f"{task}: {name} is better than random, but not shown to be better than {listed(why)}, "
        f"which may explain the gain; {strongest}."
    )


def gains(comparisons: pl.DataFrame) -> list[str]:
    """Whether a selection is better than random and than its matched controls, by outcome."""
    lines, none = [], []
    against = comparisons.filter(pl.col("role") == "random")
    if not against.height:
        return ["No selection has a random control of the same budget in this run."]
    for task in _unique(against, "task"):
        rows = against.filter(pl.col("task") == task)
        better = rows.filter(pl.col("mark") == "better")["selection"].to_list()
        own = comparisons.filter(pl.col("task") == task)
        lines += [_gain(own.filter(pl.col("selection") == name)) for name in better]
        none += [task] * (not better)
        worse = rows.filter(pl.col("mark") == "worse")["selection"].to_list()
        if worse:
            lines.append(f"{task}: worse than random: {', '.join(worse)}.")
    if none:
        lines.insert(0, f"No selection is shown to be better than random on {listed(none, 'or')}.")
    return lines


def _held_out_first(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of held-out sets if there are any: a task's probe tells models apart less well."""
    held_out = rows.filter(pl.col("task").str.starts_with("heldout_"))
    return held_out if held_out.height else rows


def regime(comparisons: pl.DataFrame) -> list[str]:
    """Whether more data at equal compute differ from random, by budget."""
    rows = _held_out_first(comparisons.filter(pl.col("role") == "regime"))
    missing = [
        name
        for name in REGIME
        if not any(row_of(row).kind == name for row in _unique(rows, "selection"))
    ]
    without = f" ({listed(missing)}: not in this run)" if missing else ""
    if len(missing) == len(REGIME):
        return [
            "Whether this run could show redundancy is not known: neither pool nor random_x10 "
            "is among selection.strategies."
        ]
    lines = []
    for control in _unique(rows, "control"):
        own = rows.filter(pl.col("control") == control)
        names, tasks = _unique(own, "selection"), listed(_unique(own, "task"))
        if (own["mark"] == "unknown").all():
            lines.append(f"Whether this run could show redundancy is not known: one seed{without}.")
            continue
        known = own.filter(pl.col("mark").is_in(["better", "worse"]))
        if known.height:
            found = [f"{r['selection']} is {r['mark']} on {r['task']}" for r in known.to_dicts()]
            lines.append(
                f"More data at equal compute differ from {control}: {listed(found)}{without}."
            )
            continue
        subject = f"Neither {' nor '.join(names)} is" if len(names) > 1 else f"{names[0]} is not"
        several = own["task"].n_unique() > 1
        seen = [
            f"{row['selection']}{' on ' + row['task'] if several else ''} {row['gain']:+.2g}, "
            f"detected from {row['detectable']:.2g}"
            for row in own.drop_nulls("detectable").to_dicts()
        ]
        lines.append(
            f"{subject} shown to differ from {control} on {tasks}{without} ({'; '.join(seen)}): "
            "more seeds are needed, or more data change nothing here and this run cannot show "
            "redundancy (train for more epochs, at a smaller budget, or a larger model)."
        )
    return lines


def resolution(comparisons: pl.DataFrame, level: float) -> list[str]:
    """The smallest differences from random that the seeds could detect, of which selection."""
    rows = comparisons.filter(pl.col("role") == "random")
    known = rows.drop_nulls("detectable")
    if not rows.height:
        return []
    if not known.height:
        return [
            "One coreset seed: how far seeds scatter is not known, and no difference is judged."
        ]
    budgets = pl.Series([str(row_of(name).budget) for name in known["selection"]])
    parts = []
    for (task, _), own in known.group_by("task", budgets.alias("budget"), maintain_order=True):
        ends = own.sort("detectable", maintain_order=True)[[0, -1]].to_dicts()
        least, most = (f"{row['detectable']:.2g}" for row in ends)
        if least != most:
            least, most = (f"{row['detectable']:.2g} ({row['selection']})" for row in ends)
        between = " to ".join(dict.fromkeys([least, most]))
        parts.append(f"{between} {own['metric'][0]} on {task}")
    counts = sorted(set(known["seeds"]) | set(known["control_seeds"]))
    return [
        f"With {listed([str(n) for n in counts], 'or')} seeds the smallest difference from random "
        f"that is detected with 80 % power at the {level:.0%} level is {listed(parts)}; correction "
        "over many comparisons asks for more."
    ]


def above_unigram(results: pl.DataFrame) -> list[str]:
    """The trained models that know no more than letter frequencies.

    Args:
        results: columns of `tables.RESULT`.
    """
    loss = results.filter(pl.col("metric") == "loss", pl.col("task").str.starts_with("heldout_"))
    line = loss.filter(pl.col("selection") == UNIGRAM).select("task", line="mean")
    trained = loss.filter(~pl.col("selection").is_in([UNIGRAM, "untrained"])).join(line, on="task")
    lines = []
    for (task,), rows in trained.group_by("task", maintain_order=True):
        known = pl.col("mean").is_finite()
        names = rows.filter(known, pl.col("mean") >= pl.col("line"))["selection"].to_list()
        if names:
            lines.append(
                f"{task}: {listed(names)} {'is' if len(names) == 1 else 'are'} above the unigram "
                f"loss ({rows['line'][0]:.3f} nats): nothing learnt that letter frequencies do not "
                "tell."
            )
    return lines


def cautions(
    results: pl.DataFrame, comparisons: pl.DataFrame, aimed: Mapping[str, str]
) -> list[str]:
    """What is not compared, few seeds, no held-out set, controls that are absent."""
    there = {row_of(name).selection for name in _unique(results, "selection")}
    lines = [
        f"heldout_{held_out}: {name} is not compared, for its score is the influence on these very "
        "sequences (influence.targets)."
        for name, held_out in aimed.items()
        if name in there
    ]
    drawn = comparisons.filter(pl.col("role") != "floor")
    fewest = min([*drawn["seeds"], *drawn["control_seeds"]], default=ENOUGH)
    if fewest < ENOUGH:
        lines.append(
            "Fewer than three coreset seeds: their scatter is hardly known, so only large "
            "differences are found."
        )
    held_out = results["task"].str.starts_with("heldout_").any()
    if not held_out:
        lines.append("No held-out set in this run (heldout.share, heldout.files).")
    missing = [n for n in absent(_unique(results, "selection")) if held_out or n != UNIGRAM]
    if missing:
        lines.append(f"Controls not in this run: {', '.join(missing)}.")
    return lines


def sentences(
    results: pl.DataFrame,
    comparisons: pl.DataFrame,
    seen: pl.DataFrame,
    level: float,
    aimed: Mapping[str, str],
) -> list[str]:
    """All that a reader must know first, in order.

    Args:
        results: columns of `tables.RESULT`.
        comparisons: columns of `tables.COMPARISON`.
        seen: columns of `tables.SEEN`.
        level: of the marks.
        aimed: selections by influence on a held-out set, and the set (see `results.unbiased`).
    """
    results, comparisons = with_protocol(results), with_protocol(comparisons)
    return [
        *gains(comparisons),
        *regime(comparisons),
        *resolution(comparisons, level),
        *above_unigram(results),
        *leakage(seen),
        *cautions(results, comparisons, aimed),
    ]
