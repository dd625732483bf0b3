"""One self-contained HTML page of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment
from markupsafe import Markup

from coresift.files import read_json
from coresift.report.losses import cropped_table
from coresift.report.paper import SCALE, paper_table
from coresift.tasks.settings import LOWER_IS_BETTER

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>coresift: {{ run }}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem;color:#1c2733}
h1,h2{line-height:1.2}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
td,th{border-bottom:1px solid #d5dde5;padding:.3rem .6rem;text-align:left;white-space:nowrap}
svg{height:auto;max-width:max(100%,36rem)}
.verdict{border-left:4px solid #3b6ea5;background:#eef3f8;padding:.5rem 1rem}
</style></head><body>
<h1>coresift: {{ run }}</h1>
<p>{{ corpus.records }} records read, {{ corpus.accepted }} accepted, {{ corpus.distinct }}
distinct, {{ corpus.not_sampled }} left out by <code>corpus.sample</code>, {{ corpus.removed }}
removed because they are close to held-out task examples: a pool of {{ corpus.pool }} sequences
({{ corpus.residues }} residues).</p>
<div class="verdict">{% for line in verdict %}<p>{{ line }}</p>
{% endfor %}</div>
<h2>Results</h2>
<p>Primary metric of each task: mean ± standard deviation between coreset seeds
[{{ confidence }} bootstrap interval over test examples and coreset seeds]. All models of one budget
trained on {{ compute }}. Rows “kmer” are regressions on k-mer counts: what a model must beat.</p>
<div class="scroll">{{ table(results) }}</div>
<h2>Paired comparisons</h2>
<p>Difference a − b on the same test examples, its {{ confidence }} interval, and its bootstrap
p-value, adjusted over the pairs of a task (Benjamini-Hochberg).</p>
<details><summary>{{ comparisons.height }} pairs</summary>
<div class="scroll">{{ table(comparisons) }}</div></details>
{% for title, svg in plots.items() %}<h2>{{ title }}</h2><div class="scroll">{{ svg }}</div>
{% endfor %}
<h2>Coresets</h2><div class="scroll">{{ table(coresets) }}</div>
<h2>Scores</h2>
<p>Spearman correlation of every score with length and with the {{ composition }}.</p>
<div class="scroll">{{ table(scores) }}</div>
<h2>Corpus</h2>{% for line in corpus.problems %}<p>{{ line }}</p>{% endfor %}
<div class="scroll">{{ table(rejects) }}</div>
<div class="scroll">{{ table(sources) }}</div>
<h2>Cropped</h2>
{% if cropped.height %}<p>Sequences longer than a model's input. Training cuts them into pieces and
reads them all; every other stage reads the beginning.</p>
<div class="scroll">{{ table(cropped) }}</div>{% else %}<p>Nothing: every model reads every residue
of what it is given.</p>{% endif %}
<h2>The paper's figures, for reference</h2>
<p>Printed in arXiv 2512.12932 without intervals, for {{ scale }}. They are another scale than this
run's: compare the order of rows, not the figures.</p>
{% if beside.height %}<div class="scroll">{{ table(beside) }}</div>{% endif %}
<p>All of the paper's figures, as printed:</p>
<div class="scroll">{{ table(paper) }}</div>
</body></html>
"""


def _table(frame: pl.DataFrame) -> Markup:
    template = Environment(autoescape=True).from_string(
        "<table><tr>{% for c in columns %}<th>{{ c }}</th>{% endfor %}</tr>"
        "{% for row in rows %}<tr>{% for v in row %}<td>{{ v }}</td>{% endfor %}</tr>{% endfor %}"
        "</table>"
    )
    shown = [
        ["" if v is None else f"{v:.4g}" if isinstance(v, float) else v for v in row]
        for row in frame.iter_rows()
    ]
    return Markup(template.render(columns=frame.columns, rows=shown))


def _svg(path: str | Path) -> Markup:
    text = Path(path).read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :])


