"""Every row against its controls, outcome by outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from coresift.report.cells import Cell
from coresift.report.controls import comparisons
from coresift.report.difference import difference, holm
from coresift.report.tables import COMPARISON
from coresift.tasks.settings import LOWER_IS_BETTER


def pair(cell: Cell, control: Cell, role: str, level: float) -> dict[str, Any]:
    """A row of `COMPARISON` without correction: one cell against another of the same outcome."""
    a, b = cell.figure, control.figure
    found = asdict(difference(a, b, level))
    value = found.pop("value")
    sign = -1 if cell.primary in LOWER_IS_BETTER | {"loss"} else 1
    return {
        "task": cell.task,
        "protocol": cell.protocol,
        "metric": cell.primary,
        "selection": cell.selection,
        "control": control.selection,
        "role": role,
        "seeds": len(a.values),
        "control_seeds": len(b.values),
        "difference": value,
        "gain": sign * value,
        **found,
    }


def _outcome(cells: Sequence[Cell], level: float) -> list[dict[str, Any]]:
    """The comparisons of one outcome, without correction."""
    named = {cell.selection: cell for cell in cells}
    return [
        pair(named[name], named[control], role, level)
        for name, control, role in comparisons([*named])
    ]


def _mark(row: dict[str, Any], level: float) -> str:
    if row["p_adjusted"] is None:
        return "unknown"
    if row["p_adjusted"] > level:
        return "no different"
    return "better" if row["gain"] > 0 else "worse"


def corrected(rows: list[dict[str, Any]], level: float) -> list[dict[str, Any]]:
    """Rows with p_adjusted (Holm over those with a p) and mark."""
    known = [row for row in rows if row["p"] is not None]
    adjusted = iter(holm(np.array([row["p"] for row in known])))
    rows = [{**r, "p_adjusted": None if r["p"] is None else float(next(adjusted))} for r in rows]
    return [{**row, "mark": _mark(row, level)} for row in rows]


def comparisons_table(cells: Sequence[Cell], level: float) -> pl.DataFrame:
    """Every row against its controls by the primary metric (columns of `COMPARISON`).

    P-values are adjusted over all comparisons of an outcome, by Holm: a false mark among them has
    the chance `level`, and comparisons that are beyond doubt cost the others nothing. More data
    against random (the regime) are a family by themselves.
    """
    found = []
    for task in dict.fromkeys(cell.task for cell in cells):
        rows = _outcome([cell for cell in cells if cell.task == task], level)
        for family in (True, False):
            found += corrected([r for r in rows if (r["role"] != "regime") == family], level)
    return pl.DataFrame(found, schema=COMPARISON)
