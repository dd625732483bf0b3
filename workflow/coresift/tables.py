"""Tables held to their schema, read and written atomically; the stages own the schemas.

All tables are Parquet (zstd), but for those between two stages of the corpus, which are written
once and read once: uncompressed Arrow files, mapped into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from coresift.files import atomic_path

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

#: Rows of a table read at a time.
_ROWS_READ = 1 << 16


def conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return `frame` with exactly the columns of `schema`, in order and cast strictly.

    Raises:
        ValueError: a column is missing.
    """
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise ValueError(f"columns missing: {missing}; present: {frame.columns}")
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def not_finite(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows with a NaN, an infinity or nothing in a column of floating-point numbers."""
    return frame.filter(~pl.all_horizontal(pl.col(pl.Float64).is_finite().fill_null(False)))


def number_array(values: np.ndarray) -> pa.Array:
    """An Arrow array of 64-bit integers, not copied."""
    # From buffers, here and below: pyarrow imports pandas (half a second a job) to look at numpy.
    kind = pa.uint64() if values.dtype == np.uint64 else pa.int64()
    contiguous = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(contiguous)])


def string_array(offsets: np.ndarray, data: bytes | bytearray) -> pa.Array:
    """An Arrow array of strings: row i is `data[offsets[i]:offsets[i + 1]]`; int64 offsets."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def text_array(
    data: bytes | bytearray, starts: np.ndarray, ends: np.ndarray, rows: np.ndarray
) -> pa.Array:
    """An Arrow array of `data[starts[i]:ends[i]]`, i in `rows`; the spans are in order, apart."""
    # The text between the spans makes elements of its own, which are not taken.
    offsets = np.zeros(2 * len(starts) + 1, np.int64)
    offsets[1::2], offsets[2::2] = starts, ends
    return string_array(offsets, data).take(number_array(2 * rows + 1))


