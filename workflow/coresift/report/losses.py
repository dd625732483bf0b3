"""What was not read: sequences that are longer than a model's input, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from coresift.files import read_json

#: Models of one row that are named; more are counted.
NAMED = 3
_COUNTS = ["sequences", "of", "residues", "of_residues"]


def cropped_table(labels: Sequence[tuple[str, str]], files: Sequence[str | Path]) -> pl.DataFrame:
    """Sequences longer than the model's input, and residues not read, a row a stage and model.

    Stages without any are left out; models of a stage with equal counts share a row.

    Args:
        labels: (stage, model) of each file; parts of one job carry the same and are added up.
        files: JSON files with `cropped`, see `models.cropping.count_cropped`.
    """
    schema = {"stage": pl.String, "model": pl.String, **dict.fromkeys(_COUNTS, pl.Int64)}
    rows = [
        {"stage": stage, "model": model, **read_json(path)["cropped"]}
        for (stage, model), path in zip(labels, files, strict=True)
    ]
    table = pl.DataFrame(rows, schema=schema)
    table = table.group_by("stage", "model", maintain_order=True).agg(pl.col(_COUNTS).sum())
    table = table.filter(pl.col("sequences") > 0)
    models = table.group_by("stage", *_COUNTS, maintain_order=True).agg("model")
    names = [m if len(m) <= NAMED else [f"{len(m)} models"] for m in models["model"].to_list()]
    return models.select(
        "stage",
        pl.Series("model", [", ".join(n) for n in names], dtype=pl.String),
        pl.col("sequences").alias("longer than the input"),
        pl.col("of").alias("of sequences"),
        pl.col("residues").alias("residues not read"),
        pl.col("of_residues").alias("of residues"),
    )
