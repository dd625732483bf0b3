"""One self-contained HTML page of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>coresift: {{ run }}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem;color:#1c2733}
h1,h2{line-height:1.2}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
td,th{border-bottom:1px solid #d5dde5;padding:.3rem .6rem;text-align:left;white-space:nowrap}
svg{max-width:100%;height:auto}small{color:#5a6b7b}
</style></head><body>
<h1>coresift: {{ run }}</h1>
<p>{{ corpus.records }} records read, {{ corpus.accepted }} accepted, {{ corpus.distinct }}
distinct, {{ corpus.removed }} removed because they are close to held-out task examples:
a pool of {{ corpus.pool }} sequences ({{ corpus.residues }} residues).</p>
<h2>Results</h2>
<p>Primary metric of each task: mean ± standard deviation between coreset seeds
[{{ confidence }} bootstrap interval over test examples]. All models of one budget trained on
{{ compute }}. Rows “kmer” are logistic or ridge regression on k-mer counts.</p>
<div class="scroll">{{ table(results) }}</div>
{% for title, svg in plots.items() %}<h2>{{ title }}</h2><div>{{ svg }}</div>
{% endfor %}
<h2>Coresets</h2><div class="scroll">{{ table(coresets) }}</div>
<h2>Corpus</h2><div class="scroll">{{ table(rejects) }}</div>
<small>Self-influence after arXiv 2512.12932; the figures here are this run's own.</small>
</body></html>
"""


def _table(frame: pl.DataFrame) -> str:
    environment = Environment(autoescape=True)
    template = environment.from_string(
        "<table><tr>{% for c in columns %}<th>{{ c }}</th>{% endfor %}</tr>"
        "{% for row in rows %}<tr>{% for v in row %}<td>{{ v }}</td>{% endfor %}</tr>{% endfor %}"
        "</table>"
    )
    rows = [[f"{v:.4g}" if isinstance(v, float) else v for v in row] for row in frame.iter_rows()]
    return template.render(columns=frame.columns, rows=rows)


def render(values: Mapping[str, Any], plots: Mapping[str, str | Path]) -> str:
    """The page; plots are SVG files put inline under their titles."""
    inline = {}
    for title, path in plots.items():
        text = Path(path).read_text(encoding="utf-8")
        inline[title] = text[text.index("<svg") :]
    template = Environment(autoescape=False).from_string(_PAGE)
    return template.render(**values, plots=inline, table=_table)