def spans_array(data: bytes | bytearray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """An Arrow array of `data[starts[i]:ends[i]]`, wherever the spans are."""
    view = memoryview(data)
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    offsets = np.append(0, np.cumsum(ends - starts))
    return string_array(offsets, b"".join([view[start:end] for start, end in spans]))


def list_array(offsets: np.ndarray, values: pa.Array) -> pa.Array:
    """An Arrow array of lists: row i holds `values[offsets[i]:offsets[i + 1]]`; int64 offsets."""
    kind, buffers = pa.large_list(values.type), [None, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers, children=[values])


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """An Arrow table in one piece, with the string type that every reader knows."""
    return frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def arrow_schema(schema: Schema) -> pa.Schema:
    """The schema of `to_arrow`'s tables."""
    return to_arrow(pl.DataFrame(schema=dict(schema))).schema


def write_table(
    path: str | Path, frame: pl.DataFrame, schema: Schema, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a table of the given schema atomically; `metadata` goes into the Parquet footer."""
    table = to_arrow(conform(frame, schema))
    table = table.replace_schema_metadata(dict(sorted((metadata or {}).items())))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)


class TableWriter:
    """Append frames of one schema to one Parquet file, atomically and in bounded memory.

    Row groups hold exactly `row_group_size` rows (the last one fewer), so the bytes do not depend
    on how the rows were cut into frames.
    """

    def __init__(self, path: str | Path, schema: Schema, row_group_size: int = 1 << 17) -> None:
        self._context = atomic_path(path)
        self._schema = schema
        self._size = row_group_size
        self._pending = pl.DataFrame(schema=dict(schema))
        self._arrow_schema = arrow_schema(schema)
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> TableWriter:
        temporary = self._context.__enter__()
        self._writer = pq.ParquetWriter(
            temporary,
            self._arrow_schema,
            compression="zstd",
            use_dictionary=False,
        )
        return self

    def append(self, frame: pl.DataFrame) -> None:
        """Append rows; whole row groups are written at once, the rest is held back."""
        self._pending = pl.concat([self._pending, conform(frame, self._schema)])
        while self._pending.height >= self._size:
            self._write(self._pending.head(self._size))
            self._pending = self._pending.slice(self._size)

    def _write(self, frame: pl.DataFrame) -> None:
        assert self._writer is not None
        self._writer.write_table(to_arrow(frame))

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None and self._pending.height:
            self._write(self._pending)
        if self._writer is not None:
            self._writer.close()
        self._context.__exit__(kind, value, trace)


@contextmanager
def arrow_writer(path: str | Path, schema: Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """A writer of an uncompressed Arrow file of the given schema, atomic."""
    with (
        atomic_path(path) as temporary,
        pa.ipc.new_file(str(temporary), arrow_schema(schema)) as writer,
    ):
        yield writer


def write_arrow(path: str | Path, table: pa.Table, schema: Schema) -> None:
    """Write a table of the given schema as an uncompressed Arrow file, atomically.

    Raises:
        ValueError: a column is missing, or one too many.
    """
    with arrow_writer(path, schema) as writer:
        writer.write_table(table.cast(arrow_schema(schema)))


def read_arrow(paths: Sequence[str | Path], schema: Schema) -> pa.Table:
    """Map Arrow files of one schema into memory and concatenate them, without a copy.

    Raises:
        ValueError: a file is not a whole Arrow file, or its columns are not those of the schema.
    """
    expected = arrow_schema(schema)
    tables = [pa.Table.from_batches([], expected)]
    for path in paths:
        try:
            tables.append(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path}: not a readable Arrow file ({error})") from error
        if tables[-1].schema != expected:
            raise ValueError(f"{path}: columns {tables[-1].column_names}; expected {list(schema)}")
    return pa.concat_tables(tables)


def read_columns(path: str | Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read some columns of a Parquet table, or all.

    Raises:
        ValueError: the file is not Parquet, or lacks a column.
    """
    try:
        return pl.read_parquet(path, columns=columns, glob=False)
    except (Exception, pl.exceptions.PanicException) as error:  # a panic is no Exception
        raise ValueError(f"{path}: not a readable Parquet table ({error})") from error


def read_table(path: str | Path, schema: Schema) -> pl.DataFrame:
    """Read a table and hold it to its schema.

    Raises:
        ValueError: the file is not Parquet, or a column is missing or of the wrong type.
    """
    frame = read_columns(path)
    try:
        return conform(frame, schema)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: {error}") from error


def scan_tables(paths: Sequence[str | Path]) -> pl.LazyFrame:
    """A query over Parquet tables of one schema; names are taken literally, not as patterns."""
    return pl.scan_parquet([str(path) for path in paths], glob=False)


def scan_rows(path: str | Path, seq_ids: pl.Series) -> pl.LazyFrame:
    """Rows of some sequences of a table in seq_id order.

    Only the row groups between the lowest and the highest of them are read; a join in place of the
    filter would hold all rows of these.
    """
    low, high = pl.lit(seq_ids.min(), pl.String), pl.lit(seq_ids.max(), pl.String)
    near = scan_tables([path]).filter(pl.col("seq_id").is_between(low, high))
    return near.filter(pl.col("seq_id").is_in(seq_ids.implode()))


def read_tables(paths: Sequence[str | Path], schema: Schema) -> pl.DataFrame:
    """Read and concatenate tables of one schema."""
    frames = [read_table(path, schema) for path in paths]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(schema))


def join_tables(path: str | Path, parts: Sequence[str | Path], schema: Schema) -> int:
    """Write tables of one schema as one, atomically, a few rows at a time; returns their number.

    Raises:
        ValueError: a part is not Parquet, or a column is missing or of the wrong type.
    """
    n = 0
    with TableWriter(path, schema) as writer:
        for part in parts:
            try:
                with pq.ParquetFile(part) as file:
                    for batch in file.iter_batches(_ROWS_READ):
                        writer.append(pl.DataFrame(pl.from_arrow(batch)))
                        n += batch.num_rows
            except (ValueError, pa.ArrowException, pl.exceptions.PolarsError) as error:
                raise ValueError(f"{part}: {error}") from error
    return n
