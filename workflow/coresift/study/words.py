"""How a study's page says things: tables, lists of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from coresift.report import markup
from coresift.study.book import title_of

#: The outcomes of a table, as a reader meets them.
TITLE = pl.col("task").map_elements(title_of, pl.String)


def table_lines(frame: pl.DataFrame) -> Iterator[str]:
    """A table in Markdown."""
    yield markup.to_markdown(markup.as_text(frame))


def listed(names: Sequence[str]) -> str:
    """`a, b and c`, or `none`."""
    return markup.listed(names) if names else "none"
