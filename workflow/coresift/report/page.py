"""One self-contained HTML page of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment
from markupsafe import Markup

from coresift.files import read_json
from coresift.report.html import html_svg, html_table
from coresift.report.losses import cropped_table
from coresift.report.notes import NOTE, TRAINING, leaks_note
from coresift.report.paper import SCALE, paper_table
from coresift.report.scores import SHOWN, correlations, extremes, identity_line
from coresift.report.seen import wide_by_identity
from coresift.report.tables import BY_IDENTITY, COMPARISON, RESULT, SEEN, read_csv
from coresift.report.template import PAGE
from coresift.report.verdict import LEGEND, SIGNS, as_lines, marks_table, sentences

#: Of the plots, the one that stands before the tables.
FIRST = "Held-out loss"


def _coloured(marks: pl.DataFrame) -> pl.DataFrame:
    """The table of marks with each mark unbroken and in its colour."""
    colour = {sign: word.replace(" ", "-") for word, sign in SIGNS.items()}
    span = Markup('<span class="mark {}">{}</span>')

    def cell(text: str) -> Markup:
        parts = [span.format(colour[part[-1]], part) for part in text.split(", ") if part]
        return Markup(", ").join(parts)

    outcomes = marks.columns[2:]
    return marks.with_columns(
        pl.Series(name, [cell(v) for v in marks[name]], dtype=pl.Object) for name in outcomes
    )


def _level(params: Any) -> float:
    return 1 - params.confidence


def read_verdict(files: Any, params: Any) -> list[str]:
    """The sentences of a run, see `verdict.sentences`.

    Args:
        files: paths results, comparisons and seen (CSV, see `report.results`).
        params: confidence, aimed (see `results.unbiased`).
    """
    results, comparisons = read_csv(files.results, RESULT), read_csv(files.comparisons, COMPARISON)
    seen = read_csv(files.seen, SEEN)
    return sentences(results, comparisons, seen, _level(params), params.aimed)


def verdict_text(files: Any, params: Any, page: str | Path) -> str:
    """The verdict for a terminal: sentences, the marks, where the page is."""
    marks = marks_table(read_csv(files.comparisons, COMPARISON))
    lines = [*read_verdict(files, params), "", *as_lines(marks), LEGEND, "", f"page: {page}"]
    return "\n".join(lines) + "\n"


def unigram_loss(files: Any) -> float | None:
    """Loss of letter frequencies on the pool's own held-out set, nats, if there is one."""
    row = read_csv(files.results, RESULT).filter(
        task="heldout_pool", selection="unigram", metric="loss"
    )
    return row["mean"][0] if row.height else None


def _held_out(results: pl.DataFrame) -> pl.DataFrame:
    """Means of every figure of the held-out sets: a row a set and selection, a column a metric."""
    rows = results.filter(pl.col("task").str.starts_with("heldout_"))
    return rows.pivot(on="metric", index=["task", "selection"], values="mean")


def _corpus_tables(corpus: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Rejected records by reason, and the files."""
    rejected = corpus["rejected"]
    sources = [
        {
            "file": f["path"],
            "records": f["records"],
            "above max_length": f["long"]["records"],
            "windows of these": f["long"]["windows"],
            "residues cropped": f["long"]["cropped"],
            "accepted": f["accepted"],
            "rejected": ", ".join(f"{n} {why}" for why, n in f["rejected"].items()),
        }
        for f in corpus["files"].values()
    ]
    return {
        "rejects": pl.DataFrame({"rejected because": [*rejected], "records": [*rejected.values()]}),
        "sources": pl.DataFrame(sources),
    }


def render(files: Any, plots: Sequence[str | Path], params: Any) -> str:
    """The page of a run, from the files of the other report rules.

    Args:
        files: paths corpus, summary, extremes, results, comparisons, wide, beside, seen and
            by_identity (CSV, see `report.results`), coresets; cropped, aligned with params.cropped.
        plots: SVG files, aligned with params.titles.
        params: run, modality, decontaminate (see `notes.leaks_note`), composition, compute,
            confidence, aimed (see `results.unbiased`), titles, cropped (stage and model).
    """
    corpus, summary = read_json(files.corpus), read_json(files.summary)
    results, comparisons = read_csv(files.results, RESULT), read_csv(files.comparisons, COMPARISON)
    seen = read_csv(files.seen, SEEN)
    same = "residues and steps" if params.compute == "equal_tokens" else "epochs"
    shown = {title: html_svg(p) for title, p in zip(params.titles, plots, strict=True)}
    return (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            run=params.run,
            corpus=corpus,
            leaks=leaks_note(params.modality, params.decontaminate),
            composition=params.composition,
            confidence=f"{params.confidence:.0%}",
            level=f"{_level(params):.0%}",
            compute=f"the same number of {same}",
            verdict=sentences(results, comparisons, seen, _level(params), params.aimed),
            marks=_coloured(marks_table(comparisons)),
            legend=LEGEND,
            results=pl.read_csv(files.wide, infer_schema=False),
            held_out=_held_out(results),
            held_out_plot=shown.pop(FIRST, None),
            comparisons=comparisons,
            coresets=pl.read_csv(files.coresets),
            scores=correlations(summary),
            identity=identity_line(summary),
            extremes=extremes(pl.read_csv(files.extremes)),
            shown=SHOWN,
            cropped=cropped_table(params.cropped, files.cropped),
            paper=paper_table(params.modality),
            notes=read_csv(files.notes, NOTE),
            trainings=read_csv(files.trainings, TRAINING),
            seen=seen,
            by_identity=wide_by_identity(read_csv(files.by_identity, BY_IDENTITY)),
            beside=pl.read_csv(files.beside),
            scale=SCALE[params.modality],
            plots=shown,
            table=html_table,
            **_corpus_tables(corpus),
        )
    )
