"""The report of a run: tables, plots and page from the files of the other stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.io import CORESET, SCORE, read_json, read_table, write_text
from coresift.report import page, plots
from coresift.report.tables import results_table, to_latex, to_markdown, wide
from coresift.selection.diagnostics import drift, overlap_matrix


def _curve(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return np.cumsum([r["residues"] for r in records]), np.array([r["loss"] for r in records])


def build_report(
    files: Any,
    out: Any,
    run: str,
    cells: list[tuple[str, str]],
    names: list[str],
    evaluate: dict[str, Any],
    compute: str,
    seed: int,
) -> None:
    """Write every output of the report rule.

    Args:
        files, out: the rule's named inputs and outputs.
        cells: (task, coreset name or 'kmer') of each metrics and predictions file.
        names: coreset names, in the order of files.coresets and files.curves.
    """
    grouped: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for (task, name), metric, prediction in zip(
        cells, files.metrics, files.predictions, strict=True
    ):
        lists = grouped.setdefault((task, name.rsplit("-s", 1)[0]), ([], []))
        lists[0].append(metric)
        lists[1].append(prediction)
    table = results_table(grouped, evaluate["bootstrap"], evaluate["confidence"], seed)
    write_text(out.csv, table.write_csv())
    text = wide(table)
    write_text(out.wide[0], to_markdown(text))
    write_text(out.wide[1], to_latex(text))
    scores = read_table(files.scores, SCORE)
    coresets = {n: read_table(p, CORESET) for n, p in zip(names, files.coresets, strict=True)}
    overlap = overlap_matrix(coresets)
    write_text(out.overlap, overlap.write_csv())
    rows = pl.DataFrame([{"coreset": n, **drift(scores, c)} for n, c in coresets.items()])
    write_text(out.drift, rows.write_csv())
    curves = {n: _curve(p) for n, p in zip(names, files.curves, strict=True)}
    plots.save(plots.learning_curves(curves), out.curves)
    plots.save(plots.task_bars(table.filter("primary")), out.bars)
    plots.save(plots.overlap_heatmap(overlap), out.heatmap)
    corpus = read_json(files.corpus)
    rejects = pl.DataFrame(
        {"rejected because": list(corpus["rejected"]), "records": list(corpus["rejected"].values())}
    )
    values = {
        "run": run,
        "corpus": corpus,
        "confidence": f"{evaluate['confidence']:.0%}",
        "compute": "the same number of residues and steps"
        if compute == "equal_tokens"
        else "the same number of epochs",
        "results": text,
        "coresets": rows,
        "rejects": rejects,
    }
    shown = {
        "Tasks": out.bars,
        "Scores": files.score_plot,
        "Learning curves": out.curves,
        "Overlap of the coresets": out.heatmap,
    }
    write_text(out.page, page.render(values, shown))
