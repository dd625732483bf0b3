"""Side effects of the selections: lengths, low complexity, and what controls with the same have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from coresift.report.controls import row_of
from coresift.study.cells import HELD_OUT

#: Controls whose gain is set beside that of a selection.
MATCHED = ("random_length", "random_groups", "random_complexity", "random_kept")


def traits_table(
    comparisons: pl.DataFrame, rounds: Sequence[str], trait: Callable[[str], Mapping[str, float]]
) -> pl.DataFrame:
    """How far each selection is from the pool, and how much of its gain controls have.

    Args:
        comparisons: of `decide.compared`. rounds: those to be read, in this order.
        trait: a trait of the coresets by row, see `Book.trait`.

    Returns:
        One row an outcome, selection and budget, of the first round that has it: columns round,
        task, selection (with its budget), length and low_complexity (over the pool's), gain_random,
        mark, and gain_{control} over random by matched control, of the first round that has the
        control; null = not run.
    """
    length, complexity = trait("mean_length"), trait("mean_low_complexity")
    pool_length = next(iter(trait("pool_mean_length").values()), None)
    pool_complexity = next(iter(trait("pool_mean_low_complexity").values()), None)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for part in rounds:
        own = comparisons.filter(pl.col("round") == part, HELD_OUT)
        for pair in own.filter(pl.col("role") == "random").to_dicts():
            name, task = pair["selection"], pair["task"]
            if name not in length:
                continue
            matched = own.filter(
                pl.col("selection") == name, pl.col("task") == task, pl.col("role") == "matched"
            )
            found = _recovered(matched, float(pair["gain"]))
            if (name, task) in rows:
                known = rows[name, task]
                known |= {k: v for k, v in found.items() if known[k] is None}
                continue
            rows[name, task] = {
                "round": part,
                "task": task,
                "selection": name,
                "length": length[name] / pool_length if pool_length else None,
                "low_complexity": complexity[name] / pool_complexity if pool_complexity else None,
                "gain_random": pair["gain"],
                "mark": pair["mark"],
                **found,
            }
    schema = {
        **dict.fromkeys(("round", "task", "selection"), pl.String),
        **dict.fromkeys(("length", "low_complexity", "gain_random"), pl.Float64),
        "mark": pl.String,
        **{f"gain_{kind}": pl.Float64 for kind in MATCHED},
    }
    return pl.DataFrame([*rows.values()], schema=schema)


def _recovered(matched: pl.DataFrame, gain: float) -> dict[str, float | None]:
    """The gain over random of a selection's matched controls.

    Args:
        matched: its comparisons with them. gain: its own over random.
    """
    by = {row_of(row["control"]).kind: gain - row["gain"] for row in matched.to_dicts()}
    return {f"gain_{kind}": by.get(kind) for kind in MATCHED}
