"""Tables of scores."""

from __future__ import annotations

import polars as pl

from coresift.tables import Schema

#: One row per scored sequence, in seq_id order.
SCORE: Schema = {
    "seq_id": pl.String,
    "length": pl.Int32,
    "influence": pl.Float64,  # self-influence; higher is more influential
    "loss": pl.Float64,  # mean MLM loss per predicted token, nats
    "grad_norm": pl.Float64,  # L2 norm of the gradient of the scored parameters
    "error_norm": pl.Float64,  # mean L2 norm of softmax(logits) - onehot (EL2N for MLM)
    "n_tokens": pl.Int32,  # tokens the loss is averaged over
}


#: Self-influence by a further parameter set, curvature, damping or loss; in seq_id order.
VARIANT: Schema = {
    "seq_id": pl.String,
    "variant": pl.String,  # its name in influence.variants
    "influence": pl.Float64,
}
