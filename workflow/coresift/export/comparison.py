"""One coreset beside its pool, from the tables of the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from coresift.corpus.tables import FEATURE
from coresift.selection.diagnostics import drift, taken
from coresift.selection.draw import group_codes
from coresift.tables import read_columns

#: What of the features a coreset is compared in, beside its length.
FEATURES = [name for name, kind in FEATURE.items() if kind == pl.Float64]


def compare(
    coreset: pl.DataFrame,
    scores: str | Path,
    score: str,
    features: str | Path,
    groups: str | Path,
    groupings: Sequence[str],
) -> dict[str, Any]:
    """The coreset's row of `selection.diagnostics.drift`, in length, `FEATURES` and its score.

    Args:
        coreset: columns of `CORESET`.
        scores, features, groups: tables of the same sequences in the same order.

    Raises:
        ValueError: scores and features are not of the same sequences.
    """
    pool, more = read_columns(scores, ["seq_id", "length", score]), read_columns(features)
    if not more["seq_id"].equals(pool["seq_id"]):
        raise ValueError(f"{features}: not of the sequences of {scores}, or in another order")
    pool = pool.with_columns(more.select(FEATURES))
    codes = {name: group_codes(read_columns(groups, [name])[name]) for name in groupings}
    masks = taken(pool["seq_id"], {"": coreset})
    return drift(pool, ["length", *FEATURES, score], codes, masks).row(0, named=True)
