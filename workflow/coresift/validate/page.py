"""The page of the validation: what each check found, in a sentence, a picture and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
from jinja2 import Environment

from coresift.report.html import html_svg, html_table
from coresift.validate.agreement import AGREEMENT, PROMISED
from coresift.validate.deciles import OUTCOMES, RESIDUES_OF

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>coresift: validation of {{ run }}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem;color:#1c2733}
h1,h2{line-height:1.2}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
td,th{border-bottom:1px solid #d5dde5;padding:.3rem .6rem;text-align:left;white-space:nowrap}
svg{height:auto;max-width:max(100%,36rem)}
.verdict{border-left:4px solid #3b6ea5;background:#eef3f8;padding:.5rem 1rem}
</style></head><body>
<h1>Does the score mean anything? {{ run }}</h1>
<p>How to read each check: docs/validate.md. Intervals are bootstrap, {{ confidence }}, one at a
time: of many ways tried, the best one's is too narrow.</p>
<div class="verdict">{% for line in verdict %}<p>{{ line }}</p>
{% endfor %}</div>
{% for part in parts %}<h2>{{ part.title }}</h2>
<p>{{ part.text }}</p>
<div class="scroll">{{ part.plot }}</div>
{% for name, table in part.tables.items() %}<details{{ " open" if loop.first }}>
<summary>{{ name }}</summary><div class="scroll">{{ table }}</div></details>
{% endfor %}{% endfor %}</body></html>
"""

#: Title and text of each check; the tables are listed in the order of `TABLES`.
_CHECKS = {
    "deciles": (
        "Decile curve",
        "Held-out loss of models pretrained on each tenth of a score, at equal residues. A score "
        "that orders data by use gives a slope; one that finds extremes gives bends at the ends. "
        "Tenths differ in length, complexity and sources too, and a slope may be theirs.",
    ),
    "lds": (
        "Linear datamodelling score",
        "Small models trained on random subsets of a small pool: Spearman of the sum of the "
        "predictions over a subset and minus the real held-out loss (Park et al. 2023). 1 = the "
        "gradients foresee which data help. Length and loss are the controls to beat.",
    ),
    "loo": (
        "Leave-one-out",
        "A tiny pool with and without each sequence, order and masks unchanged: Spearman of the "
        "predictions and the rise of the held-out loss (V), or of the sequence's own (own).",
    ),
    "stability": (
        "Assumption 1",
        "Scores of another subset, fine-tuning or base against the run's own. Overlaps by chance "
        "are the share that is taken (top).",
    ),
}


def _span(row: Mapping[str, float | None]) -> str:
    if row["spearman"] is None:
        return "undefined"
    if row["low"] is None:
        return f"{row['spearman']:.2f}"
    return f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _sees(row: Mapping[str, float | None]) -> str:
    """What an interval says about a correlation."""
    low, high = row["low"], row["high"]
    if low is None or high is None or low <= 0 <= high:
        return "no order is shown"
    return "positive" if low > 0 else "negative"


def decile_lines(order: pl.DataFrame, traits: pl.DataFrame) -> Iterator[str]:
    """Sentences a score and held-out set: its curve, and what else its tenths differ in.

    Args:
        order: of `deciles.decile_order`. traits: of `deciles.decile_traits`.
    """
    for row in order.iter_rows(named=True):
        what = {"positive": "it rises with the score", "negative": "it falls with the score"}
        seen = what.get(_sees(row), "no order is shown")
        if row["alike"]:
            seen = "tenths differ by no more than seeds do"
        spread = (
            ""
            if row["seeds"] is None
            else f" ({row['seeds']:.3f} between seeds of a tenth; p of alike tenths {row['p']:.2g})"
        )
        yield (
            f"Deciles of {row['score']}, loss of {row['set']}, {OUTCOMES[row['outcome']]}: {seen}, "
            f"Spearman of tenth and mean loss {_span(row)}. Best tenth {row['best']}, worst "
            f"{row['worst']}, {row['range']:.3f} nats apart{spread}; {row['below_random']} of 10 "
            f"tenths below random ({row['random']:.3f})."
        )
    tenths = traits.drop_nulls("decile")
    for (score,), rows in tenths.group_by("score", maintain_order=True):
        yield f"Tenths of {score} differ in more than the score: {'; '.join(_ranges(rows))}."


def _ranges(tenths: pl.DataFrame) -> Iterator[str]:
    """The least and the largest of each trait, with its tenth; of sources the widest range."""
    shown = {
        "mean_length": ("mean length", ".0f"),
        "mean_low_complexity": ("low complexity", ".1%"),
    }
    sources = [name for name in tenths.columns if name.startswith(RESIDUES_OF)]
    spans = tenths.select(pl.col(sources).max() - pl.col(sources).min()).row(0)
    widest = sorted(zip(spans, sources, strict=True), reverse=True)[:2]
    shown |= {
        name: (f"residues of {name.removeprefix(RESIDUES_OF)}", ".1%")
        for span, name in widest
        if span > 0
    }
    for name, (title, form) in shown.items():
        low, high = tenths.sort(name, maintain_order=True)[[0, -1]].to_dicts()
        yield (
            f"{title} {low[name]:{form}} (tenth {low['decile']}) to {high[name]:{form}} "
            f"(tenth {high['decile']})"
        )


