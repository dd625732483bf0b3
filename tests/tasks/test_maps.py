"""Distances and contacts from PDB and mmCIF files made here, against brute force."""

import gzip
from itertools import pairwise

import numpy as np
import pytest
from Bio.PDB import MMCIFIO, PDBIO
from Bio.PDB.StructureBuilder import StructureBuilder
from coresift.tasks.data import TaskDataError, read_task
from coresift.tasks.maps import structure_distances
from coresift.tasks.settings import Task
from coresift.tasks.targets import make_targets

RNG = np.random.default_rng(0)


def build(residues, chains="A"):
    """A structure of `residues` (number, name, atoms) in each chain, a hydrogen and a water."""
    builder = StructureBuilder()
    builder.init_structure("x")
    builder.init_model(0)
    for chain in chains:
        builder.init_chain(chain)
        builder.init_seg(" ")
        for number, name, atoms in residues:
            builder.init_residue(name, " ", number, " ")
            for i, coord in enumerate(atoms):
                builder.init_atom(f"C{i}", coord, 0, 1, " ", f"C{i}", element="C")
            builder.init_atom("H1", np.zeros(3), 0, 1, " ", "H1", element="H")
        builder.init_residue("HOH", "W", 900, " ")
        builder.init_atom("O", np.zeros(3), 0, 1, " ", "O", element="O")
    return builder.get_structure()


def save(structure, path):
    io = MMCIFIO() if ".cif" in path.name else PDBIO()
    io.set_structure(structure)
    plain = path.with_name(path.name.removesuffix(".gz"))
    io.save(str(plain))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def residues(names):
    rows = []
    for number, name in enumerate(names, start=1):
        atoms = RNG.normal(size=(int(RNG.integers(2, 5)), 3)) * 2 + [5.0 * number, 0, 0]
        rows.append((number, name, atoms.round(3)))
    return rows


def brute_force(rows):
    out = np.zeros((len(rows), len(rows)))
    for i, (_, _, a) in enumerate(rows):
        for j, (_, _, b) in enumerate(rows):
            out[i, j] = min(np.linalg.norm(x - y) for x in a for y in b)
    return out


@pytest.mark.parametrize("name", ["x.pdb", "x.cif", "x.cif.gz"])
def test_distances_are_the_least_of_heavy_atoms(tmp_path, name):
    rows = residues(["G", "G", "A", "C", "U"])
    path = save(build(rows), tmp_path / name)
    found = structure_distances(path, None, "GGACU", "rna")
    np.testing.assert_allclose(found, brute_force(rows), atol=1e-3)


def test_residues_without_coordinates_are_unknown(tmp_path):
    rows = residues(["G", "A", "C", "U", "U"])
    path = save(build([rows[0], rows[1], rows[3], rows[4]], "AB"), tmp_path / "x.cif")
    found = structure_distances(path, "B", "GACUU", "rna")
    expected = brute_force(rows)
    expected[2, :] = expected[:, 2] = -1
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_proteins_by_three_letters(tmp_path):
    rows = residues(["MET", "LYS", "VAL"])
    path = save(build(rows), tmp_path / "x.pdb")
    assert structure_distances(path, None, "MKV", "protein").shape == (3, 3)


def test_contacts_of_a_table_of_structures(tmp_path):
    tables = {}
    letters = "GACUG"
    rows = residues(list(letters))
    for split, extra in zip(("train", "valid", "test"), "ACU", strict=True):
        save(build([*rows, (6, extra, rows[-1][2] + 20)]), tmp_path / f"{split}.cif")
        table = tmp_path / f"{split}.csv"
        table.write_text(f"seq,pdb,chain\n{letters}{extra},{split},A\n")
        tables[split] = str(table)
    data = {**tables, "label": "{pdb}.cif:{chain}"}
    task = Task(preset="contact_map", data=data)
    contacts = make_targets(task, read_task(task, "rna").frame, "rna").rows[0]
    assert (contacts[:5, :5] == (brute_force(rows) < 8)).all()
    assert contacts[0, 5] == 0
    (tmp_path / "test.csv").write_text("seq,pdb,chain\nGACUGU,test,B\n")
    with pytest.raises(TaskDataError, match=r"test.csv:2: .*test.cif: no chain B; present: A"):
        make_targets(task, read_task(task, "rna").frame, "rna")


def test_a_structure_of_another_sequence_is_rejected(tmp_path):
    path = save(build(residues(["G", "A", "C"])), tmp_path / "x.cif")
    with pytest.raises(ValueError, match="GAC are not part of the sequence"):
        structure_distances(path, None, "GGUUCC", "rna")


def test_map_is_symmetric(tmp_path):
    path = save(build(residues(["G", "A", "C", "U"])), tmp_path / "x.cif")
    found = structure_distances(path, None, "GACU", "rna")
    assert (found == found.T).all()
    assert all(b > a for a, b in pairwise(found[0]))  # residues lie along a line
