"""Metrics over evaluation seeds, and the parts of one evaluation joined into the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

#: Lists of the metrics with an entry a seed.
BY_SEED = ("seeds", "training")


def over_seeds(values: Mapping[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Values of each metric, one a seed, with their mean and standard deviation."""
    return {
        name: {
            "values": v,
            "mean": float(np.mean(v)),
            "std": float(np.std(v, ddof=1)) if len(v) > 1 else None,
        }
        for name, v in values.items()
    }


def join_seeds(
    metrics: Sequence[dict[str, Any]], predictions: Sequence[pl.DataFrame]
) -> tuple[dict[str, Any], pl.DataFrame]:
    """What one job of all seeds would have written, from what jobs of some wrote.

    Raises:
        ValueError: the parts are not of the same model and examples.
    """
    first = metrics[0]
    for part in metrics[1:]:
        other = [k for k in sorted(first | part) if first.get(k) != part.get(k)]
        if wrong := sorted(set(other) - {*BY_SEED, "metrics"}):
            raise ValueError(
                f"seeds {first['seeds']} and {part['seeds']} differ in {', '.join(wrong)}"
            )
    values = {
        name: [value for part in metrics for value in part["metrics"][name]["values"]]
        for name in first["metrics"]
    }
    lists = {key: [entry for part in metrics for entry in part[key]] for key in BY_SEED}
    return {**first, **lists, "metrics": over_seeds(values)}, pl.concat(predictions)
