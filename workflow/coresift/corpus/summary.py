"""Counts over the corpus stages: what came in, what was rejected, merged, removed and held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.outcome import NAMED, counts_text, long_text
from coresift.files import read_json
from coresift.tables import scan_tables

#: Counts of the records above max_length and of their windows: `windows.LongRecords`.
LONG_COUNTS = ("records", "residues", "windows", "cropped", "repeated")
#: What the summary has of each file.
FILE_COUNTS = ("path", "records", "long", "items", "accepted", "rejected")


def _paths(paths: Sequence[str | Path]) -> list[str]:
    return [str(path) for path in paths]


def _sum(reports: Sequence[Mapping[str, Any]], key: str) -> int:
    return sum(report[key] for report in reports)


def _by_reason(reports: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Rejects of all reports, in the order in which they name the reasons."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report["rejected"])
    return dict(counts)


def duplicate_ids(buckets: Sequence[str | Path], n_at_once: int = 1 << 22) -> pl.DataFrame:
    """Source ids that stand for different sequences: columns source_id, n_sequences.

    Ids are labels here, not keys: nothing is lost, but the user should know. Memory is that of
    about `n_at_once` ids' hashes, and of those ids that are found.
    """
    copies = pl.scan_ipc(_paths(buckets), glob=False).select(
        pl.col("n_copies").cast(pl.Int64).sum()
    )
    n_parts = max(1, -(-(copies.collect().item() or 0) // n_at_once))
    found = [pl.DataFrame(schema={"source_id": pl.String, "n_sequences": pl.UInt32})]
    for part in range(n_parts):
        own = pl.col("hash") % n_parts == part
        pieces = _ids(buckets, own, "hash")
        hashes = np.concatenate([np.empty(0, np.uint64), *(piece.to_numpy() for piece in pieces)])
        hashes.sort()
        twice = pl.Series(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]), dtype=pl.UInt64)
        if not len(twice):
            continue
        # Of equal hashes the ids may still differ.
        ids = pl.concat(_ids(buckets, pl.col("hash").is_in(twice.implode()), "source_id"))
        counts = ids.to_frame().group_by("source_id").len("n_sequences")
        found.append(counts.filter(pl.col("n_sequences") > 1))
    return pl.concat(found).sort("source_id")


def _ids(buckets: Sequence[str | Path], wanted: pl.Expr, column: str) -> Iterator[pl.Series]:
    """Some source ids (source_id), or their hashes (hash), of each bucket, once a sequence."""
    for path in _paths(buckets):
        ids = (
            pl.scan_ipc(path, glob=False)
            .select(pl.col("source_ids").list.unique().alias("source_id"))
            .explode("source_id")
            .with_columns(hash=pl.col("source_id").hash())
        )
        yield ids.filter(wanted).select(column).collect(engine="streaming").to_series()


def summarise(
    ingest_reports: Sequence[str | Path],
    distinct: Sequence[str | Path],
    pool: Sequence[str | Path],
    heldout: Sequence[str | Path],
    n_duplicate_ids: int,
    n_removed: int,
) -> dict[str, Any]:
    """Counts of every corpus stage; they add up, or an error says where rows were lost.

    Args:
        ingest_reports: the JSON of each ingest job.
        distinct: buckets after deduplication (Arrow files).
        pool, heldout: buckets of the pool proper, and of what was held out of it.
        n_duplicate_ids: from `duplicate_ids`.
        n_removed: sequences that decontamination removed.

    Raises:
        ValueError: what was accepted and the copies of the distinct sequences do not agree.
    """
    reports = [read_json(path) for path in ingest_reports]
    accepted = _sum(reports, "accepted")
    long = [report["long"] for report in reports]
    totals = (
        pl.scan_ipc(_paths(distinct), glob=False)
        .select(pl.len().alias("n"), pl.col("n_copies").cast(pl.Int64).sum())
        .collect()
    )
    n_distinct, n_copies = int(totals["n"][0]), int(totals["n_copies"][0] or 0)
    if n_copies != accepted:
        raise ValueError(f"rows lost: {accepted} records accepted, {n_copies} in the buckets")
    kept = scan_tables(pool).select(
        pl.len().alias("n"),
        pl.col("length").cast(pl.Int64).sum().alias("residues"),
        *(
            pl.col("length").quantile(q, "nearest").alias(f"q{int(100 * q)}")
            for q in (0.0, 0.25, 0.5, 0.75, 1.0)
        ),
    )
    row = kept.collect().row(0, named=True)
    apart = [frame["length"] for frame in iter_pool(heldout, ["length"])]
    held_out = {"sequences": sum(map(len, apart)), "residues": sum(int(n.sum()) for n in apart)}
    return {
        "files": {r["source"]: {k: r[k] for k in FILE_COUNTS} for r in reports},
        "problems": [line for report in reports for line in report["problems"]],
        "records": _sum(reports, "records"),
        "long": {
            **{key: _sum(long, key) for key in LONG_COUNTS},
            "rejected": _by_reason(long),
        },
        "items": _sum(reports, "items"),
        "rejected": _by_reason(reports),
        "accepted": accepted,
        "distinct": n_distinct,
        "duplicates": accepted - n_distinct,
        "duplicate_ids": n_duplicate_ids,
        "masked": {
            unit: sum(report["masked"][unit] for report in reports)
            for unit in ("records", "residues")
        },
        "not_sampled": n_distinct - n_removed - held_out["sequences"] - int(row["n"]),
        "removed": n_removed,
        "pool": int(row["n"]),
        "held_out": held_out,
        "residues": int(row["residues"] or 0),
        "length_quartiles": [row[f"q{q}"] for q in (0, 25, 50, 75, 100)],
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """A summary in a few lines: what became of the records, and the rejects of each file."""
    long = f" ({long_text(summary['long'])})" if summary["long"]["records"] else ""
    lines = [
        f"corpus: {summary['records']} records{long}, {summary['accepted']} accepted, "
        f"{summary['distinct']} distinct, {summary['not_sampled']} not sampled, "
        f"{summary['removed']} close to tasks' examples, {summary['held_out']['sequences']} held "
        f"out: a pool of {summary['pool']} sequences, "
        f"{summary['residues']} residues"
    ]
    files = sorted(summary["files"].values(), key=lambda f: f["accepted"] - f["items"])
    lines += [f"  {f['path']}: {counts_text(f)}" for f in files[:NAMED]]
    if len(files) > NAMED:
        lines.append(f"  {len(files) - NAMED} more files")
    return "\n".join(lines)
