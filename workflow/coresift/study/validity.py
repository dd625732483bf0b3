"""What a study's page says of the validation: does the score mean anything?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from coresift.study.book import Book, title_of
from coresift.study.tables import MACRO
from coresift.study.words import listed, table_lines
from coresift.validate.agreement import PROMISED
from coresift.validate.page import (
    CHECKS,
    FACTORS,
    agreement_lines,
    best_way,
    decile_lines,
    decile_order_seen,
    least_top,
    own_rows,
    sees,
    span,
    stability_lines,
    strongest_control,
    way_text,
)

#: Columns of the stability's table as a reader meets them.
_MEASURES = {
    "spearman": "Spearman",
    "spearman_given_length": "Spearman, length taken out",
    "overlap": "of the top, the same",
}


def validity_in_short(book: Book) -> Iterator[str]:
    """One sentence a decile curve, gradient and redrawn D_sub."""
    tables = book.checks
    for row in tables.get("deciles_order", pl.DataFrame()).iter_rows(named=True):
        task = f"heldout_{row['set']}" + ("" if row["outcome"] == "loss" else MACRO)
        yield (
            f"- Tenths of {row['score']}, {title_of(task)}: {decile_order_seen(row)} "
            f"(Spearman {span(row)}); best tenth {row['best']}, worst {row['worst']}, "
            f"{row['range']:.3f} nats apart, {row['below_random']} of 10 below random's."
        )
    if "lds" in tables:
        of_v = own_rows(tables["lds"], book.own["way"], book.own["damping"])
        for row in of_v.iter_rows(named=True):
            what = "self-influence" if row["score"] == "self" else "influence on held-out data"
            yield (
                f"- Datamodelling score, {what}, gradients of {row['model']}: {span(row)}, "
                f"{sees(row, 'lds')}."
            )
        n_ways, best = best_way(tables["lds"], "V")
        for row in best.iter_rows(named=True):
            yield (
                f"- Datamodelling score, best of {n_ways} ways for the influence on "
                f"held-out data: {row['spearman']:.2f} ({way_text(row)}; by chance below "
                f"{row['best_by_chance']:.2f}); strongest control: "
                f"{strongest_control(tables['lds'])}."
            )
    if "stability" in tables:
        redrawn = least_top(tables["stability"]).filter(
            pl.col("factor") == "subset", pl.col("score") == "influence"
        )
        for row in redrawn.sort("overlap", maintain_order=True).head(1).iter_rows(named=True):
            yield (
                f"- Another D_sub of the same size (seed {row['value']:g}): Spearman of the scores "
                f"{row['spearman']:.2f}, {row['overlap']:.0%} of the top {row['top']:.0%} the same."
            )


def validity_lines(book: Book) -> Iterator[str]:
    """The sentences of the validation's page, and its tables in short."""
    tables = book.checks
    if "deciles" in tables:
        budget = book.own["config"]["validate"]["budget"]
        yield from _head("deciles", f"Coresets of {budget or 'the smallest budget'}.")
        lines = decile_lines(tables["deciles_order"], tables["deciles_traits"])
        yield from (f"- {line}" for line in lines)
        yield "- P of alike tenths are adjusted over the scores of an outcome; intervals are not."
    for check in ("lds", "loo"):
        if check in tables:
            yield from _head(check)
            noise, way = tables[f"{check}_noise"], book.own["way"]
            found = agreement_lines(check, tables[check], noise, way, book.own["damping"])
            yield from (f"- {line}" for line in found)
    if "lds" in tables and (shown := by_curvature(tables["lds"], book.own["way"])).height:
        yield (
            "\nBy curvature and damping, with the run's own parameters, the influence on the "
            "held-out set summed over a subset by residues, gradients of a model by a loss (all "
            "ways: lds.csv):\n"
        )
        yield from table_lines(shown)
    if "stability" in tables:
        yield from _head("stability")
        yield from (f"- {line}" for line in stability_lines(tables["stability"]))
        yield ""
        yield from table_lines(_stability(tables["stability"]))
    planned = book.own["config"]["validate"]
    left_out = [c for c in ("lds", "loo", "stability") if planned.get(c, ...) is None]
    missing = [c for c in CHECKS if c not in tables and c not in left_out]
    if missing:
        yield f"- Not run: {listed(missing)}."
    if left_out:
        yield f"- Left out by the configuration: {listed(left_out)}."


def _head(check: str, more: str = "") -> Iterator[str]:
    about = CHECKS[check]
    yield f"\n### {about.title}\n\n{about.text} {more}".rstrip() + "\n"


def by_curvature(lds: pl.DataFrame, way: Mapping[str, object]) -> pl.DataFrame:
    """The datamodelling score with the run's own parameters: curvatures by models and losses."""
    rows = lds.filter(
        pl.col("parameters") == way["parameters"],
        pl.col("score") == PROMISED["V"],
        pl.col("weights") == "residues",
    )
    cells = [span(row) for row in rows.iter_rows(named=True)]
    return rows.with_columns(
        cell=pl.Series(cells, dtype=pl.String), way=pl.format("{}, {} loss", "model", "loss")
    ).pivot("way", index=["curvature", "damping"], values="cell")


def _stability(table: pl.DataFrame) -> pl.DataFrame:
    """The score that selections go by, at the smallest share of the top."""
    rows = least_top(table).filter(pl.col("score") == "influence")
    top = float(str(rows["top"].min()))
    return rows.select(
        changed=pl.col("factor").replace(FACTORS), to="value", **{k: k for k in _MEASURES}
    ).rename({**_MEASURES, "overlap": f"of the top {top:.0%}, the same"})