def verdict(comparisons: pl.DataFrame, level: float, control: str = "random-") -> list[str]:
    """One sentence a task: which selections differ from random of the same budget, if any.

    Args:
        comparisons: columns of `results.COMPARISON`.
        level: largest adjusted p-value that counts as a difference.
        control: prefix of the control's name; the rest is the budget.
    """
    lines = []
    for (task,), rows in comparisons.group_by("task", maintain_order=True):
        better: list[str] = []
        worse: list[str] = []
        seen = False
        for row in rows.iter_rows(named=True):
            pair = (row["a"], row["b"])
            other = next((p for p in pair if p.startswith(control)), None)
            if other is None or "kmer" in pair:
                continue
            name = pair[0] if other == pair[1] else pair[1]
            if name.rsplit("-", 1)[-1] != other.rsplit("-", 1)[-1]:
                continue  # another budget
            seen = True
            gain = row["difference"] if name == row["a"] else -row["difference"]
            gain = -gain if row["metric"] in LOWER_IS_BETTER else gain
            if row["p_adjusted"] <= level:
                (better if gain > 0 else worse).append(name)
        if not seen:
            lines.append(f"{task}: no random control of the same budget in this run.")
        elif not better and not worse:
            lines.append(f"{task}: no selection differs from random ({level:.0%} level).")
        else:
            parts = [f"better than random: {', '.join(better)}"] if better else []
            parts += [f"worse than random: {', '.join(worse)}"] if worse else []
            lines.append(f"{task}: {'; '.join(parts)}.")
    return lines


def read_verdict(files: Any, params: Any) -> list[str]:
    """The verdict of a run: a caution where coreset seeds are few, then one sentence a task.

    Args:
        files: path comparisons (CSV, see `report.results`).
        params: confidence, n_seeds (of coresets).
    """
    few = "Fewer than three coreset seeds: what looks like a difference may be the seeds'."
    lines = verdict(pl.read_csv(files.comparisons), 1 - params.confidence)
    return [few, *lines] if params.n_seeds < 3 else lines


def _curve(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return np.cumsum([r["residues"] for r in records]), np.array(
        [r["loss"] for r in records], float
    )


def read_curves(names: list[str], metrics: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Residues seen and training loss of every coreset's model, from its metrics.jsonl."""
    return {name: _curve(file) for name, file in zip(names, metrics, strict=True)}


def render(files: Any, plots: Sequence[str | Path], params: Any) -> str:
    """The page of a run, from the files of the other report rules.

    Args:
        files: paths corpus, summary, comparisons, wide and beside (CSV, see `report.results`),
            coresets; cropped, aligned with params.cropped.
        plots: SVG files, aligned with params.titles.
        params: run, modality, composition, compute, confidence, n_seeds (of coresets), titles,
            cropped (stage and model).
    """
    corpus, summary = read_json(files.corpus), read_json(files.summary)
    comparisons = pl.read_csv(files.comparisons)
    rejected = corpus["rejected"]
    scores = pl.DataFrame(
        [
            {
                "score": name,
                "length": v["spearman"]["length"],
                "composition": v["spearman"]["composition"],
            }
            for name, v in summary.items()
            if isinstance(v, dict) and "spearman" in v
        ]
    )
    same = "residues and steps" if params.compute == "equal_tokens" else "epochs"
    return (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            run=params.run,
            corpus=corpus,
            composition=params.composition,
            confidence=f"{params.confidence:.0%}",
            compute=f"the same number of {same}",
            verdict=read_verdict(files, params),
            results=pl.read_csv(files.wide, infer_schema=False),
            comparisons=comparisons,
            coresets=pl.read_csv(files.coresets),
            scores=scores,
            rejects=pl.DataFrame(
                {"rejected because": [*rejected], "records": [*rejected.values()]}
            ),
            sources=pl.DataFrame(
                [
                    {
                        "file": f["path"],
                        "records": f["records"],
                        "accepted": f["accepted"],
                        "rejected": ", ".join(f"{n} {why}" for why, n in f["rejected"].items()),
                    }
                    for f in corpus["files"].values()
                ]
            ),
            cropped=cropped_table(params.cropped, files.cropped),
            paper=paper_table(params.modality),
            beside=pl.read_csv(files.beside),
            scale=SCALE[params.modality],
            plots={t: _svg(p) for t, p in zip(params.titles, plots, strict=True)},
            table=_table,
        )
    )
