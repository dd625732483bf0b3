"""Tables of scores."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from coresift.tables import Schema

#: One row per scored sequence, in seq_id order; `score_schema` adds a config's further scores.
SCORE: Schema = {
    "seq_id": pl.String,
    "length": pl.Int32,
    "influence": pl.Float64,  # self-influence as influence.per says; higher is more influential
    "residue": pl.Float64,  # n_tokens x self-influence of the mean loss
    "loss": pl.Float64,  # mean MLM loss per predicted token, nats
    "grad_norm": pl.Float64,  # L2 norm of the gradient of the scored parameters
    "error_norm": pl.Float64,  # mean L2 norm of softmax(logits) - onehot (EL2N for MLM)
    "n_tokens": pl.Int32,  # tokens the loss is averaged over
}


def score_schema(extra: Iterable[str]) -> Schema:
    """`SCORE` and a column for each further score: a variant's name, `target_NAME`."""
    return {**SCORE, **dict.fromkeys(extra, pl.Float64)}


#: What one pass finds of one sequence by one curvature: what the cache keeps, in seq_id order.
MEASURED: Schema = {
    "seq_id": pl.String,
    "length": pl.Int32,
    "influence": pl.Float64,  # of the gradient of the mean loss
    "loss": pl.Float64,
    "grad_norm": pl.Float64,
    "error_norm": pl.Float64,
    "n_tokens": pl.Int32,
}
