"""Gzipped FASTA for any other tool: equal records, equal bytes."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coresift.files import atomic_path

#: Header and sequence.
Record = tuple[str, str]


def fasta_text(records: Iterable[Record]) -> str:
    """Records as FASTA, a sequence a line."""
    return "".join(f">{header}\n{sequence}\n" for header, sequence in records)


@contextmanager
def gzip_writer(path: str | Path) -> Iterator[gzip.GzipFile]:
    """A compressed file, atomic, whose bytes have neither name nor time in them."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as handle,
    ):
        yield handle


def write_records(records: Iterable[Record], path: str | Path) -> None:
    """Write gzipped FASTA, atomically."""
    with gzip_writer(path) as handle:
        for record in records:
            handle.write(fasta_text([record]).encode())
