"""The page of the validation: what each check found, in a sentence, a picture and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Check:
    """What a reader is told of a check.

    Attributes:
        title: of its section. text: what is measured, and which way its figures go.
        more, less: what a positive and a negative correlation say.
    """

    title: str
    text: str
    more: str = "positive"
    less: str = "negative"


#: The tables of each are listed in the order of `TABLES`.
CHECKS = {
    "deciles": Check(
        "Decile curve",
        "Held-out loss of models pretrained on each tenth of a score, at equal residues. A score "
        "that orders data by use gives a slope; one that finds extremes gives bends at the ends. "
        "Tenths differ in length, complexity and sources too, and a slope may be theirs. Positive "
        "= what scores higher teaches less.",
        "the loss rises with the score",
        "the loss falls with the score",
    ),
    "lds": Check(
        "Linear datamodelling score",
        "Small models trained on random subsets of a small pool: rank correlation, over subsets, "
        "of what gradients foresee of a subset and minus the mean loss that its model has on the "
        "held-out sequences V (after Park et al. 2023). `target`, the influence on V: 1 = the "
        "gradients foresee which data help. `self`, the self-influence that selections go by, "
        "promises no sign: negative = subsets with more of it end with a higher loss. Gradients "
        "are those of `pool`, the small models of all of the small pool, or of `finetuned`, the "
        "model that the run's scores are of. Length and loss are the controls to beat.",
        "subsets with more of it end with a lower loss",
        "subsets with more of it end with a higher loss",
    ),
    "loo": Check(
        "Leave-one-out",
        "A tiny pool with and without each sequence, order and masks unchanged: rank correlation "
        "of the predictions and the rise of the held-out loss (V), or of the sequence's own (own).",
        "without what has more of it the loss rises more",
        "without what has more of it the loss rises less",
    ),
    "stability": Check(
        "Assumption 1",
        "Scores of another subset, fine-tuning or base against the run's own. Overlaps by chance "
        "are the share that is taken (top).",
    ),
}
#: What is changed, and scores, as a reader meets them.
FACTORS = {
    "subset": "seed of D_sub alone",
    "all seeds": "seed of D_sub, base and fine-tuning",
    "subset size": "size of D_sub, times its own",
    "fine-tuning epochs": "epochs of fine-tuning",
    "base width": "width of the base, times its own",
}
_SCORES = {
    "influence": "influence of a sequence",
    "residue": "influence times length",
    "other_loss": "influence of a sequence, by the other loss",
}


def span(row: Mapping[str, float | None]) -> str:
    """A correlation with its interval."""
    if row["spearman"] is None:
        return "undefined"
    if row["low"] is None:
        return f"{row['spearman']:.2f}"
    return f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def sees(row: Mapping[str, float | None], check: str) -> str:
    """What an interval says about a correlation of a check."""
    low, high = row["low"], row["high"]
    if low is None or high is None or low <= 0 <= high:
        return "no order is shown"
    return CHECKS[check].more if low > 0 else CHECKS[check].less


def decile_lines(order: pl.DataFrame, traits: pl.DataFrame) -> Iterator[str]:
    """Sentences a score and held-out set: its curve, and what else its tenths differ in.

    Args:
        order: of `deciles.decile_order`. traits: of `deciles.decile_traits`.
    """
    for row in order.iter_rows(named=True):
        yield (
            f"Deciles of {row['score']}, loss of {row['set']}, {OUTCOMES[row['outcome']]}: "
            f"{decile_order_seen(row)}, Spearman of tenth and mean loss {span(row)}. Best tenth "
            f"{row['best']}, worst {row['worst']}, {row['range']:.3f} nats apart"
            f"{_between_seeds(row)}; {row['below_random']} of 10 means below random's "
            f"({row['random']:.3f}{_of_random(row)})."
        )
    tenths = traits.drop_nulls("decile")
    for (score,), rows in tenths.group_by("score", maintain_order=True):
        yield f"Tenths of {score} differ in more than the score: {'; '.join(_ranges(rows))}."


def decile_order_seen(row: Mapping[str, Any]) -> str:
    """What a curve's order and its seeds say (a row of `deciles.decile_order`)."""
    order = sees(row, "deciles")
    if not row["alike"]:
        return order
    if order in (CHECKS["deciles"].more, CHECKS["deciles"].less):
        return f"{order}, but seeds alone may make tenths differ as much"
    return "no difference between tenths is shown"


def _between_seeds(row: Mapping[str, Any]) -> str:
    if row["seeds"] is None:
        return ""
    return (
        f" ({row['seeds']:.3f} between seeds of a tenth; p of alike tenths, adjusted, "
        f"{row['p_adjusted']:.2g})"
    )


