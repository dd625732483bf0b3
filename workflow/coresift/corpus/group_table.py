"""The head of a table of groups: what can be checked before any job starts."""

from __future__ import annotations

from pathlib import Path

from xopen import xopen

from coresift.corpus.fasta import CorpusError


def separator_of(path: str | Path) -> str:
    """What separates the columns of a CSV or TSV file, plain or compressed: a tab or a comma.

    Raises:
        CorpusError: it cannot be read, or its first line does not name columns id and group.
    """
    try:
        with xopen(path, "rt", encoding="utf-8-sig") as handle:
            head = handle.readline().rstrip("\r\n")
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
    separator = "\t" if "\t" in head else ","
    columns = [name.strip('"') for name in head.split(separator)]
    if not {"id", "group"} <= set(columns):
        raise CorpusError(f"{path}: columns {columns}; a table of groups has id and group")
    return separator
