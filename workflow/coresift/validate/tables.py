"""Tables of the validation."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from coresift.tables import Schema

#: The selection that the decile curve is held against, and its row.
CONTROL = "random"


def parameters_text(parameters: str | Sequence[str]) -> str:
    """A parameter set as a table shows it."""
    return parameters if isinstance(parameters, str) else " ".join(parameters)


#: Loss of a small model on one sequence; by seed, run, set, then seq_id.
RETRAINED: Schema = {
    "run": pl.Int32,  # lds: number of the subset; loo: row left out, -1 = none
    "seed": pl.Int32,
    "set": pl.String,  # V, or own = the tiny pool of leave-one-out
    "seq_id": pl.String,
    "loss": pl.Float64,  # mean negative log likelihood of a masked place, nats
}

#: A way to compute an influence.
WAY: Schema = {
    "model": pl.String,  # pool | finetuned, see settings
    "loss": pl.String,  # masked | unmasked
    "parameters": pl.String,
    "curvature": pl.String,
    "damping": pl.Float64,  # relative; null for identity
}

#: What gradients say of one sequence of a small pool, by one way.
PREDICTED: Schema = {
    **WAY,
    "seq_id": pl.String,
    "n_tokens": pl.Int32,  # tokens that the loss is averaged over
    "self": pl.Float64,  # self-influence g^T C g
    "target": pl.Float64,  # influence on the held-out set, g_V^T C g
    "own_loss": pl.Float64,  # mean loss of a token, nats
}

#: Scores of one setting, in seq_id order.
SETTING_SCORE: Schema = {
    "seq_id": pl.String,
    "length": pl.Int32,
    "influence": pl.Float64,
    "residue": pl.Float64,  # n_tokens x influence
    "other_loss": pl.Float64,  # as influence, by the unmasked loss where that is of the masked
}
