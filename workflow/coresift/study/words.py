"""How a study's page says things: tables, lists of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from coresift.report import markup
from coresift.study.book import Book, title_of

#: The outcomes of a table, as a reader meets them.
TITLE = pl.col("task").map_elements(title_of, pl.String)


def table_lines(frame: pl.DataFrame) -> Iterator[str]:
    """A table in Markdown."""
    yield markup.to_markdown(markup.as_text(frame))


def listed(names: Sequence[str]) -> str:
    """`a, b and c`, or `none`."""
    return markup.listed(names) if names else "none"


def percent(book: Book, budget: str) -> str:
    """A budget and its share of the pool."""
    return f"{budget} ({100 * book.share_of_pool(budget):.2g} % of the pool)"


def at_budget(row: Mapping[str, Any]) -> str:
    """Selection and budget of a row."""
    return f"{row['selection']} at {row['budget']}"
