"""Tables and pictures as HTML."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from jinja2 import Environment
from markupsafe import Markup

_TABLE = (
    "<table><tr>{% for c in columns %}<th>{{ c }}</th>{% endfor %}</tr>"
    "{% for row in rows %}<tr>{% for v in row %}<td>{{ v }}</td>{% endfor %}</tr>{% endfor %}"
    "</table>"
)


def html_table(frame: pl.DataFrame) -> Markup:
    """A table, numbers to four digits, nothing where there is nothing."""
    shown = [
        ["" if v is None else f"{v:.4g}" if isinstance(v, float) else v for v in row]
        for row in frame.iter_rows()
    ]
    template = Environment(autoescape=True).from_string(_TABLE)
    return Markup(template.render(columns=frame.columns, rows=shown))


def html_svg(path: str | Path) -> Markup:
    """An SVG file's picture, to stand in a page."""
    text = Path(path).read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :])
