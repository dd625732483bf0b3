"""FASTA with the label in the header: nRC's classes, DeepLoc's locations."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coresift.corpus.fasta import CorpusError, read_fasta
from coresift.tasks.readers.record import Record, TaskDataError
from coresift.tasks.readers.settings import TaskData


def _find(pattern: str | None, header: str) -> str | None:
    match = re.search(pattern, header) if pattern else None
    return match.group(1) if match else None


def records(path: str) -> Iterator[tuple[int, str, str]]:
    """Number, header and sequence of each record, see `read_fasta`.

    Raises:
        TaskDataError: the file is not readable FASTA.
    """
    try:
        yield from read_fasta(path)
    except CorpusError as error:
        raise TaskDataError(str(error)) from error


def read(source: TaskData, path: str) -> Iterator[Record]:
    """Label and split by pattern; without a pattern the whole header is the label."""
    for number, header, sequence in records(path):
        yield Record(
            f"record {number} ({header[:60]})",
            str(number),
            sequence,
            _find(source.label_regex, header) if source.label_regex else header,
            split=_find(source.split_regex, header),
        )
