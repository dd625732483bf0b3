"""What every reader gives, and how it opens text."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from polars.exceptions import PanicException

from coresift.tasks.readers.settings import MAP_ENDINGS

_ENDING = "a file's ending says how it is read"
#: A label that is a file: .npy map, or PDB / mmCIF with an optional chain (`1abc.cif:A`).
FILE = re.compile(rf"(.+(?:{'|'.join(map(re.escape, MAP_ENDINGS))}))(?::(\w+))?")


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
        group: what stays whole in a draw (`Draw.group`), None if the file has no such column.
    """

    place: str
    name: str
    sequence: str
    label: str | None
    partner: str = ""
    split: str | None = None
    group: str | None = None


@contextmanager
def readable(path: str | Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises at a damaged file into the file's error.

    What they raise there is not bounded by their documentation: a flipped bit gives a SyntaxError,
    a NotImplementedError, a MemoryError or (polars) a panic as well.

    Raises:
        TaskDataError: `path` is not `what`.
    """
    try:
        yield
    except TaskDataError:
        raise
    except (Exception, PanicException) as error:
        cause = str(error) or type(error).__name__
        raise TaskDataError(f"{path}: not {what} ({cause}); {_ENDING}") from error


@contextmanager
def naming(task: str) -> Iterator[None]:
    """Begin the message of a task's error with its name in the config.

    Raises:
        TaskDataError: as inside, with the name.
    """
    try:
        yield
    except TaskDataError as error:
        raise TaskDataError(f"task {task}: {error}") from error


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Stream (line number from 1, line without its end) of a text file, plain or gzip.

    Text is UTF-8; a byte order mark is dropped. A line ends as in Python's text files.

    Raises:
        TaskDataError: the file is empty, truncated or not text.
    """
    number = 0
    opened = gzip.open if str(path).endswith(".gz") else open
    try:
        with opened(path, "rb") as handle:
            # Decoded line by line: a text file decodes ahead of the line that it gives.
            for raw in handle:
                for part in raw.removesuffix(b"\n").removesuffix(b"\r").split(b"\r"):
                    data = part if number else part.removeprefix(b"\xef\xbb\xbf")
                    line = data.decode()
                    number += 1
                    yield number, line
    except (EOFError, zlib.error, UnicodeDecodeError, OSError) as error:
        raise TaskDataError(
            f"{path}: line {number + 1}: not readable text ({error}); {_ENDING}"
        ) from error
    if number == 0:
        raise TaskDataError(f"{path}: empty file")


def resolve(label: str, table: str) -> str:
    """A file label relative to its table's folder; any other label as it is."""
    return str(Path(table).parent / label) if FILE.fullmatch(label) else label
