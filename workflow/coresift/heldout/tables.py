"""Table of held-out losses."""

from __future__ import annotations

import polars as pl

from coresift.tables import Schema

#: What one model makes of one held-out sequence, in the order of `corpus.tables.HELD_OUT`.
HELD_OUT_LOSS: Schema = {
    "set": pl.String,
    "seq_id": pl.String,
    "n_masked": pl.Int32,  # places that were masked and predicted
    # Both are null for a model without an LM head.
    "loss": pl.Float64,  # mean negative log likelihood of a masked place, nats
    "accuracy": pl.Float64,  # share of masked places whose likeliest letter is right
}
