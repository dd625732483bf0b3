"""File contracts: every table's schema, and atomic, deterministic readers and writers.

All tables are Parquet (zstd), but for those between two stages of the corpus, which are written
once and read once: uncompressed Arrow files, mapped into memory. All tensors are safetensors with
string metadata. A file appears under its final name only when it is whole (temporary file in the
same folder, then rename).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import torch

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

#: One normalised record of one FASTA file, before deduplication (an Arrow file).
PART: Schema = {
    "high": pl.UInt64,  # upper and lower half of the xxh3-128 of the normalised sequence
    "low": pl.UInt64,
    "sequence": pl.String,
    "source_id": pl.String,  # the record's own id, first word of its header
}
#: One input record that was not taken, and why.
REJECT: Schema = {
    "source": pl.String,  # name of the FASTA file
    "record": pl.Int64,  # 1-based number of the record in its file
    "source_id": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}
#: One distinct sequence of the corpus. Rows are in seq_id (hash) order.
SEQUENCE: Schema = {
    "seq_id": pl.String,
    "sequence": pl.String,
    "length": pl.Int32,  # residues
    "block": pl.Int32,  # leading bits of the hash: the unit of batching and resume
    "n_copies": pl.Int32,
    "source_ids": pl.List(pl.String),  # ids of all copies, sorted
}
#: Why a distinct sequence was taken out of the pool by decontamination.
REMOVED: Schema = {
    "seq_id": pl.String,
    "task": pl.String,
    "task_id": pl.String,
    "containment": pl.Float64,  # share of the shorter sequence: its k-mers, or residues aligned
    "identity": pl.Float64,  # identical positions of the alignment; null for method kmer
}
#: Near duplicates of the pool, in seq_id order.
CLUSTER: Schema = {
    "seq_id": pl.String,
    "cluster_id": pl.String,  # seq_id of the cluster's representative
}
#: One row per scored sequence, in seq_id order.
SCORE: Schema = {
    "seq_id": pl.String,
    "length": pl.Int32,
    "influence": pl.Float64,  # self-influence; higher is more influential
    "loss": pl.Float64,  # mean MLM loss per predicted token, nats
    "grad_norm": pl.Float64,  # L2 norm of the gradient of the scored parameters
    "error_norm": pl.Float64,  # mean L2 norm of softmax(logits) - onehot (EL2N for MLM)
    "n_tokens": pl.Int32,  # tokens the loss is averaged over
}
#: Self-influence by a further parameter set, curvature, damping or loss; in seq_id order.
VARIANT: Schema = {
    "seq_id": pl.String,
    "variant": pl.String,  # its name in influence.variants
    "influence": pl.Float64,
}
#: One row per sequence of a coreset, ordered by rank.
CORESET: Schema = {
    "seq_id": pl.String,
    "rank": pl.Int32,  # 0-based order of selection
    "stratum": pl.Int32,  # CCI stratum, -1 where the strategy has none
    "weight": pl.Float64,
}
#: Where a sequence lies on the first two principal axes of the pool's embeddings.
EMBEDDING: Schema = {
    "seq_id": pl.String,
    "x": pl.Float64,
    "y": pl.Float64,
}
#: Downstream predictions of one evaluation, one row per test example (or residue,
#: or pair of residues that a metric needs).
PREDICTION: Schema = {
    "example_id": pl.String,
    "seed": pl.Int32,
    "position": pl.Int32,  # residue; i * length + j of a pair; label of a multi-label task; else 0
    "length": pl.Int32,  # residues of the example that the model read
    "target": pl.Float64,
    "prediction": pl.Float64,  # class id, score or value
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it to `path` if the block succeeds.

    The temporary name is hidden and carries host and process id, so that a killed job leaves
    nothing that looks whole and two writers never meet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically with sorted keys, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


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


def read_table(path: str | Path, schema: Schema) -> pl.DataFrame:
    """Read a table and hold it to its schema.

    Raises:
        ValueError: the file is not Parquet, or a column is missing or of the wrong type.
    """
    try:
        frame = pl.read_parquet(path)
    except Exception as error:
        raise ValueError(f"{path}: not a readable Parquet table ({error})") from error
    try:
        return conform(frame, schema)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_tables(paths: Sequence[str | Path], schema: Schema) -> pl.DataFrame:
    """Read and concatenate tables of one schema."""
    frames = [read_table(path, schema) for path in paths]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(schema))


def write_tensors(
    path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors atomically as safetensors; the metadata is stored as one JSON string.

    safetensors writes several strings in no fixed order, which would change the bytes.
    """
    from safetensors.torch import save_file

    packed = {"metadata": json.dumps(dict(metadata), sort_keys=True)}
    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata=packed)


@contextmanager
def open_tensors(path: str | Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Handle (tensors are read on demand) and metadata of a file written by `write_tensors`.

    Raises:
        ValueError: the file is not a readable safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as handle:
            yield handle, json.loads((handle.metadata() or {}).get("metadata", "{}"))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and metadata written by `write_tensors`.

    Raises:
        ValueError: the file is not a readable safetensors file.
    """
    with open_tensors(path) as (handle, metadata):
        return {name: handle.get_tensor(name) for name in handle.keys()}, metadata  # noqa: SIM118
