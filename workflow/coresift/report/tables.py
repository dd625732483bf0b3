"""Table of the map of embeddings."""

from __future__ import annotations

import polars as pl

from coresift.tables import Schema

#: Where a sequence lies on the first two principal axes of the pool's embeddings.
EMBEDDING: Schema = {
    "seq_id": pl.String,
    "x": pl.Float64,
    "y": pl.Float64,
}
