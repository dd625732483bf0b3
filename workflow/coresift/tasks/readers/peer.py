"""PEER's LMDB databases (torchdrug, in TAPE's format): a pickled record under each number.

A pickle can run code when it is read; this reader takes plain values and numpy arrays only.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from coresift.tasks.readers.record import Record, TaskDataError
from coresift.tasks.readers.settings import TaskData

#: What a record may name beside plain values: how numpy pickles arrays and numbers.
_ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not plain data")
        return super().find_class(module, name)


def _value(stored: bytes | None) -> Any:
    if stored is None:
        raise pickle.UnpicklingError("absent")
    return _Plain(io.BytesIO(stored)).load()


def read(source: TaskData, path: str) -> Iterator[Record]:
    """One record at a time; a label of several numbers is joined by spaces.

    Raises:
        TaskDataError: not such a database, or a record without the configured fields.
    """
    fields = [source.sequence, source.label]
    fields += [source.sequence_b] if source.sequence_b else []
    number = -1
    try:
        folder = Path(path).is_dir()
        with (
            lmdb.open(path, readonly=True, lock=False, subdir=folder) as database,
            database.begin() as transaction,
        ):
            for number in range(int(_value(transaction.get(b"num_examples")))):
                record = _value(transaction.get(str(number).encode()))
                missing = [name for name in fields if name not in record]
                if missing:
                    raise TaskDataError(
                        f"{path}: record {number}: fields missing: {missing}; "
                        f"present: {sorted(record)}"
                    )
                yield Record(
                    f"record {number}",
                    str(number),
                    str(record[source.sequence]),
                    " ".join(map(str, np.ravel(record[source.label]).tolist())),
                    str(record[source.sequence_b]) if source.sequence_b else "",
                )
    except TaskDataError:
        raise
    except (lmdb.Error, pickle.UnpicklingError, TypeError, ValueError, EOFError) as error:
        place = "" if number < 0 else f"record {number}: "
        raise TaskDataError(f"{path}: {place}not a PEER database ({error})") from error
