"""One chain of a PDB or mmCIF file: its residues with coordinates, and its full sequence.

The first model is read. Of a residue with alternative locations the one of highest mean occupancy
is taken whole (the first of equals); likewise of two residues that share one place
(microheterogeneity). Hydrogens, waters and ligands are left out.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from Bio.Data import PDBData
from Bio.PDB.MMCIF2Dict import MMCIF2Dict

from coresift.tasks.readers.record import TaskDataError, readable

#: Letter of a residue that may be any.
ANY = "?"
#: Records of atoms.
_ATOMS = ("ATOM", "HETATM")
WATERS = frozenset({"HOH", "DOD", "WAT", "H2O"})
_OTHER_NAMES = {
    **{"ADE": "A", "CYT": "C", "GUA": "G", "URA": "U", "THY": "T"},
    **{"RA": "A", "RC": "C", "RG": "G", "RU": "U"},
}
_LETTERS = {
    "rna": {k.strip(): v for k, v in PDBData.nucleic_letters_3to1_extended.items()} | _OTHER_NAMES,
    "protein": PDBData.protein_letters_3to1_extended,
}
#: How mmCIF writes a value that is not there.
_ABSENT = ("", ".", "?")


@dataclass(frozen=True)
class Residue:
    """One residue with coordinates.

    Attributes:
        letter: of its parent residue, `ANY` if not known.
        label: its number in the full sequence, from 1 (mmCIF's label_seq_id); None if not given.
        number, insertion: the author's number and insertion code; None and '' if not given.
        atoms: (atoms, 3) float64 coordinates of heavy atoms, in angstrom.
    """

    letter: str
    label: int | None
    number: int | None
    insertion: str
    atoms: np.ndarray


@dataclass(frozen=True)
class Chain:
    """Residues in the order of the chain, at least one; `sequence` is the full one, if given."""

    residues: list[Residue]
    sequence: str | None

    @property
    def labelled(self) -> bool:
        """Whether every residue has a number in the full sequence."""
        return all(residue.label is not None for residue in self.residues)


@dataclass(frozen=True)
class _Atom:
    """One row of a file's atom table."""

    place: str
    polymer: bool
    chains: tuple[str, ...]
    residue: str
    label: int | None
    number: int | None
    insertion: str
    name: str
    location: str
    element: str
    occupancy: float
    position: tuple[float, float, float]


#: A full sequence: what residue each number from 1 on is; several where they share one place.
_Names = list[list[str]]


def read_chain(path: Path, chain: str | None, modality: str) -> Chain:
    """Read a chain of a PDB or mmCIF file, plain or gzip.

    Args:
        path: ends in .cif, .pdb or .ent, or one of them and .gz.
        chain: its id: the author's, or mmCIF's label where no chain has it as the author's; None
            for a file with one chain of residues.
        modality: whose letters the residues are.

    Raises:
        TaskDataError: no such chain, or the file is damaged or cut short.
    """
    with readable(path, "a readable structure"):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        # What is read is ASCII; authors' names and titles may be anything.
        text = data.removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace")
        mmcif = path.name.removesuffix(".gz").endswith(".cif")
        return (_mmcif if mmcif else _pdb)(path, text, chain, modality)


def _pick(path: Path, chain: str | None, ids: Mapping[str, object]) -> str:
    if not ids:
        raise TaskDataError(f"{path}: no residues with coordinates")
    if chain is None and len(ids) != 1:
        raise TaskDataError(f"{path}: chains {', '.join(ids)}; the label names none")
    if chain is not None and chain not in ids:
        raise TaskDataError(f"{path}: no chain {chain}; present: {', '.join(ids)}")
    return chain if chain is not None else next(iter(ids))


def _letter(name: str, parents: Mapping[str, str], modality: str) -> str:
    table = _LETTERS[modality]
    return table.get(name) or table.get(parents.get(name, ""), ANY)


def _number(text: str, what: str) -> float:
    # Python's float() takes 1_0, nan and inf too.
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text):
        raise ValueError(f"{what}: {text!r} is not a number")
    return float(text)


def _integer(text: str, what: str) -> int:
    if not re.fullmatch(r"[-+]?\d+", text):
        raise ValueError(f"{what}: {text!r} is not a whole number")
    return int(text)


