"""CSV, TSV and Parquet: one example a row."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from coresift.tasks.readers.record import Record, TaskDataError, read_lines, readable
from coresift.tasks.readers.settings import Pairs, TaskData
from coresift.tasks.structure import coordinates_text, pairs_text, partner_text, wrong_partner

#: Column names, and (line number, fields) of each row.
_Table = tuple[list[str], Iterator[tuple[int, Sequence[Any]]]]


def read(source: TaskData, path: str) -> Iterator[Record]:
    """The configured columns of each row; the label may be made of several.

    Raises:
        TaskDataError: a column is missing, or a row has more or fewer fields than the header.
    """
    columns, rows = _parquet(path) if path.endswith(".parquet") else _separated(path)
    fields, labelled = _label_of(source)
    masks = [source.mask] if isinstance(source.mask, str) else list(source.mask or [])
    group = source.draw.group if source.draw is not None else None
    wanted = [(source.sequence, "data.sequence"), *((name, _label_key(source)) for name in fields)]
    wanted += [(name, "data.mask") for name in masks]
    wanted += [(source.sequence_b, "data.sequence_b")] if source.sequence_b else []
    wanted += [(group, "data.draw.group")] if group else []
    if source.path is not None and _needs_split(source):
        wanted.append((source.split, "data.split (or data.draw, or a file a split)"))
    missing = {name: key for name, key in wanted if name not in columns}
    if missing:
        raise TaskDataError(
            f"{path}: columns missing: {[*missing]}; present: {columns}; named by "
            f"{', '.join(dict.fromkeys(missing.values()))}"
        )
    for number, row in rows:
        values = dict(zip(columns, row, strict=True))
        place = f"{path}: line {number}"
        try:
            label = labelled(values)
            for mask in masks:
                label = label and _masked(label, values[mask])
        except ValueError as error:
            raise TaskDataError(f"{place}: {error}") from error
        yield Record(
            f"line {number}",
            str(number),
            _text(values[source.sequence]),
            label,
            _text(values[source.sequence_b]) if source.sequence_b else "",
            _text(values.get(source.split)) or None,
            _text(values[group]) if group else None,
        )


def _needs_split(source: TaskData) -> bool:
    """Whether rows without a split are of no use: a misspelt column must not pass."""
    return source.draw is None and source.default_split is None


#: Values of a row by column -> the label's text, or None where it is absent.
_Label = Callable[[Mapping[str, Any]], str | None]


def _label_of(source: TaskData) -> tuple[list[str], _Label]:
    """Columns of the label, and how to make its text of them."""
    if source.pairs is not None:
        pairs = source.pairs
        fields = [name for name in (pairs.i, pairs.j, pairs.unknown) if name is not None]
        return fields, lambda values: _pairs(pairs, values)
    if source.coordinates is not None:
        atoms = source.coordinates
        return atoms, lambda values: coordinates_text([values[name] for name in atoms])
    if isinstance(source.label, str) and source.partners_base is not None:
        column, base = source.label, source.partners_base
        return [column], lambda values: _partners(values[column], base)
    if isinstance(source.label, list):
        several = source.label
        return several, lambda values: " ".join(_text(values[name]) for name in several)
    named = [name for _, name, _, _ in Formatter().parse(source.label) if name is not None]
    pattern, fields = (source.label, named) if named else (f"{{{source.label}}}", [source.label])

    def filled(values: Mapping[str, Any]) -> str | None:
        texts = {name: _text(values[name]) for name in fields}
        return pattern.format_map(texts) if all(texts.values()) else None

    return fields, filled


def _label_key(source: TaskData) -> str:
    """The key that names the columns of the label."""
    given = [key for key in ("pairs", "coordinates") if getattr(source, key) is not None]
    return f"data.{(given or ['label'])[0]}"


def _pairs(pairs: Pairs, values: Mapping[str, Any]) -> str | None:
    first = _numbers(values[pairs.i])
    if first is None:
        return None
    if pairs.j is None:
        if len(first) % 2:
            raise ValueError(f"{pairs.i}: {len(first)} numbers are no pairs")
        first, second = first[::2], first[1::2]
    else:
        second = _numbers(values[pairs.j]) or []
    if len(first) != len(second):
        raise ValueError(f"{len(first)} residues in {pairs.i}, {len(second)} in {pairs.j}")
    unknown = _numbers(values[pairs.unknown]) or [] if pairs.unknown else []
    return pairs_text(first, second, unknown, pairs.base)


def _partners(value: Any, base: int) -> str | None:
    """A list of one partner a residue, as a label."""
    if isinstance(value, list) and base == 0:
        value = [-1 if partner is None else partner for partner in value]
    numbers = _numbers(value)
    if numbers is None:
        return None
    partners = np.array(numbers, dtype=np.int64) - base
    wrong = wrong_partner(partners, base)
    if wrong is not None:
        raise ValueError(f"{wrong[1]}; is data.partners_base right?")
    return partner_text(partners)


def _numbers(value: Any) -> list[int] | None:
    """Whole numbers of a list, of lists in a list, or of text with any brackets and separators.

    An absent value is None; an empty list, or text of brackets alone, has no number.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        found: list[Any] = re.sub(r"[\[\](){},;]", " ", value).split()
    else:
        found = [v for item in value for v in (item if isinstance(item, list) else [item])]
    try:
        numbers = [int(v) for v in found]
        if any(float(v) != n for v, n in zip(found, numbers, strict=True)):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"not whole numbers: {str(value)[:60]!r}") from None
    return numbers


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
    tabs = path.removesuffix(".gz").endswith(".tsv")
    # Strict: a quote that is never closed would take in all rows after it.
    lines = (f"{line}\n" for _, line in read_lines(path))
    csv.field_size_limit(2**31 - 1)  # a genome is a field
    reader = csv.reader(lines, delimiter="\t" if tabs else ",", strict=True)
    rows = _fields(path, reader, several_lines=not tabs)
    header = next(rows, (1, []))[1]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TaskDataError(f"{path}: columns given twice: {twice}")
    return header, _checked(path, rows, len(header))


def _fields(path: str, reader: Any, several_lines: bool) -> Iterator[tuple[int, list[str]]]:
    try:
        before = 0
        for row in reader:
            if reader.line_num > before + 1 and not several_lines:
                raise TaskDataError(
                    f"{path}: lines {before + 1} to {reader.line_num}: one row, since a field "
                    "begins with a quote; in a .tsv a field is within a line"
                )
            before = reader.line_num
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
    if value is None or value != value:  # a column of numbers has NaN where there is none
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _masked(label: str, mask: Any) -> str:
    """Residue labels with '-' where the mask (numbers, 0 = not known) is 0."""
    text = _text(mask).replace(",", " ")
    flags = list(text) if text.isdigit() and len(text) == len(label) else text.split()
    try:
        known = [float(flag) != 0 for flag in flags]
    except ValueError as error:
        raise ValueError(f"mask: {error} (data.mask)") from error
    if len(known) != len(label):
        raise ValueError(f"a mask of {len(known)} for {len(label)} labels (data.mask)")
    return "".join(c if keep else "-" for c, keep in zip(label, known, strict=True))
