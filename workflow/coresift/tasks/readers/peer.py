"""PEER's LMDB databases (torchdrug, in TAPE's format): a pickled record under each number.

A pickle can run code when it is read; this reader takes plain values and numpy arrays only.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coresift.tasks.readers.lmdb_file import Database
from coresift.tasks.readers.record import Record, TaskDataError, readable
from coresift.tasks.readers.settings import TaskData


class _Dtype:
    """A pickled dtype of numbers or text. Numpy's own would take any flags, and crash on some."""

    def __init__(self, name: str, *_: Any) -> None:
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biufSU":
            raise pickle.UnpicklingError(f"an array of {name!r} is not plain data")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, order, *_ = state
        if version not in (3, 4):
            raise pickle.UnpicklingError(f"version {version} of a dtype")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """A pickled array."""

    def __init__(self, *_: Any) -> None:
        self._values = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, fortran, data = state
        if version != 1:
            raise pickle.UnpicklingError(f"version {version} of an array")
        self._values = _from_buffer(data, dtype, shape, "F" if fortran else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._values


def _from_buffer(data: bytes, dtype: _Dtype, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    (value,) = np.frombuffer(data, dtype.dtype)
    return value


#: What a record may name beside plain values: how numpy pickles arrays and numbers.
_ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): str.encode,  # bytes under protocol 2
}


# The one in Python: the one in C sets memory aside for whatever index a damaged record names.
class _Plain(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module.replace("numpy.core", "numpy._core"), name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not plain data")
        return found


def _value(stored: bytes) -> Any:
    return _Plain(io.BytesIO(stored)).load()


def read(source: TaskData, path: str) -> Iterator[Record]:
    """One record at a time; a label of several numbers is joined by spaces.

    Raises:
        TaskDataError: not such a database, or a record without the configured fields.
    """
    fields = [source.sequence, source.label]
    fields += [source.sequence_b] if source.sequence_b else []
    with readable(path, "a PEER database"):
        database = Database(Path(path))
        if b"num_examples" not in database:
            raise ValueError("no num_examples")
        count = _value(database[b"num_examples"])
        held = sum(key.isdigit() for key in database)
        if not isinstance(count, int | np.integer) or count != held:
            raise ValueError(f"{held} records, num_examples is {count!r}")
    for number in range(int(count)):
        with readable(f"{path}: record {number}", "a PEER database"):
            record = _value(database[str(number).encode()])
            missing = [name for name in fields if name not in record]
            if missing:
                raise TaskDataError(
                    f"{path}: record {number}: fields missing: {missing}; present: {sorted(record)}"
                )
            sequences = [record[name] for name in (source.sequence, source.sequence_b) if name]
            labels = np.ravel(record[source.label]).tolist()
            if not all(isinstance(sequence, str) for sequence in sequences):
                raise ValueError("a sequence is not text")
            if not labels or not all(isinstance(v, str | int | float) for v in labels):
                raise ValueError("the label is not of numbers or text")
        yield Record(
            f"record {number}",
            str(number),
            sequences[0],
            " ".join(map(str, labels)),
            sequences[1] if source.sequence_b else "",
        )
