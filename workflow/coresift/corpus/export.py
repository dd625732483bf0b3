"""A coreset as FASTA, for any other tool."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from coresift.corpus.subset import fetch_sequences
from coresift.files import atomic_path


def write_fasta(coreset: pl.DataFrame, pool: Sequence[str | Path], path: str | Path) -> None:
    """Write a coreset in rank order: `>first_source_id seq_id=HASH copies=N rank=R`."""
    columns = ["seq_id", "sequence", "source_ids", "n_copies"]
    rows = fetch_sequences(pool, coreset["seq_id"].to_list(), columns)
    ordered = coreset.select("seq_id", "rank").join(rows, on="seq_id").sort("rank")
    records = (
        (
            f"{row['source_ids'][0]} seq_id={row['seq_id']} copies={row['n_copies']} "
            f"rank={row['rank']}",
            row["sequence"],
        )
        for row in ordered.iter_rows(named=True)
    )
    write_records(records, path)


def write_records(records: Iterable[tuple[str, str]], path: str | Path) -> None:
    """Write (header, sequence) pairs as gzipped FASTA, atomically; equal records, equal bytes."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as handle,
    ):
        for header, sequence in records:
            handle.write(f">{header}\n{sequence}\n".encode())
