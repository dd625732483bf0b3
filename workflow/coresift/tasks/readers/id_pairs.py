"""Labelled pairs of ids, and the FASTA files of both partners (RPI369 to RPI2241, NPInter)."""

from __future__ import annotations

from collections.abc import Iterator

from coresift.tasks.readers.fasta import records
from coresift.tasks.readers.record import Record, TaskDataError, read_lines
from coresift.tasks.readers.settings import TaskData


def read(source: TaskData, path: str) -> Iterator[Record]:
    """Lines of id, id, label; which partner comes first is found in the FASTA files.

    Raises:
        TaskDataError: not three fields, or an id that no FASTA file has; with the line.
    """
    if source.fasta is None or source.fasta_b is None:
        raise TaskDataError(f"{path}: a list of pairs needs data.fasta and data.fasta_b")
    own, other = _sequences(source.fasta), _sequences(source.fasta_b)
    for number, line in read_lines(path):
        if not line.strip():
            continue
        place, fields = f"line {number}", line.split()
        if len(fields) != 3:
            raise TaskDataError(f"{path}: {place}: {len(fields)} fields, wanted id, id, label")
        a, b, label = fields
        if a in own and b in other:
            sequence, partner = own[a], other[b]
        elif b in own and a in other:
            sequence, partner = own[b], other[a]
        else:
            raise TaskDataError(
                f"{path}: {place}: {a} and {b} are not one in {source.fasta} and one in "
                f"{source.fasta_b}"
            )
        yield Record(place, str(number), sequence, label, partner)


def _sequences(path: str) -> dict[str, str]:
    """Sequences by the first word of their headers."""
    found: dict[str, str] = {}
    for number, header, sequence in records(path):
        name = (header.split(maxsplit=1) or [""])[0]
        if not name:
            raise TaskDataError(f"{path}: record {number}: no id")
        if found.setdefault(name, sequence) != sequence:
            raise TaskDataError(f"{path}: record {number}: another sequence with the id {name}")
    return found