def _heavy(atom: _Atom) -> bool:
    element = atom.element or atom.name.lstrip("0123456789'\" ")[:1]
    return element.upper() not in ("H", "D")


def _polymer(
    atoms: list[_Atom], full: _Names | None, parents: Mapping[str, str], modality: str
) -> list[_Atom]:
    """Atoms of a chain's residues: ATOM records, and HETATM records of modified residues.

    Such a residue has a number in the full sequence or a name that is in it. Where the sequence is
    not given, more of the chain's ATOM records follow, or it has a number and a known parent.
    """
    names = None if full is None else {name for here in full for name in here}
    last = max((i for i, atom in enumerate(atoms) if atom.polymer), default=-1)

    def modified(i: int, atom: _Atom) -> bool:
        if names is not None:
            return atom.label is not None or atom.residue in names
        numbered = atom.label is not None and _letter(atom.residue, parents, modality) != ANY
        return i < last or numbered

    return [atom for i, atom in enumerate(atoms) if atom.polymer or modified(i, atom)]


def _residues(
    atoms: Iterable[_Atom], parents: Mapping[str, str], modality: str
) -> Iterator[Residue]:
    """Residues of a chain's atoms; of several that share a place, the likeliest."""
    for here in _places(atoms):
        name = _likeliest(here, lambda atom: atom.residue)
        own = [atom for atom in here if atom.residue == name]
        located = [atom for atom in own if atom.location]
        location = _likeliest(located, lambda atom: atom.location) if located else ""
        own = _distinct([atom for atom in own if atom.location in ("", location) and _heavy(atom)])
        several = len({atom.residue for atom in here}) > 1
        if own:
            first = own[0]
            yield Residue(
                ANY if several else _letter(name, parents, modality),
                first.label,
                first.number,
                first.insertion,
                np.array([atom.position for atom in own], dtype=np.float64),
            )


def _distinct(atoms: list[_Atom]) -> list[_Atom]:
    """One atom a name: old files leave the first of two locations blank."""
    kept: dict[str, _Atom] = {}
    for atom in atoms:
        other = kept.setdefault(atom.name, atom)
        if other is not atom and other.location == atom.location:
            raise ValueError(f"{atom.place}: atom {atom.name} is given twice")
        if atom.occupancy > other.occupancy:
            kept[atom.name] = atom
    return list(kept.values())


def _places(atoms: Iterable[_Atom]) -> Iterable[list[_Atom]]:
    """Atoms by residue: by their number; without one by name, until an atom's name comes again."""
    places: dict[tuple[int | None, str], list[_Atom]] = {}
    unnumbered, seen, previous = 0, set[tuple[str, str]](), ""
    for atom in atoms:
        key = (atom.number, atom.insertion) if atom.label is None else (atom.label, "")
        if key[0] is None:
            own = (atom.name, atom.location)
            if atom.residue != previous or own in seen:
                unnumbered, seen, previous = unnumbered + 1, set(), atom.residue
            seen.add(own)
            key = (None, str(unnumbered))
        places.setdefault(key, []).append(atom)
    return places.values()


def _likeliest(atoms: list[_Atom], key: Callable[[_Atom], str]) -> str:
    """The key whose atoms have the highest mean occupancy, the first of equals."""
    groups: dict[str, list[float]] = {}
    for atom in atoms:
        groups.setdefault(key(atom), []).append(atom.occupancy)
    return max(groups, key=lambda name: sum(groups[name]) / len(groups[name]))


def _chain(
    path: Path,
    chain: str,
    atoms: list[_Atom],
    full: _Names | None,
    parents: Mapping[str, str],
    modality: str,
) -> Chain:
    atoms = _polymer(atoms, full, parents, modality)
    residues = list(_residues(atoms, parents, modality))
    if not residues:
        raise TaskDataError(f"{path}: chain {chain} has no residues with coordinates")
    if all(residue.label is not None for residue in residues):
        residues.sort(key=lambda residue: residue.label or 0)
    if full is None:
        return Chain(residues, None)
    for atom in atoms:
        if atom.label is not None:
            names = full[atom.label - 1] if 0 < atom.label <= len(full) else []
            if atom.residue not in names:
                raise TaskDataError(
                    f"{path}: {atom.place}: residue {atom.label} is {atom.residue}, in the full "
                    f"sequence {' or '.join(names) or 'there is none'}"
                )
    letters = [ANY if len(n) > 1 else _letter(n[0], parents, modality) for n in full]
    return Chain(residues, "".join(letters))


