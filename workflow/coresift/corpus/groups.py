"""Groupings of the pool: a table each, sorted by seq_id, and their merge.

Groups are in files of their own, so that one more grouping changes neither pool nor scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.tables import scan_rows, scan_tables


class GroupError(ValueError):
    """A grouping groups nothing, or lacks sequences."""


def groups_of(seq_ids: pl.Series, path: str | Path) -> pl.Series:
    """(n,) group of each of some sequences, null where it has none. Memory is that of these.

    Args:
        path: a table sorted by seq_id, its first column, whose second is the group.

    Raises:
        GroupError: the table lacks a sequence.
    """
    wanted = seq_ids.alias("seq_id").to_frame()
    table = scan_rows(path, seq_ids).select("seq_id", pl.nth(1).alias("group"), known=pl.lit(True))
    rows = wanted.join(
        table.collect(engine="streaming"), on="seq_id", how="left", maintain_order="left"
    )
    lost = rows["known"].null_count()
    if lost:
        raise GroupError(f"{path}: {lost} of {len(seq_ids)} sequences are not in it")
    return rows["group"]


def merge_groups(
    pool: Sequence[str | Path], groupings: Mapping[str, str | Path]
) -> Iterator[pl.DataFrame]:
    """All groupings of the pool (`group_schema`), bucket by bucket.

    Args:
        groupings: a table (`groups_of`) by name.
    """
    for frame in iter_pool(pool, ["seq_id"]):
        columns = [groups_of(frame["seq_id"], p).alias(name) for name, p in groupings.items()]
        yield frame.with_columns(columns)


def count_groups(path: str | Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Groups and sequences without one, by grouping, of a table of `merge_groups`.

    Raises:
        GroupError: a grouping has no group at all.
    """
    counts = {}
    for name in names:
        column = pl.col(name)
        row = scan_tables([path]).select(
            groups=column.drop_nulls().n_unique(), without=column.null_count(), all=pl.len()
        )
        found = row.collect(engine="streaming").row(0, named=True)
        if found["all"] and not found["groups"]:
            raise GroupError(
                f"corpus.groups.{name}: no sequence of the pool has a group. A regex must match in "
                "the header; a table's ids are the first words of headers"
            )
        counts[name] = {"groups": found["groups"], "without": found["without"]}
    return counts
