"""Write a study's page and what is beside it; `python -m coresift.study.write` makes it anew.

The folder of a study, such as docs/study/rna, holds runs.parquet and facts.json; everything else in
it, and the page beside it, follows from the two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from coresift.files import read_json, write_json, write_text
from coresift.report.markup import as_text, to_markdown
from coresift.report.plots import save
from coresift.report.tables import BY_IDENTITY, SEEN
from coresift.study.book import Book
from coresift.study.page import page, plots_of
from coresift.study.plots import budget_curves, differences
from coresift.study.sources import BY_SOURCE, by_source
from coresift.study.tables import RUN
from coresift.tables import read_table, write_table
from coresift.validate.agreement import AGREEMENT
from coresift.validate.deciles import DECILE
from coresift.validate.plots import datamodel_bars, decile_curves, stability
from coresift.validate.stability import SCORES, STABILITY

#: Of `facts["identity"]`.
IDENTITY_TABLES = {"seen": SEEN, "by_identity": BY_IDENTITY}


def read_book(folder: str | Path) -> Book:
    """A study from its folder.

    Raises:
        ValueError: runs.parquet is not such a table.
    """
    facts = read_json(Path(folder) / "facts.json")
    return Book(read_table(Path(folder) / "runs.parquet", RUN), facts)


def write_raw(book: Book, folder: str | Path) -> None:
    """Write runs.parquet and facts.json."""
    write_table(Path(folder) / "runs.parquet", book.runs, RUN)
    write_json(Path(folder) / "facts.json", book.facts)


def texts(book: Book, name: str) -> dict[str, str]:
    """Page and tables by path beside the folder: `rna.md`, `rna/results.csv`."""
    results = [
        book.results(part).select(pl.lit(part).alias("round"), pl.all()) for part in book.started
    ]
    tables = {
        "results": pl.concat(results) if results else pl.DataFrame(),
        "comparisons": book.comparisons,
        "decisions": book.decisions,
        "learnt": book.by_group,
        "traits": book.traits,
        "changes": book.changes,
        "sources": pl.concat(
            [
                pl.DataFrame(schema=dict(BY_SOURCE)),
                *(by_source(book, part) for part in book.started if not book.rounds[part].tasks),
            ]
        ),
    }
    found = {f"{name}.md": page(book, name)}
    for title, table in tables.items():
        found[f"{name}/{title}.csv"] = table.write_csv()
        found[f"{name}/{title}.md"] = to_markdown(as_text(table))
    identity = book.own["identity"]
    by_name = {title: _table(identity[title], schema) for title, schema in IDENTITY_TABLES.items()}
    for title, table in {**book.checks, **by_name}.items():
        found[f"{name}/{title}.csv"] = table.write_csv()
    return found


def write_plots(book: Book, folder: str | Path) -> None:
    """Draw what there is something for, see `page.plots_of`."""
    checks = book.own["validate"]
    drawn = {
        "budgets.svg": lambda: budget_curves(book),
        "differences.svg": lambda: differences(book),
        "deciles.svg": lambda: decile_curves(_table(checks["deciles"], DECILE)),
        "lds.svg": lambda: datamodel_bars(
            _table(checks["lds"], AGREEMENT), book.own["way"], book.own["damping"]
        ),
        "stability.svg": lambda: stability(_table(checks["stability"], STABILITY), SCORES),
    }
    for name in plots_of(book):
        save(drawn[name](), Path(folder) / name)


def _table(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(schema), infer_schema_length=None)


def write_study(book: Book, parent: str | Path, name: str) -> None:
    """Write the folder `name` and the page `name.md` into `parent`."""
    folder = Path(parent) / name
    folder.mkdir(parents=True, exist_ok=True)
    write_raw(book, folder)
    for path, text in texts(book, name).items():
        write_text(Path(parent) / path, text)
    write_plots(book, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser("coresift-study", description=str(__doc__).split("\n")[0])
    parser.add_argument("folders", nargs="+", help="folders of studies, such as docs/study/rna")
    for folder in map(Path, parser.parse_args(arguments).folders):
        write_study(read_book(folder), folder.parent, folder.name)
        print(json.dumps({"page": str(folder.with_suffix(".md"))}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
