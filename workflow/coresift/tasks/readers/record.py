"""What every reader gives, and how it opens text."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: A label that is a file: .npy map, or PDB / mmCIF with an optional chain (`1abc.cif:A`).
FILE = re.compile(r"(.+\.(?:npy|(?:pdb|ent|cif)(?:\.gz)?))(?::(\w+))?")


class TaskDataError(ValueError):
    """A task's file is wrong; the message names file, record and cause."""


@dataclass(frozen=True)
class Record:
    """One labelled example as its file has it.

    Attributes:
        place: where it is, e.g. 'line 3', for messages.
        name: unique in its file.
        sequence, partner: residues; partner is '' but for two sequences.
        label: its text, None if absent.
        split: what the file calls the split, None if it names none.
    """

    place: str
    name: str
    sequence: str
    label: str | None
    partner: str = ""
    split: str | None = None


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Stream (line number from 1, line without its end) of a text file, plain or gzip.

    Raises:
        TaskDataError: the file is empty, truncated or not text.
    """
    number = 0
    opened = gzip.open if str(path).endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline=None) as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.rstrip("\r\n")
    except (EOFError, zlib.error, UnicodeDecodeError, OSError) as error:
        raise TaskDataError(f"{path}: line {number + 1}: not readable text ({error})") from error
    if number == 0:
        raise TaskDataError(f"{path}: empty file")


def resolve(label: str, table: str) -> str:
    """A file label relative to its table's folder; any other label as it is."""
    return str(Path(table).parent / label) if FILE.fullmatch(label) else label