def agreement_lines(
    title: str, table: pl.DataFrame, way: Mapping[str, object], damping: float
) -> Iterator[str]:
    """Sentences on the run's own way to score (`way`), by model; on the best way; on the noise.

    Args:
        table: `agreement.AGREEMENT`. way: loss, parameters, curvature. damping: the run's.
    """
    known = table.filter(pl.col("spearman").is_not_null())
    for (of,), rows in table.group_by("of", maintain_order=True):
        yield f"{title}, {_noise(str(of), rows.row(0, named=True))}"
    for row in own_rows(table, way, damping).iter_rows(named=True):
        shown = "" if row["damping"] is None else f" at damping {row['damping']:g}"
        yield (
            f"{title}, {row['score']} against {row['of']}, gradients of {row['model']}, the run's "
            f"own loss, parameters and curvature{shown}, by residues: {_span(row)}, {_sees(row)}."
        )
    for (of,), rows in known.group_by("of", maintain_order=True):
        promised = rows.filter(pl.col("score") == PROMISED[str(of)])
        for row in promised.sort("spearman", descending=True).head(1).iter_rows(named=True):
            yield (
                f"{title}, best of {promised.height} ways against {of}: "
                f"{row['spearman']:.2f} (by {row['weights']}, {row['model']}, {row['loss']}, "
                f"{row['parameters']}, {row['curvature']}); the best of so many stays below "
                f"{row['best_by_chance']:.2f} by chance."
            )
        controls = rows.filter(pl.col("curvature").is_null())
        strongest = controls.sort(pl.col("spearman").abs(), descending=True).head(1)
        for row in strongest.iter_rows(named=True):
            yield f"{title}, strongest control against {of}: {row['score']} {_span(row)}."


def own_rows(table: pl.DataFrame, way: Mapping[str, object], damping: float) -> pl.DataFrame:
    """The run's own way to score, by what is predicted, model and score, by residues.

    Of the dampings tried, the one nearest to the run's own. Of V `target`, which foresees it, and
    `self`, which selections go by; of a sequence itself `self` alone.
    """
    asked = table.filter(
        *(pl.col(name) == value for name, value in way.items()),
        pl.col("weights") == "residues",
        (pl.col("of") == "V") | (pl.col("score") == "self"),
    )
    keys = ["of", "model", "score"]
    distance = (pl.col("damping") - damping).abs().fill_null(0)
    return asked.filter(distance == distance.min().over(keys)).unique(
        keys, keep="first", maintain_order=True
    )


def _noise(of: str, row: Mapping[str, float | None]) -> str:
    """How far a retraining's order is that of another, so that a prediction can be judged."""
    if row["reliability"] is None or row["ceiling"] is None:
        return f"{of}: one retraining; how noisy it is nobody knows."
    if row["ceiling"] <= 0:
        return f"{of}: too noisy to judge any prediction, reliability {row['reliability']:.2f}."
    return (
        f"{of}: two retrainings agree by {row['reliability']:.2f}, so that a perfect prediction "
        f"would reach about {row['ceiling']:.2f}."
    )


def stability_lines(table: pl.DataFrame) -> Iterator[str]:
    """A sentence a score, of `stability.STABILITY`: the worst agreement of each factor."""
    for (score,), rows in least_top(table).group_by("score", maintain_order=True):
        known = rows.drop_nulls("spearman").sort("spearman")
        worst = [
            f"{row['factor']} {row['value']:g}: {row['spearman']:.2f} "
            f"(top {row['top']:.0%} overlap {row['overlap']:.2f})"
            for row in known.unique("factor", keep="first", maintain_order=True).to_dicts()
        ]
        if worst:
            yield f"Assumption 1, {score}, least Spearman when this changes: {'; '.join(worst)}."


def least_top(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of changed settings at the smallest share of the top."""
    return table.filter(pl.col("top") == pl.col("top").min(), pl.col("factor") != "score")


def render(
    run: str,
    confidence: float,
    way: Mapping[str, object],
    damping: float,
    tables: Mapping[str, str | Path],
    plots: Mapping[str, str | Path],
) -> str:
    """The page.

    Args:
        way: the run's own loss, parameters and curvature, as columns of `tables.WAY` name them.
        damping: the run's own.
        tables: CSV by check, and `{check}_noise`, `_order` or `_traits` where there is one.
        plots: SVG by check.
    """
    frames = {
        name: pl.read_csv(
            path,
            infer_schema_length=None,
            schema_overrides=dict(AGREEMENT) if name in ("lds", "loo") else None,
        )
        for name, path in tables.items()
    }
    lines: list[str] = []
    if "deciles" in frames:
        lines += decile_lines(frames["deciles_order"], frames["deciles_traits"])
    for check in ("lds", "loo"):
        if check in frames:
            lines += agreement_lines(_CHECKS[check][0], frames[check], way, damping)
    if "stability" in frames:
        lines += stability_lines(frames["stability"])
    parts = [
        {
            "title": _CHECKS[check][0],
            "text": _CHECKS[check][1],
            "plot": html_svg(plots[check]),
            "tables": {
                Path(tables[name]).name: html_table(frame)
                for name, frame in sorted(frames.items(), reverse=True)
                if name.split("_")[0] == check
            },
        }
        for check in plots
    ]
    page = Environment(autoescape=True).from_string(_PAGE)
    return page.render(run=run, confidence=f"{confidence:.0%}", verdict=lines, parts=parts)
