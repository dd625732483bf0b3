"""Table of a coreset."""

from __future__ import annotations

import polars as pl

from coresift.tables import Schema

#: One row per sequence of a coreset, ordered by rank.
CORESET: Schema = {
    "seq_id": pl.String,
    "rank": pl.Int32,  # 0-based order of selection
    "stratum": pl.Int32,  # CCI stratum, -1 where the strategy has none
    "weight": pl.Float64,
}
