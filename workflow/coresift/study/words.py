"""How a study's page says things: tables, lists of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from coresift.report.markup import as_text, to_markdown
from coresift.study.book import title_of

#: The outcomes of a table, as a reader meets them.
TITLE = pl.col("task").map_elements(title_of, pl.String)


def table_lines(frame: pl.DataFrame) -> Iterator[str]:
    """A table in Markdown."""
    yield to_markdown(as_text(frame))


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"
