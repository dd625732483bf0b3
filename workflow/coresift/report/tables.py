"""Tables of the report."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from coresift.tables import Schema

#: Where a sequence lies on the first two principal axes of the pool's embeddings.
EMBEDDING: Schema = {
    "seq_id": pl.String,
    "x": pl.Float64,
    "y": pl.Float64,
}


#: Every metric of every row and outcome (a CSV file).
RESULT: Schema = {
    "task": pl.String,  # a task, or heldout_{set}
    "protocol": pl.String,  # published, quick or own; null of held-out sets
    "selection": pl.String,
    "metric": pl.String,
    "primary": pl.Boolean,
    "mean": pl.Float64,
    "std": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "runs": pl.Int64,
}


#: A row against one of its controls by the primary metric (a CSV file).
COMPARISON: Schema = {
    "task": pl.String,  # a task, or heldout_{set}
    "protocol": pl.String,  # published, quick or own; null of held-out sets
    "metric": pl.String,
    "selection": pl.String,
    "control": pl.String,
    "role": pl.String,  # of the control, see `controls.role`
    "seeds": pl.Int64,
    "control_seeds": pl.Int64,
    "difference": pl.Float64,  # mean of the selection minus mean of the control
    "gain": pl.Float64,  # the same, positive where the selection is better
    "low": pl.Float64,  # of the difference; all below null where seeds are not known to scatter
    "high": pl.Float64,
    "p": pl.Float64,
    "p_adjusted": pl.Float64,  # Holm over the outcome, see `comparisons.comparisons_table`
    "detectable": pl.Float64,  # smallest difference found with 80 % power in one comparison
    "mark": pl.String,  # better, no different, worse, unknown
}


#: A row's primary metric on the test examples of one bin of identity (a CSV file).
BY_IDENTITY: Schema = {
    "task": pl.String,
    "protocol": pl.String,  # published, quick or own
    "selection": pl.String,
    "metric": pl.String,
    "against": pl.String,  # what the identity is to: pool or train
    "bin": pl.String,  # one of `tasks.tables.BINS`
    "n": pl.Int64,  # distinct test examples
    "mean": pl.Float64,
    "low": pl.Float64,  # null where there are too few examples
    "high": pl.Float64,
}


#: Distinct test examples of a task by bin of identity, and those seen (a CSV file).
SEEN: Schema = {
    "task": pl.String,
    "protocol": pl.String,  # published, quick or own
    "against": pl.String,
    "compared": pl.Int64,
    "none": pl.Int64,  # and so on: `tasks.tables.BINS`
    "below_50": pl.Int64,
    "50_to_80": pl.Int64,
    "above_80": pl.Int64,
    "seen": pl.Int64,
    "at": pl.Float64,  # identity from which on an example counts as seen
}


def read_csv(path: str | Path, schema: Schema) -> pl.DataFrame:
    """A table of the given schema from its CSV file."""
    return pl.read_csv(path, schema_overrides=dict(schema)).select(*schema)
