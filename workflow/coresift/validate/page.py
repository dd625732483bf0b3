"""The page of the validation: what each check found, in a sentence, a picture and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
from jinja2 import Environment

from coresift.report.html import html_svg, html_table

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
        "that orders data by use gives a slope; one that finds extremes gives bends at the ends.",
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


def decile_lines(order: pl.DataFrame) -> Iterator[str]:
    """A sentence a score and held-out set, of `deciles.decile_order`."""
    for row in order.iter_rows(named=True):
        what = {
            "positive": "the higher it scores, the less the data teach",
            "negative": "the higher it scores, the more the data teach",
        }.get(_sees(row), "no order is shown")
        yield (
            f"Deciles of {row['score']} (held out: {row['set']}): Spearman of decile and loss "
            f"{_span(row)}: {what}. Best tenth {row['best']}, worst {row['worst']}, "
            f"{row['range']:.3f} nats apart."
        )


def agreement_lines(
    title: str, table: pl.DataFrame, way: Mapping[str, object], damping: float
) -> Iterator[str]:
    """Sentences on the run's own way to score (`way`), by model; on the best way; on the noise.

    Args:
        table: `agreement.AGREEMENT`. way: loss, parameters, curvature. damping: the run's.
    """
    for (of, model, score), rows in table.filter(
        *(pl.col(name) == value for name, value in way.items()),
        pl.col("weights") == "residues",
        (pl.col("of") == "V") | (pl.col("score") == "self"),
    ).group_by("of", "model", "score", maintain_order=True):
        # Of the dampings tried, the one nearest to the run's own.
        nearest = rows.sort((pl.col("damping") - damping).abs(), maintain_order=True).head(1)
        for row in nearest.iter_rows(named=True):
            shown = "" if row["damping"] is None else f" at damping {row['damping']:g}"
            yield (
                f"{title}, {score} against {of}, gradients of {model}, the run's own loss, "
                f"parameters and curvature{shown}: {_span(row)}, {_sees(row)}."
            )
    controls = table.filter(pl.col("curvature").is_null() & pl.col("spearman").is_not_null())
    for of, rows in table.filter(pl.col("spearman").is_not_null()).group_by(
        "of", maintain_order=True
    ):
        best = rows.drop_nulls("curvature").sort("spearman", descending=True).head(1)
        for row in best.iter_rows(named=True):
            yield (
                f"{title}, best of {rows.drop_nulls('curvature').height} ways against {of[0]}: "
                f"{row['spearman']:.2f} ({row['score']} by {row['weights']}, {row['model']}, "
                f"{row['loss']}, {row['parameters']}, {row['curvature']})"
                + ("." if row["ceiling"] is None else f"; noise allows {row['ceiling']:.2f}.")
            )
        strongest = controls.filter(pl.col("of") == of[0]).sort(
            pl.col("spearman").abs(), descending=True
        )
        for row in strongest.head(1).iter_rows(named=True):
            yield f"{title}, strongest control against {of[0]}: {row['score']} {_span(row)}."


def stability_lines(table: pl.DataFrame) -> Iterator[str]:
    """A sentence a score, of `stability.STABILITY`: the worst agreement of each factor."""
    smallest = table.filter(pl.col("top") == pl.col("top").min(), pl.col("factor") != "score")
    for (score,), rows in smallest.group_by("score", maintain_order=True):
        known = rows.drop_nulls("spearman").sort("spearman")
        worst = [
            f"{row['factor']} {row['value']:g}: {row['spearman']:.2f} "
            f"(top {row['top']:.0%} overlap {row['overlap']:.2f})"
            for row in known.unique("factor", keep="first", maintain_order=True).to_dicts()
        ]
        if worst:
            yield f"Assumption 1, {score}, least Spearman when this changes: {'; '.join(worst)}."


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
        tables: CSV by check, and `{check}_noise` or `{check}_order` where there is one.
        plots: SVG by check.
    """
    frames = {name: pl.read_csv(path, infer_schema_length=None) for name, path in tables.items()}
    lines: list[str] = []
    if "deciles" in frames:
        lines += decile_lines(frames["deciles_order"])
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
