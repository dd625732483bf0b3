"""The head of a table of groups: what can be checked before any job starts."""

from __future__ import annotations

from pathlib import Path

from xopen import xopen

from coresift.corpus.fasta import CorpusError

#: How files of compressions begin that polars, which reads the table, does not know by that.
_OTHER_COMPRESSION = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}


def separator_of(path: str | Path) -> str:
    """What separates the columns of a CSV or TSV file, plain, gzip or zstd: a tab or a comma.

    Raises:
        CorpusError: it cannot be read, is compressed otherwise, or its first line does not name
            columns id and group.
    """
    try:
        with open(path, "rb") as raw:
            start = raw.read(max(map(len, _OTHER_COMPRESSION)))
        for magic, kind in _OTHER_COMPRESSION.items():
            if start.startswith(magic):
                raise CorpusError(
                    f"{path}: compressed by {kind}; a table of groups is plain, gzip or zstd"
                )
        with xopen(path, "rt", encoding="utf-8-sig") as handle:
            head = handle.readline().rstrip("\r\n")
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
    separator = "\t" if "\t" in head else ","
    names = head.split(separator)
    columns = names if separator == "\t" else [name.strip('"') for name in names]
    if not {"id", "group"} <= set(columns):
        raise CorpusError(f"{path}: columns {columns}; a table of groups has id and group")
    return separator
