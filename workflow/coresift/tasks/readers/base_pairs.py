"""Secondary structures: .bpseq, .ct and .dbn files, one or a folder of them (bpRNA, RNAcentral)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate, dropwhile, islice
from pathlib import Path

import numpy as np

from coresift.tasks.readers.record import Record, TaskDataError, read_lines
from coresift.tasks.readers.settings import TaskData
from coresift.tasks.structure import dot_bracket_partners, partner_text, wrong_partner

#: Line number, its fields (never empty; comments left out).
Line = tuple[int, list[str]]


def read(source: TaskData, path: str) -> Iterator[Record]:
    """Every structure of a file, or of a folder's files in name order; the label is partners.

    A file of several structures gives a record each: foldings of one sequence (mfold,
    RNAstructure) are records of their own.

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
            name = str(record)
            if folder.is_dir():
                name = file.name if record == 1 else f"{file.name}:{record}"
            yield Record(f"{file.name} structure {record}", name, sequence, label)


def _suffix(file: Path) -> str:
    return Path(file.name.removesuffix(".gz")).suffix


def _whole(text: str) -> bool:
    """Whether a text is a number without sign; str.isdigit takes superscripts too."""
    return text.isascii() and text.isdigit()


def _bpseq(file: Path, lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    """Lines of: number, base, partner (0 = unpaired); lines before the first number are a header.

    The Comparative RNA Web site begins its files with four such lines.
    """
    residues = list(dropwhile(lambda line: not _whole(line[1][0]), lines))
    if not residues:
        raise TaskDataError(f"{file}: no residue")
    yield _structure(file, residues, 3, 2)


def _ct(file: Path, lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    """A title that begins with the length, then: number, base, n-1, n+1, partner, number."""
    length = 0
    for number, title in lines:
        if not _whole(title[0]):
            raise TaskDataError(f"{file}: line {number}: the title does not begin with the length")
        if int(title[0]) == length + 1 and len(title) >= 6 and len(title[1]) == 1:
            raise TaskDataError(f"{file}: line {number}: more residues than the title's {length}")
        length = int(title[0])
        residues = list(islice(lines, length))
        if len(residues) != length:
            raise TaskDataError(f"{file}: {len(residues)} residues, the title says {length}")
        yield _structure(file, residues, 6, 4)


def _structure(file: Path, lines: list[Line], width: int, column: int) -> tuple[str, str]:
    letters: list[str] = []
    partners: list[int] = []
    for number, fields in lines:
        values = [fields[0], fields[column]] if len(fields) >= width else []
        if not values or not all(map(_whole, values)) or len(fields[1]) != 1:
            raise TaskDataError(f"{file}: line {number}: not a residue: {' '.join(fields)!r}")
        if int(values[0]) != len(letters) + 1:
            raise TaskDataError(f"{file}: line {number}: residue {values[0]} is out of order")
        letters.append(fields[1])
        partners.append(int(values[1]) - 1)
    found = np.array(partners, dtype=np.int64)
    wrong = wrong_partner(found, 1)
    if wrong is not None:
        raise TaskDataError(f"{file}: line {lines[wrong[0]][0]}: {wrong[1]}")
    return "".join(letters), partner_text(found)


#: What may follow the brackets: an energy, as `(-1.20)`, `( -1.20)` or `-1.20`.
_ENERGY = re.compile(r"[\[({]?\s*[-+]?\d+\.?\d*.*")


def _dbn(file: Path, lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    """Pairs of lines, sequence and dot-bracket; an energy after the brackets is left out.

    Blanks inside either are ignored: the brackets are as many as the letters.
    """
    for number, fields in lines:
        sequence = "".join(fields)
        place, brackets = next(lines, (0, []))
        if not place:
            raise TaskDataError(f"{file}: line {number}: a sequence without dot-bracket line")
        sizes = list(accumulate(map(len, brackets)))
        rest = brackets[bisect_left(sizes, len(sequence)) + 1 :]
        if len(sequence) not in sizes or (rest and not _ENERGY.fullmatch(" ".join(rest))):
            raise TaskDataError(
                f"{file}: line {place}: not the dot-bracket of the {len(sequence)} residues of "
                f"line {number}"
            )
        label = "".join(brackets)[: len(sequence)]
        try:
            dot_bracket_partners(label)
        except ValueError as error:
            raise TaskDataError(f"{file}: line {place}: {error}") from error
        yield sequence, label


FORMATS: dict[str, Callable[[Path, Iterator[Line]], Iterator[tuple[str, str]]]] = {
    ".bpseq": _bpseq,
    ".ct": _ct,
    ".dbn": _dbn,
}