# mmCIF ------------------------------------------------------------------------------------------


def _mmcif(path: Path, text: str, chain: str | None, modality: str) -> Chain:
    tables = MMCIF2Dict(io.StringIO(text, newline=None))
    if any(not key.startswith("_") and key != "data_" for key in tables):
        raise ValueError("several data blocks, or values without names")
    rows = _table(tables, "_atom_site.")
    # Every writer of mmCIF ends its last table with a comment.
    ends = text.rstrip().rpartition("\n")[2].startswith("#")
    if list(tables)[-1].startswith("_atom_site.") and not ends:
        raise TaskDataError(f"{path}: ends inside its atom table: no '#' or item after it")
    model = rows.get("pdbx_PDB_model_num", [""])[:1]
    atoms = [
        _mmcif_atom(row, number)
        for number, row in enumerate(_rows(rows), start=1)
        if [row.get("pdbx_PDB_model_num", "")] == model
    ]
    atoms = [atom for atom in atoms if atom.residue not in WATERS]
    # Where a file numbers residues in their sequences at all, a ligand has no such number.
    if any(atom.label is not None for atom in atoms):
        atoms = [atom for atom in atoms if atom.label is not None]
    authors, labels = (_by_chain(atoms, level) for level in (0, 1))
    ids = (authors or labels) if chain is None else {**labels, **authors}
    picked = _pick(path, chain, ids)
    own = ids[picked]
    several = sorted({atom.chains[1] for atom in own})
    if len(several) > 1 and own[0].label is not None:
        raise TaskDataError(
            f"{path}: chain {picked} is several chains of residues: {', '.join(several)}; name one"
        )
    components = _rows(_table(tables, "_chem_comp."))
    parents = {row.get("id", ""): row.get("mon_nstd_parent_comp_id", "") for row in components}
    full = _full_sequence(path, tables, rows, own[0].chains[1])
    return _chain(path, picked, own, full, parents, modality)


def _by_chain(atoms: list[_Atom], level: int) -> dict[str, list[_Atom]]:
    """Atoms of each chain that has residues, by the author's id (level 0) or the label (1)."""
    named: dict[str, list[_Atom]] = {}
    for atom in atoms:
        if atom.chains[level]:
            named.setdefault(atom.chains[level], []).append(atom)
    return {name: own for name, own in named.items() if any(atom.polymer for atom in own)}


def _table(tables: Mapping[str, list[str]], prefix: str) -> dict[str, list[str]]:
    """Columns of one category, of one length."""
    columns = {k.removeprefix(prefix): v for k, v in tables.items() if k.startswith(prefix)}
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"{prefix}: a row is cut short")
    return columns


