"""CSV, TSV and Parquet: one example a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from string import Formatter
from typing import Any

import pyarrow.parquet as pq

from coresift.tasks.readers.record import Record, TaskDataError, read_lines, readable
from coresift.tasks.readers.settings import TaskData

#: Column names, and (line number, fields) of each row.
_Table = tuple[list[str], Iterator[tuple[int, Sequence[Any]]]]


def read(source: TaskData, path: str) -> Iterator[Record]:
    """The configured columns of each row; the label may be a pattern of several.

    Raises:
        TaskDataError: a column is missing, or a row has more or fewer fields than the header.
    """
    fields = [name for _, name, _, _ in Formatter().parse(source.label) if name is not None]
    pattern = source.label if fields else f"{{{source.label}}}"
    optional = [source.sequence_b, source.mask]
    wanted = [source.sequence, *(fields or [source.label]), *filter(None, optional)]
    columns, rows = _parquet(path) if path.endswith(".parquet") else _separated(path)
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise TaskDataError(f"{path}: columns missing: {missing}; present: {columns}")
    for number, row in rows:
        texts = {name: _text(value) for name, value in zip(columns, row, strict=True)}
        absent = any(not texts[name] for name in fields or [source.label])
        label = None if absent else pattern.format_map(texts)
        if source.mask and label is not None:
            label = _masked(label, texts[source.mask], f"{path}: line {number}")
        yield Record(
            f"line {number}",
            str(number),
            texts[source.sequence],
            label,
            texts[source.sequence_b] if source.sequence_b else "",
            texts.get(source.split) or None,
        )


def _parquet(path: str) -> _Table:
    # Not by polars: it takes `*`, `[` and `~` in a path for patterns, and panics at some damage.
    with readable(path, "a readable Parquet table"), open(path, "rb") as handle:
        table = pq.ParquetFile(handle, page_checksum_verification=True).read()
        table.validate(full=True)
        columns = [[_decoded(value) for value in column.to_pylist()] for column in table.columns]
        return table.column_names, enumerate(zip(*columns, strict=True), start=2)


def _decoded(value: Any) -> Any:
    """Some writers do not mark text as text."""
    return value.decode() if isinstance(value, bytes) else value


def _separated(path: str) -> _Table:
    separator = "\t" if path.removesuffix(".gz").endswith(".tsv") else ","
    # Strict: a quote that is never closed would take in all rows after it.
    lines = (f"{line}\n" for _, line in read_lines(path))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    rows = _fields(path, reader)
    header = next(rows, (1, []))[1]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TaskDataError(f"{path}: columns given twice: {twice}")
    return header, _checked(path, rows, len(header))


def _fields(path: str, reader: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise TaskDataError(f"{path}: line {reader.line_num}: {error}") from error


def _checked(
    path: str, rows: Iterator[tuple[int, list[str]]], width: int
) -> Iterator[tuple[int, list[str]]]:
    for number, row in rows:
        if row and len(row) != width:
            raise TaskDataError(f"{path}: line {number}: {len(row)} fields, the header has {width}")
        if row:
            yield number, row


def _text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _masked(label: str, mask: str, place: str) -> str:
    """Residue labels with '-' where the mask (numbers, 0 = not known) is 0."""
    flags = mask.replace(",", " ").split()
    try:
        known = [float(flag) != 0 for flag in flags]
    except ValueError as error:
        raise TaskDataError(f"{place}: mask: {error}") from error
    if len(known) != len(label):
        raise TaskDataError(f"{place}: a mask of {len(known)} for {len(label)} labels")
    return "".join(c if keep else "-" for c, keep in zip(label, known, strict=True))
