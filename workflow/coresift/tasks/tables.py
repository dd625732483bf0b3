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

#: Bins of identity: nothing near, below 50 %, 50 to 80 %, above 80 %.
BINS = ("none", "below_50", "50_to_80", "above_80")

#: Identity of test examples to the nearest sequence of the pool, or of train.
IDENTITY: Schema = {
    "example_id": pl.String,  # the first of its copies
    "distinct": pl.Int32,  # as in `PREDICTION`
    "identity": pl.Float64,  # of the nearest sequence's alignment; null: none is near
    "nearest": pl.String,  # its seq_id (pool) or example_id (train)
    "bin": pl.String,  # one of `BINS`
}