def _of_random(row: Mapping[str, Any]) -> str:
    if row["random_seeds"] is None:
        return ", one model"
    return f", {row['random_models']} models, {row['random_seeds']:.3f} between them"


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
    check: str,
    table: pl.DataFrame,
    noise: pl.DataFrame,
    way: Mapping[str, object],
    damping: float,
) -> Iterator[str]:
    """Sentences on the run's own way to score (`way`), by model; on the best way; on the noise.

    Args:
        check: lds | loo.
        table: `agreement.AGREEMENT`. noise: of `agreement.noise_of`.
        way: loss, parameters, curvature. damping: the run's.
    """
    title = CHECKS[check].title
    known = table.filter(pl.col("spearman").is_not_null())
    for row in noise.iter_rows(named=True):
        yield f"{title}, {_spread(row)}"
    for (of,), rows in table.group_by("of", maintain_order=True):
        yield f"{title}, {_noise(str(of), rows.row(0, named=True))}"
    for row in own_rows(table, way, damping).iter_rows(named=True):
        shown = "" if row["damping"] is None else f" at damping {row['damping']:g}"
        yield (
            f"{title}, {row['score']} against {row['of']}, gradients of {row['model']}, the run's "
            f"own loss, parameters and curvature{shown}, by residues: {span(row)}, "
            f"{sees(row, check)}."
        )
    for (of,), rows in known.group_by("of", maintain_order=True):
        n_ways, best = best_way(rows, str(of))
        for row in best.iter_rows(named=True):
            yield (
                f"{title}, best of {n_ways} ways against {of}: "
                f"{row['spearman']:.2f} ({way_text(row)}); the best of so many stays below "
                f"{row['best_by_chance']:.2f} by chance."
            )
        yield f"{title}, strongest control against {of}: {strongest_control(rows)}."


def best_way(rows: pl.DataFrame, of: str) -> tuple[int, pl.DataFrame]:
    """How many ways promise to foresee what is predicted, and the row of the best, if any."""
    promised = rows.filter(pl.col("of") == of, pl.col("score") == PROMISED[of])
    known = promised.drop_nulls("spearman")
    return known.height, known.sort("spearman", descending=True).head(1)


def strongest_control(rows: pl.DataFrame) -> str:
    """Of length and loss that which goes most with what is predicted, either way."""
    controls = rows.filter(pl.col("curvature").is_null()).drop_nulls("spearman")
    strongest = controls.sort(pl.col("spearman").abs(), descending=True).head(1)
    for row in strongest.iter_rows(named=True):
        name = "length" if row["score"] == "length" else f"{row['loss']} loss of {row['model']}"
        return f"{name} {span(row)}"
    return "none"


def way_text(row: Mapping[str, Any]) -> str:
    """A way to score, in words."""
    damping = "" if row["damping"] is None else f", damping {row['damping']:g}"
    return (
        f"by {row['weights']}, {row['model']}, {row['loss']}, {row['parameters']}, "
        f"{row['curvature']}{damping}"
    )


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


def _spread(row: Mapping[str, Any]) -> str:
    """What retrainings lose, and how far they differ (a row of `agreement.noise_of`)."""
    seeds = "" if row["between_seeds"] is None else f", {row['between_seeds']:.4f} between seeds"
    said = f"{row['mean']:.4f} nats on average, {row['between_runs']:.4f} between runs{seeds}"
    if row["letters"] is None:
        return f"{row['of']}: changes of {said}."
    learnt = row["letters"] - row["mean"]
    side = "below" if learnt >= 0 else "above"
    return (
        f"{row['of']}: losses of {said}; that is {abs(learnt):.4f} {side} letter frequencies "
        f"({row['letters']:.4f})."
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
            f"{FACTORS[row['factor']]} {row['value']:g}: {row['spearman']:.2f} "
            f"(top {row['top']:.0%} overlap {row['overlap']:.2f})"
            for row in known.unique("factor", keep="first", maintain_order=True).to_dicts()
        ]
        if worst:
            yield (
                f"Assumption 1, {_SCORES[str(score)]}, least Spearman when this changes: "
                f"{'; '.join(worst)}."
            )


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
            noise = frames[f"{check}_noise"]
            lines += agreement_lines(check, frames[check], noise, way, damping)
    if "stability" in frames:
        lines += stability_lines(frames["stability"])
    parts = [
        {
            "title": CHECKS[check].title,
            "text": CHECKS[check].text,
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
