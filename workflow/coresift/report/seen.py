"""What is said of test examples that were seen in the pool or in train."""

from __future__ import annotations

import polars as pl

from coresift.report.markup import four_places
from coresift.report.notes import NOTE
from coresift.tasks.tables import BINS

#: More of test than this share seen is a warning.
SHARE = 0.01
_PLACES = {"pool": "the pool", "train": "its own train split"}


def leaks(seen: pl.DataFrame) -> pl.DataFrame:
    """Rows of a table of `tables.SEEN` that are a warning."""
    return seen.filter(pl.col("seen") > SHARE * pl.col("compared"))


def leakage(seen: pl.DataFrame) -> list[str]:
    """A sentence a task and what too much of its test split was seen in."""
    return [
        f"{row['task']} ({row['protocol']}): {row['seen'] / row['compared']:.1%} of test "
        f"({row['seen']} of the {row['compared']} examples compared) are in "
        f"{_PLACES[row['against']]} at {row['at']:.0%} identity or more: its figures tell of "
        "memory too, see the results by identity."
        for row in leaks(seen).iter_rows(named=True)
    ]


def seen_notes(seen: pl.DataFrame) -> pl.DataFrame:
    """The same as notes of the test split (columns of `notes.NOTE`)."""
    rows = [
        {
            "task": row["task"],
            "protocol": row["protocol"],
            "split": "test",
            "note": f"of_{row['compared']}_compared_are_in_{row['against']}",
            "count": row["seen"],
        }
        for row in leaks(seen).iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=NOTE)


def wide_by_identity(table: pl.DataFrame) -> pl.DataFrame:
    """Rows by bins, for reading: mean, interval and number of examples as one text.

    Args:
        table: columns of `tables.BY_IDENTITY`.
    """
    mean, low, high = map(four_places, ("mean", "low", "high"))
    interval = pl.format(" [{}, {}]", low, high).fill_null("")
    text = table.with_columns(cell=pl.format("{}{} ({})", mean, interval, "n"))
    index = ["task", "protocol", "against", "selection", "metric"]
    return text.pivot(on="bin", on_columns=BINS, index=index, values="cell").fill_null("")