def _rows(columns: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    for values in zip(*columns.values(), strict=True):
        yield {k: "" if v in _ABSENT else v for k, v in zip(columns, values, strict=True)}


def _mmcif_atom(row: Mapping[str, str], number: int) -> _Atom:
    place = f"atom {row.get('id') or number}"
    record = row.get("group_PDB", "ATOM")
    if record not in _ATOMS:
        raise ValueError(f"{place}: {record} is not the record of an atom")
    label, author = row.get("label_seq_id"), row.get("auth_seq_id")
    found = _integer(label, place) if label else None
    return _Atom(
        place,
        record == "ATOM",
        (row.get("auth_asym_id", ""), row.get("label_asym_id", "")),
        row.get("label_comp_id") or row["auth_comp_id"],
        found,
        _integer(author, place) if author else found,
        row.get("pdbx_PDB_ins_code", ""),
        row.get("label_atom_id") or row["auth_atom_id"],
        row.get("label_alt_id", ""),
        row.get("type_symbol", ""),
        _number(row.get("occupancy") or "1", place),
        (
            _number(row["Cartn_x"], place),
            _number(row["Cartn_y"], place),
            _number(row["Cartn_z"], place),
        ),
    )


def _full_sequence(
    path: Path, tables: Mapping[str, list[str]], rows: Mapping[str, list[str]], chain: str
) -> _Names | None:
    """Full sequence of a chain, by its label: of its entity, or of the table of its residues."""
    entities = {
        entity
        for name, entity in zip(
            rows.get("label_asym_id", []), rows.get("label_entity_id", []), strict=False
        )
        if name == chain
    }
    for prefix, key, wanted, number in (
        ("_entity_poly_seq.", "entity_id", entities, "num"),
        ("_pdbx_poly_seq_scheme.", "asym_id", {chain}, "seq_id"),
    ):
        found: dict[int, list[str]] = {}
        for row in _rows(_table(tables, prefix)):
            if row[key] in wanted:
                found.setdefault(_integer(row[number], prefix), []).append(row["mon_id"])
        if found and sorted(found) != list(range(1, len(found) + 1)):
            raise TaskDataError(f"{path}: {prefix}: residues are not numbered from 1 on")
        if found:
            return [found[i] for i in sorted(found)]
    return None


# PDB --------------------------------------------------------------------------------------------

_ENDS = ("END", "ENDMDL", "MASTER", "CONECT")
#: The coordinates of an atom's line.
_COORDINATES = re.compile(r".{30}( *[-+]?\d+\.\d*){3}")


def _pdb(path: Path, text: str, chain: str | None, modality: str) -> Chain:
    chains: dict[str, list[_Atom]] = {}
    sequences: dict[str, list[str]] = {}
    lengths: dict[str, int] = {}
    parents: dict[str, str] = {}
    left: set[str] = set()
    whole, first_model, previous = True, True, ""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        record, place = line[:6].strip(), f"line {number}"
        name = line[21:22].strip()
        if record == "SEQRES":
            name = line[11:12].strip()
            sequences.setdefault(name, []).extend(line[19:70].split())
            lengths[name] = _integer(line[13:17].strip(), place)
        elif record == "MODRES":
            parents[line[12:15].strip()] = line[24:27].strip()
        elif record == "TER":
            left.add(name or previous)
        elif record in _ENDS:
            whole = True
            first_model = first_model and record != "ENDMDL"
        elif record in _ATOMS:
            whole, previous = False, name
            # After its TER a chain has ligands and waters only.
            if first_model and (record == "ATOM" or name not in left):
                chains.setdefault(name, []).append(_pdb_atom(line.rstrip("\n"), place))
        elif record not in ("ANISOU", "REMARK") and _COORDINATES.match(line):
            raise TaskDataError(f"{path}: {place}: {record} is not the record of an atom")
    if not whole:
        raise TaskDataError(f"{path}: ends inside its atoms: no END record after them")
    for name, residues in sequences.items():
        if len(residues) != lengths[name]:
            raise TaskDataError(
                f"{path}: SEQRES of chain {name}: {len(residues)} residues, it says {lengths[name]}"
            )
    chains = {
        name: [atom for atom in own if atom.residue not in WATERS]
        for name, own in chains.items()
        if any(atom.polymer for atom in own)
    }
    picked = _pick(path, chain, chains)
    full = [[name] for name in sequences[picked]] if picked in sequences else None
    return _chain(path, picked, chains[picked], full, parents, modality)


def _pdb_atom(line: str, place: str) -> _Atom:
    if not 54 <= len(line) <= 80:
        raise ValueError(f"{place}: {len(line)} columns, an atom has 54 to 80")
    author, element = line[22:26].strip(), line[76:78].strip()
    return _Atom(
        place,
        line.startswith("ATOM"),
        (line[21:22].strip(),),
        line[17:20].strip(),
        None,
        _integer(author, place) if author else None,
        line[26:27].strip(),
        line[12:16].strip(),
        line[16:17].strip(),
        element if element.isalpha() else "",  # old files have other things in these columns
        _number(line[54:60].strip() or "1", place),
        (
            _number(line[30:38].strip(), place),
            _number(line[38:46].strip(), place),
            _number(line[46:54].strip(), place),
        ),
    )
