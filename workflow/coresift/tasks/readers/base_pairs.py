"""Secondary structures: .bpseq, .ct and .dbn files, one or a folder of them (bpRNA, RNAcentral)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from coresift.tasks.readers.record import Record, TaskDataError, read_lines
from coresift.tasks.readers.settings import TaskData
from coresift.tasks.structure import partner_text

#: Line number, its fields (never empty; comments left out).
Line = tuple[int, list[str]]


def read(source: TaskData, path: str) -> Iterator[Record]:
    """Every structure of a file, or of a folder's files in name order; the label is partners.

    Raises:
        TaskDataError: a line is not of the format, residues are not numbered from 1, or a pair is
            not mutual; with file and line.
    """
    folder = Path(path)
    if folder.is_dir():
        files = sorted(f for f in folder.iterdir() if _suffix(f) in FORMATS)
        if not files:
            raise TaskDataError(f"{path}: no {', '.join(FORMATS)} file in this folder")
    else:
        files = [folder]
    for file in files:
        lines = (
            (number, line.split())
            for number, line in read_lines(file)
            if line.strip() and line[0] not in "#>"
        )
        for record, (sequence, label) in enumerate(FORMATS[_suffix(file)](file, lines), start=1):
            name = file.name if folder.is_dir() else str(record)
            yield Record(f"{file.name} structure {record}", name, sequence, label)


def _suffix(file: Path) -> str:
    return Path(file.name.removesuffix(".gz")).suffix


def _bpseq(file: Path, lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    """Lines of: number, base, partner (0 = unpaired)."""
    yield _structure(file, lines, 3, 2)


def _ct(file: Path, lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    """A title that begins with the length, then: number, base, n-1, n+1, partner, number."""
    number, title = next(lines, (1, [""]))
    if not title[0].isdigit():
        raise TaskDataError(f"{file}: line {number}: the title does not begin with the length")
    sequence, label = _structure(file, lines, 6, 4)
    if len(sequence) != int(title[0]):
        raise TaskDataError(f"{file}: {len(sequence)} residues, the title says {title[0]}")
    yield sequence, label


def _structure(file: Path, lines: Iterator[Line], width: int, column: int) -> tuple[str, str]:
    letters: list[str] = []
    partners: list[int] = []
    places: list[int] = []
    for number, fields in lines:
        values = [fields[0], fields[column]] if len(fields) >= width else []
        if not values or not all(v.isdigit() for v in values) or len(fields[1]) != 1:
            raise TaskDataError(f"{file}: line {number}: not a residue: {' '.join(fields)!r}")
        if int(values[0]) != len(letters) + 1:
            raise TaskDataError(f"{file}: line {number}: residue {values[0]} is out of order")
        letters.append(fields[1])
        partners.append(int(values[1]) - 1)
        places.append(number)
    for i, j in enumerate(partners):
        if j >= 0 and (j >= len(partners) or partners[j] != i or i == j):
            raise TaskDataError(
                f"{file}: line {places[i]}: residue {i + 1} pairs with {j + 1}, "
                "which does not pair with it"
            )
    return "".join(letters), partner_text(np.array(partners, dtype=np.int64))


def _dbn(file: Path, lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    """Pairs of lines, sequence and dot-bracket; an energy after the brackets is left out."""
    for number, fields in lines:
        brackets = next(lines, None)
        if brackets is None:
            raise TaskDataError(f"{file}: line {number}: a sequence without dot-bracket line")
        yield fields[0], brackets[1][0]


FORMATS: dict[str, Callable[[Path, Iterator[Line]], Iterator[tuple[str, str]]]] = {
    ".bpseq": _bpseq,
    ".ct": _ct,
    ".dbn": _dbn,
}
