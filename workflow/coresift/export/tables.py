"""Table of a coreset as others read it."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from coresift.tables import Schema


def dataset_schema(groupings: Iterable[str]) -> Schema:
    """Columns of dataset.parquet, one row a sequence, by rank; one text column a grouping."""
    return {
        "id": pl.String,  # our seq_id: the hash of the sequence
        "sequence": pl.String,
        "source_ids": pl.List(pl.String),  # ids of all copies in the sources, see `SEQUENCE`
        "n_windows": pl.Int32,  # how many of them, the last, are windows of longer records
        "length": pl.Int32,  # residues
        "score": pl.Float64,
        "rank": pl.Int32,
        "stratum": pl.Int32,
        "weight": pl.Float64,
        **dict.fromkeys(groupings, pl.String),
    }
