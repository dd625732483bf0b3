"""Rows of the tables of held-out losses, the same for every model."""

from __future__ import annotations

import numpy as np
import polars as pl

from coresift.heldout.masks import Questions
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.tables import conform


def loss_rows(asked: Questions, loss: np.ndarray, accuracy: np.ndarray) -> pl.DataFrame:
    """Columns of `HELD_OUT_LOSS`, a row a sequence asked about.

    Args:
        loss: (n,) mean nats a masked place. accuracy: (n,) share of places predicted rightly. What
            is not known, NaN, is null in the table.
    """
    columns = {"n_masked": asked.n_masked, "loss": loss, "accuracy": accuracy}
    series = {name: pl.Series(values, nan_to_null=True) for name, values in columns.items()}
    return conform(asked.rows.select("set", "seq_id").with_columns(**series), HELD_OUT_LOSS)
