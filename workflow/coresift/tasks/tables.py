"""Table of predictions."""

from __future__ import annotations

import polars as pl

from coresift.tables import Schema

#: Downstream predictions of one evaluation, one row per test example (or residue,
#: or pair of residues that a metric needs).
PREDICTION: Schema = {
    "example_id": pl.String,
    "distinct": pl.Int32,  # number of its distinct sequence or pair: what a resample draws
    "seed": pl.Int32,
    "position": pl.Int32,  # residue; i * length + j of a pair; label of a multi-label task; else 0
    "length": pl.Int32,  # residues of the example that count
    "target": pl.Float64,
    "prediction": pl.Float64,  # class id, score or value; NaN: the model did not read it
}
