"""Maps over the residues of one sequence, made when asked for: base pairs, contacts, distances."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np

from coresift.tasks.packed import KeptMaps
from coresift.tasks.placement import NOWHERE, place_residues
from coresift.tasks.readers.chains import read_chain
from coresift.tasks.readers.record import FILE, TaskDataError, readable
from coresift.tasks.sample import MASKED
from coresift.tasks.settings import Pairwise
from coresift.tasks.structure import (
    COORDINATES,
    PAIRS,
    PARTNERS,
    coordinate_distances,
    pair_map,
    pair_matrix,
    partners_of,
)

#: Side of the part of an .npy map that is checked at once.
TILE = 512
#: Relative, and in angstrom, by which a distance and its mirror image may differ: half precision.
ROUNDING = 1e-3
#: What a task may predict by kind of label.
_TARGETS = {
    "dot-bracket": ("structure", "contact"),
    PARTNERS: ("structure", "contact"),
    PAIRS: ("structure", "contact"),
    COORDINATES: ("contact", "distance"),
    "file": ("structure", "contact", "distance"),
}


class Maps:
    """(L, L) float32 maps of labels, -1 where unknown: memory is `maps_mb`, not the data set's.

    A label is dot-bracket, a list of partners or of pairs, coordinates, or a file (`FILE`). What is
    read of files or computed of pairs and coordinates is kept, packed (`KeptMaps`).
    Distances of structures are the least between heavy atoms of two residues, in angstrom; a
    contact is a distance below `contact_angstrom`. Residues without coordinates are unknown.

    Attributes:
        homeless: residues with coordinates that have no place in the sequence or none that can be
            told (`place_residues`), by number of the example; of the structures read so far.
    """

    def __init__(
        self, labels: list[str], sequences: list[str], modality: str, options: Pairwise
    ) -> None:
        self._labels = labels
        self._sequences = sequences
        self._modality = modality
        self._options = options
        self.homeless: dict[int, int] = {}
        # A structure takes up to seconds to read and every epoch asks again.
        self._kept = KeptMaps(options.maps_mb << 20)

    def __len__(self) -> int:
        return len(self._labels)

    def check(self, index: int) -> None:
        """Hold a label to its sequence and to what the task predicts; memory is a tile of a file.

        Raises:
            ValueError: it cannot be such a map over the sequence.
        """
        label, size, target = self._labels[index], len(self._sequences[index]), self._options.target
        word = label.partition(" ")[0]
        file = FILE.fullmatch(label)
        # Named by its key in `data`; dot-bracket, which has none, by itself.
        kind = "file" if file else word if word in _TARGETS else "dot-bracket"
        if target not in _TARGETS[kind]:
            raise ValueError(f"{kind} is no label of pairwise.target: {target}")
        if kind in ("dot-bracket", PARTNERS):
            found: tuple[int, ...] = (len(partners_of(label)),) * 2
        elif label.endswith(".npy"):
            found = _stored(label).shape
        else:
            found = self[index].shape
        if found != (size, size):
            raise ValueError(f"a map of {found} for a sequence of {size} residues")
        if file and label.endswith(".npy"):
            _check_values(label, _stored(label), target)

    def __getitem__(self, index: int) -> np.ndarray:
        label = self._labels[index]
        word = label.partition(" ")[0]
        file = None if word in (PAIRS, COORDINATES) else FILE.fullmatch(label)
        make: Callable[[], np.ndarray]
        if word == PAIRS:
            make = partial(pair_map, label, len(self._sequences[index]), MASKED)
        elif word == COORDINATES:
            make = partial(self._of_coordinates, label)
        elif file is None:
            return pair_matrix(partners_of(label))  # as fast as a kept one
        elif label.endswith(".npy"):
            make = partial(_of_npy, label)
        else:
            make = partial(self._of_structure, index, Path(file.group(1)), file.group(2))
        return self._kept.get(index, make)

    def _of_coordinates(self, label: str) -> np.ndarray:
        return self._targets(coordinate_distances(label, MASKED))

    def _of_structure(self, index: int, path: Path, chain: str | None) -> np.ndarray:
        sequence = self._sequences[index]
        places, atoms = _placed(path, chain, sequence, self._modality)
        self.homeless[index] = int((places == NOWHERE).sum())
        return self._targets(_distances(places, atoms, len(sequence)))

    def _targets(self, distances: np.ndarray) -> np.ndarray:
        """Distances, or contacts where the task is of contacts."""
        if self._options.target == "distance":
            return distances
        contacts = (distances < self._options.contact_angstrom).astype(np.float32)
        return np.where(distances == MASKED, np.float32(MASKED), contacts)


def _stored(path: str) -> np.ndarray:
    """An .npy file's map of numbers, mapped into memory.

    Raises:
        TaskDataError: it is not one, or not whole.
    """
    with readable(path, "a readable NumPy map"):
        values = np.lib.format.open_memmap(path, mode="r")
        if values.dtype.kind not in "biuf":
            raise ValueError(f"values of type {values.dtype}")
        size = Path(path).stat().st_size - values.offset
        if size != values.nbytes:
            raise ValueError(f"{size} bytes of values for a shape of {values.shape}")
    return values


def _of_npy(path: str) -> np.ndarray:
    return _known(_stored(path))


def _known(values: np.ndarray) -> np.ndarray:
    """A map, or a part of one, of an .npy file as float32, -1 where unknown."""
    with np.errstate(over="ignore"):  # what is too large is infinite, which no map may hold
        found = values.astype(np.float32)
    found[np.isnan(found)] = MASKED
    return found


def _check_values(path: str, values: np.ndarray, target: str) -> None:
    """Hold a stored square map to what its values mean, a tile and its mirror image at a time.

    Distances may differ from their mirror image by `ROUNDING`: a distance of two residues is one
    number, whichever atoms it is measured between, but its two entries may be rounded apart.

    Raises:
        TaskDataError: a value cannot be, or the map is not symmetric; with the first such entry.
    """
    distance, tiles = target == "distance", range(0, len(values), TILE)
    for top, left in combinations_with_replacement(tiles, 2):
        rows, columns = slice(top, top + TILE), slice(left, left + TILE)
        upper, lower = _known(values[rows, columns]), _known(values[columns, rows]).T
        for part, mirrored in ((upper, False), (lower, True)):
            real = (part >= 0) & np.isfinite(part) if distance else (part == 0) | (part == 1)
            wrong = np.argwhere(~real & (part != MASKED))
            if len(wrong):
                i, j = wrong[0] + (top, left)
                cause = "not a distance" if distance else "not 0 or 1"
                place = f"[{j}, {i}]" if mirrored else f"[{i}, {j}]"
                raise TaskDataError(
                    f"{path}: {place} is {part[tuple(wrong[0])]:g}, {cause}; -1 or NaN = unknown"
                )
        if distance:
            equal = np.isclose(upper, lower, rtol=ROUNDING, atol=ROUNDING)
            equal &= (upper == MASKED) == (lower == MASKED)
        else:
            equal = upper == lower
        apart = np.argwhere(~equal)
        if len(apart):
            i, j = apart[0] + (top, left)
            own, other = (part[tuple(apart[0])] for part in (upper, lower))
            raise TaskDataError(
                f"{path}: not symmetric: [{i}, {j}] is {own:g}, [{j}, {i}] is {other:g} "
                "(-1 = unknown)"
            )


def structure_distances(path: Path, chain: str | None, sequence: str, modality: str) -> np.ndarray:
    """(L, L) float32 least heavy-atom distances in angstrom.

    -1 where a residue is not resolved, or its place in the sequence cannot be told.

    Args:
        path: PDB or mmCIF file, plain or gzip.
        chain: its id; None for a file of one chain.
        sequence: the normalised full sequence, in which the residues are placed.
        modality: whose letters the residues are.

    Raises:
        TaskDataError: the file cannot be read, there is no such chain, or its residues are not
            part of the sequence.
    """
    return _distances(*_placed(path, chain, sequence, modality), len(sequence))


def _placed(
    path: Path, chain: str | None, sequence: str, modality: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(residues,) places of a chain's residues in the sequence, and each one's heavy atoms."""
    found = read_chain(path, chain, modality)
    places = place_residues(found, sequence, modality)
    if places is None:
        letters = "".join(residue.letter for residue in found.residues)
        raise TaskDataError(f"{path}: its residues {letters[:40]} are not part of the sequence")
    return places, [residue.atoms for residue in found.residues]


def _distances(places: np.ndarray, residues: list[np.ndarray], size: int) -> np.ndarray:
    distances = np.full((size, size), np.float32(MASKED))
    placed = [(p, own) for p, own in zip(places, residues, strict=True) if p != NOWHERE]
    if not placed:
        return distances
    known = np.array([place for place, _ in placed])
    owners = np.repeat(known, [len(own) for _, own in placed])
    atoms = np.concatenate([own for _, own in placed])
    for place, own in placed:
        between = np.linalg.norm(own[:, None] - atoms[None], axis=2).min(0)
        nearest = np.full(size, np.inf)
        np.minimum.at(nearest, owners, between)
        distances[place, known] = nearest[known]
    return distances
