"""NetSurfP-2.0's .npz archives: protein secondary structure in 3 classes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import numpy as np

from coresift.tasks.readers.record import Record, readable
from coresift.tasks.readers.settings import TaskData

# Columns of `data`, as the data set's page lists them (services.healthtech.dtu.dk, NetSurfP-2.0).
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"  # [0:20]; an unknown residue is all zero
SEQUENCE, ORDERED, EVALUATED = 50, 51, 52
N_COLUMNS = 68
Q8 = slice(57, 65)  # GHIBESTC
Q8_TO_Q3 = "HHHEECCC"


def read(source: TaskData, path: str) -> Iterator[Record]:
    """One protein at a time; disordered residues and those CB513 leaves out get the label '-'.

    Raises:
        TaskDataError: not such an archive.
    """
    with readable(path, "a NetSurfP-2.0 archive"):
        with zipfile.ZipFile(path) as archive:
            # Whole, so that its checksum is compared.
            ids = np.lib.format.read_array(io.BytesIO(archive.read("pdbids.npy")))
        names = [str(name) for name in ids]
        for number, (name, data) in enumerate(zip(names, _rows(path), strict=True), start=1):
            data = data[data[:, SEQUENCE] > 0]
            residues = data[:, : len(AMINO_ACIDS)]
            letters = np.where(
                residues.any(1), np.array(list(AMINO_ACIDS))[residues.argmax(1)], "X"
            )
            classes = np.array(list(Q8_TO_Q3))[data[:, Q8].argmax(1)]
            known = (data[:, ORDERED] > 0) & data[:, Q8].any(1)
            if data[:, EVALUATED].any():  # set in CB513 only
                known &= data[:, EVALUATED] > 0
            label = "".join(np.where(known, classes, "-"))
            yield Record(f"protein {number} ({name})", name, "".join(letters), label)


def _rows(path: str) -> Iterator[np.ndarray]:
    """(residues, 68) of one protein after the other: the training array is 5 GB unpacked."""
    with zipfile.ZipFile(path) as archive, archive.open("data.npy") as handle:
        version = np.lib.format.read_magic(handle)
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, fortran, dtype = header(handle)
        if fortran or len(shape) != 3 or shape[2] != N_COLUMNS:
            raise ValueError(f"data is {shape}, wanted (proteins, residues, 68) in C order")
        size = shape[1] * shape[2] * dtype.itemsize
        for _ in range(shape[0]):
            yield np.frombuffer(handle.read(size), dtype).reshape(shape[1:])
        # The checksum is compared at the end of the member only.
        if handle.read(1):
            raise ValueError(f"more data than {shape}")
