"""Maps over the residues of one sequence, made when asked for: base pairs, contacts, distances."""

from __future__ import annotations

import gzip
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from Bio import Align
from Bio.PDB import MMCIFParser, PDBParser
from Bio.PDB.Chain import Chain
from Bio.SeqUtils import seq1

from coresift.corpus.normalise import normalise
from coresift.tasks.readers.record import FILE
from coresift.tasks.sample import MASKED
from coresift.tasks.settings import Pairwise
from coresift.tasks.structure import pair_matrix, partners_of

#: Maps of PDB and mmCIF files kept in memory.
KEPT = 512


class Maps:
    """(L, L) float32 maps of labels, -1 where unknown: memory is a few maps, not the data set's.

    A label is dot-bracket, a list of partners, or a file (`FILE`). Distances of structures are
    the least between heavy atoms of two residues, in angstrom; a contact is a distance below
    `contact_angstrom`. Residues without coordinates are unknown.
    """

    def __init__(
        self, labels: list[str], sequences: list[str], modality: str, options: Pairwise
    ) -> None:
        self._labels = labels
        self._sequences = sequences
        self._modality = modality
        self._options = options
        # Parsing takes up to seconds and every epoch asks again.
        self._structure = lru_cache(maxsize=KEPT)(self._of_structure)

    def __len__(self) -> int:
        return len(self._labels)

    def check(self, index: int) -> None:
        """Hold a label to its sequence; of an .npy file only the header is read.

        Raises:
            ValueError, OSError: it cannot be a map over the sequence.
        """
        label, size = self._labels[index], len(self._sequences[index])
        if FILE.fullmatch(label) is None:
            found: tuple[int, ...] = (len(partners_of(label)),) * 2
        elif label.endswith(".npy"):
            found = np.load(label, mmap_mode="r").shape
        else:
            found = self[index].shape
        if found != (size, size):
            raise ValueError(f"a map of {found} for a sequence of {size} residues")

    def __getitem__(self, index: int) -> np.ndarray:
        label = self._labels[index]
        file = FILE.fullmatch(label)
        if file is None:
            return pair_matrix(partners_of(label))
        if label.endswith(".npy"):
            return np.nan_to_num(np.load(label).astype(np.float32), nan=MASKED)
        return self._structure(index, Path(file.group(1)), file.group(2))

    def _of_structure(self, index: int, path: Path, chain: str | None) -> np.ndarray:
        distances = structure_distances(path, chain, self._sequences[index], self._modality)
        if self._options.target == "distance":
            return distances
        contacts = (distances < self._options.contact_angstrom).astype(np.float32)
        return np.where(distances == MASKED, np.float32(MASKED), contacts)


def structure_distances(path: Path, chain: str | None, sequence: str, modality: str) -> np.ndarray:
    """(L, L) float32 least heavy-atom distances in angstrom, -1 where a residue is not resolved.

    Args:
        path: PDB or mmCIF file, plain or gzip.
        chain: its id; None for a file of one chain.
        sequence: the normalised full sequence; the resolved residues are aligned to it.
        modality: whose letters the residues are.

    Raises:
        ValueError: no such chain, or its residues are not part of the sequence.
    """
    residues = _residues(path, chain)
    observed = normalise("".join(letter for letter, _ in residues), modality)
    places = _place(observed, sequence)
    if places is None:
        raise ValueError(f"{path}: its residues {observed[:40]} are not part of the sequence")
    owners = np.repeat(places, [len(atoms) for _, atoms in residues])
    atoms = np.concatenate([atoms for _, atoms in residues])
    distances = np.full((len(sequence), len(sequence)), np.float32(MASKED))
    for place, (_, own) in zip(places, residues, strict=True):
        between = np.linalg.norm(own[:, None] - atoms[None], axis=2).min(0)
        nearest = np.full(len(sequence), np.inf)
        np.minimum.at(nearest, owners, between)
        distances[place, places] = nearest[places]
    return distances


def _residues(path: Path, chain: str | None) -> list[tuple[str, np.ndarray]]:
    """One-letter code and (atoms, 3) heavy-atom coordinates of a chain's residues."""
    name = path.name.removesuffix(".gz")
    parser = MMCIFParser(QUIET=True) if name.endswith(".cif") else PDBParser(QUIET=True)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as handle, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = next(iter(parser.get_structure(name, handle)))
        except (StopIteration, KeyError, ValueError) as error:
            raise ValueError(f"{path}: not a readable structure ({error})") from error
    chains: dict[str, Chain] = {c.id: c for c in model}
    if chain is None and len(chains) != 1:
        raise ValueError(f"{path}: chains {', '.join(chains)}; the label names none")
    if chain is not None and chain not in chains:
        raise ValueError(f"{path}: no chain {chain}; present: {', '.join(chains)}")
    rows = []
    for residue in chains[chain] if chain is not None else next(iter(chains.values())):
        atoms = [atom.coord for atom in residue if atom.element not in ("H", "D")]
        if residue.id[0] == " " and atoms:  # no water, no ligand
            rows.append((_letter(residue.resname.strip()), np.array(atoms, dtype=np.float64)))
    if not rows:
        raise ValueError(f"{path}: the chain has no residues with coordinates")
    return rows


def _letter(name: str) -> str:
    """One-letter code: A, DA and ADE are A; amino acids by their three letters."""
    if len(name) == 3:
        return str(seq1(name, undef_code=name[0] if name in ("ADE", "CYT", "GUA", "URA") else "X"))
    return name[-1]


def _place(observed: str, sequence: str) -> np.ndarray | None:
    """Position of each observed residue in the sequence; None if they are not part of it."""
    if observed == sequence:
        return np.arange(len(sequence))
    # No mismatch and no gap in the sequence: observed residues may only be missing.
    aligner = Align.PairwiseAligner(
        mode="global",
        match_score=1,
        mismatch_score=-1000,
        open_insertion_score=-0.5,
        extend_insertion_score=0,
        open_deletion_score=-1000,
        extend_deletion_score=-1000,
    )
    best = aligner.align(observed, sequence)[0]
    places = np.full(len(observed), -1)
    for (a, b), (c, _) in zip(*best.aligned, strict=True):
        places[a:b] = np.arange(c, c + b - a)
    fits = (places >= 0).all() and all(
        sequence[p] == o for p, o in zip(places, observed, strict=True)
    )
    return places if fits else None
