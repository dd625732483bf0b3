"""The scores on the page: what they go with, and the sequences at their ends, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

#: Letters of a sequence that are shown.
SHOWN = 120


def correlations(summary: Mapping[str, Any]) -> pl.DataFrame:
    """Spearman correlation of every score with each trait of the sequences, a row a score.

    Args:
        summary: influence/summary.json. A trait that no score has is left out.
    """
    rows = [
        {"score": name, **value["spearman"]}
        for name, value in summary.items()
        if isinstance(value, dict) and "spearman" in value
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.select(c.name for c in table if c.null_count() < c.len())


def identity_line(summary: Mapping[str, Any]) -> str | None:
    """The check of the mean self-influence, where the run has made it."""
    found = summary.get("identity")
    if found is None:
        return None
    mean = found["mean_self_influence_at_zero_damping"]
    count = found["parameters_with_fisher"]
    return (
        f"Check: with damping near 0 the mean self-influence over D_sub is {mean:,.4g}; it must be "
        f"the number of scored parameters with a non-zero Fisher, {count:,} "
        f"(ratio {mean / count:.4f})."
    )


def extremes(table: pl.DataFrame) -> dict[str, dict[str, str]]:
    """The most and least influential sequences as lines of text, by score and end.

    Args:
        table: influence/extremes.csv: columns score, end, rank, source_id, length, value, sequence.
    """
    lines = table.with_columns(
        value=pl.col("value").map_elements(lambda v: f"{v:9.3g}", pl.String),
        sequence=pl.when(pl.col("sequence").str.len_chars() > SHOWN)
        .then(pl.col("sequence").str.head(SHOWN) + "\N{HORIZONTAL ELLIPSIS}")
        .otherwise("sequence"),
    ).sort("rank", maintain_order=True)
    lines = lines.with_columns(
        line=pl.format(
            "{}  {}  {}  {}",
            "value",
            pl.col("length").cast(pl.String).str.pad_start(6),
            "sequence",
            "source_id",
        )
    )
    return {
        score: {
            end: "\n".join(rows.filter(pl.col("end") == end)["line"]) for end in ("most", "least")
        }
        for (score,), rows in lines.group_by("score", maintain_order=True)
    }
