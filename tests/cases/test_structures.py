"""Structures: a residue stands at its own place, or at none."""

import gzip
from dataclasses import dataclass, replace

import numpy as np
import pytest
from coresift.tasks.data import TaskDataError, read_task
from coresift.tasks.maps import structure_distances
from coresift.tasks.placement import place_residues
from coresift.tasks.readers.chains import Chain, Residue
from coresift.tasks.settings import Task
from coresift.tasks.targets import make_targets
from hypothesis import given
from hypothesis import strategies as st

LETTERS = {"A": "ALA", "G": "GLY", "S": "SER", "K": "LYS", "V": "VAL", "T": "THR", "M": "MET"}


@dataclass(frozen=True)
class Atom:
    """One atom; `place` is the residue's position in the full sequence, from 0."""

    place: int
    name: str  # of the residue
    x: float
    number: str  # the author's, insertion code at its end
    record: str = "ATOM"
    label: str = ""
    atom: str = "C1'"
    alt: str = ""
    occupancy: float = 1.0
    element: str = "C"
    chain: str = "A"
    entity: str = "1"
    author: str = ""
    model: int = 1

    @property
    def split_number(self):
        number = self.number.rstrip("ABCDEFGH")
        return number, self.number[len(number) :]


def write(path, data):
    path.unlink(missing_ok=True)  # some file systems flush a file that is written over
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def chain_of(sequence, missing=(), first=1, protein=False, gap=0.0):
    """Atoms of a chain: irregular places along a line, so that no shift looks right."""
    x = np.random.default_rng(len(sequence)).uniform(3, 9, len(sequence)).cumsum().round(3) + gap
    atoms = [
        Atom(i, LETTERS[c] if protein else c, float(x[i]), str(i + first), label=str(i + 1))
        for i, c in enumerate(sequence)
        if i not in missing
    ]
    return atoms, x


def mmcif(path, atoms, entities=None, numbers=True):
    """An mmCIF file of its own: `entities` are full sequences by entity, as lists of names."""
    lines = ["data_x", "#"]
    if entities:
        lines += ["loop_", *(f"_entity_poly_seq.{k}" for k in ("entity_id", "num", "mon_id"))]
        for entity, names in entities.items():
            for i, here in enumerate(names, start=1):
                lines += [f"{entity} {i} {name}" for name in here.split("/")]
        lines.append("#")
    columns = (
        *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id"),
        *("label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x"),
        *("Cartn_y", "Cartn_z", "occupancy", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num"),
    )
    lines += ["loop_", *(f"_atom_site.{column}" for column in columns)]
    for i, a in enumerate(atoms, start=1):
        number, code = a.split_number
        values = [a.record, i, a.element, f'"{a.atom}"', a.alt or ".", a.name, a.chain, a.entity]
        values += [(a.label if numbers else "") or ".", code or "?", f"{a.x:.3f}", 0, 0]
        values += [a.occupancy, number if numbers else "?", a.author or a.chain, a.model]
        lines.append(" ".join(map(str, values)))
    return write(path, "\n".join([*lines, "#", ""]))


def pdb(path, atoms, seqres=None, numbers=True, end="END\n"):
    lines = []
    for row, start in enumerate(range(0, len(seqres or []), 13), start=1):
        names = "".join(f" {name:>3}" for name in seqres[start : start + 13])
        lines.append(f"SEQRES{row:4d} A{len(seqres):5d} {names}")
    previous = 1
    for i, a in enumerate(atoms, start=1):
        number, code = a.split_number
        if a.model != previous:
            lines += ["ENDMDL", f"MODEL     {a.model:4d}"]
            previous = a.model
        lines.append(
            f"{a.record:6s}{i:5d} {a.atom:^4s}{a.alt or ' '}{a.name:>3s} {a.chain}"
            f"{number if numbers else '':>4s}{code or ' '}   {a.x:8.3f}{0:8.3f}{0:8.3f}"
            f"{a.occupancy:6.2f}{0:6.2f}          {a.element:>2s}"
        )
    return write(path, "\n".join([*lines, "TER", ""]) + end)


def expected(x, missing=()):
    out = np.abs(np.subtract.outer(x, x))
    out[list(missing), :] = out[:, list(missing)] = -1
    return out


def check(found, x, missing=(), all_placed=True):
    """Nothing is placed wrong; `all_placed`: nothing that is resolved is left out."""
    truth = expected(x, missing)
    known = found != -1
    assert not known[list(missing)].any()
    np.testing.assert_allclose(found[known], truth[known], atol=2e-3)
    if all_placed:
        assert (known == (truth != -1)).all()
    return float(known.diagonal().sum())


FORMS = {
    "mmCIF, label_seq_id and sequence": lambda p, atoms, s: mmcif(p / "x.cif", atoms, {"1": s}),
    "mmCIF, label_seq_id": lambda p, atoms, s: mmcif(p / "x.cif", atoms),
    "PDB, numbers and SEQRES": lambda p, atoms, s: pdb(p / "x.pdb", atoms, list(s)),
    "PDB, numbers": lambda p, atoms, s: pdb(p / "x.pdb", atoms),
    "mmCIF, no numbers": lambda p, atoms, s: mmcif(p / "x.cif", atoms, numbers=False),
    "PDB, no numbers": lambda p, atoms, s: pdb(p / "x.pdb", atoms, numbers=False),
    "PDB, residues renumbered from 1": lambda p, atoms, s: pdb(
        p / "x.pdb", [replace(a, number=str(i)) for i, a in enumerate(atoms, start=1)]
    ),
    "mmCIF, residues renumbered from 1": lambda p, atoms, s: mmcif(
        p / "x.cif",
        [replace(a, number=str(i), label=str(i)) for i, a in enumerate(atoms, start=1)],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_300_rnas_with_an_unresolved_stretch(tmp_path, form):
    rng = np.random.default_rng(0)
    placed = resolved = 0
    for _ in range(300):
        sequence = "".join(rng.choice(list("ACGU"), int(rng.integers(20, 80))))
        width = int(rng.integers(1, 7))
        start = int(rng.integers(0, len(sequence) - width + 1))
        missing = range(start, start + width)
        atoms, x = chain_of(sequence, missing)
        found = structure_distances(FORMS[form](tmp_path, atoms, sequence), None, sequence, "rna")
        exact = "and" in form
        placed += check(found, x, missing, all_placed=exact)
        resolved += len(atoms)
    assert placed / resolved > (0.999 if exact else 0.9)


@given(
    st.text("ACGU", min_size=1, max_size=12).flatmap(
        lambda s: st.tuples(st.just(s), st.sets(st.integers(0, len(s) - 1), max_size=len(s) - 1))
    )
)
def test_by_order_only_what_every_way_agrees_on(case):
    """Against every way to choose positions, one by one."""
    sequence, missing = case
    letters = [c for i, c in enumerate(sequence) if i not in missing]
    residues = [Residue(c, None, None, "", np.zeros((1, 3))) for c in letters]
    found = place_residues(Chain(residues, None), sequence, "rna")

    def ways(i, start):
        if i == len(letters):
            yield ()
        for p in range(start, len(sequence)):
            if i < len(letters) and sequence[p] == letters[i]:
                yield from ((p, *rest) for rest in ways(i + 1, p + 1))

    columns = [set(column) for column in zip(*ways(0, 0), strict=True)]
    assert found.tolist() == [c.pop() if len(c) == 1 else -1 for c in columns]


@pytest.mark.parametrize("kind", ["cif", "pdb"])
@pytest.mark.parametrize(
    ("full", "task", "missing"),
    [
        ("GGACUUAGC", "ACUUAG", {2, 5}),  # the task's sequence lacks tags
        ("ACUUAG", "GGACUUAGCC", {0}),  # the file's does
        ("GGACUUAGC", "GGACUUAGC", {0, 1, 7, 8}),
        ("AAAAAAAA", "AAAAAAAA", {2, 3}),  # no letter tells where the gap is
        ("GACUU", "GCU", {1, 4}),  # the task's sequence is what is resolved
    ],
)
def test_task_and_full_sequence_differ(tmp_path, kind, full, task, missing):
    atoms, x = chain_of(full, missing, first=-3)
    if kind == "cif":
        path = mmcif(tmp_path / "x.cif", atoms, {"1": list(full)})
    else:
        path = pdb(tmp_path / "x.pdb", atoms, list(full))
    found = structure_distances(path, "A", task, "rna")
    if task == "GCU":
        x, absent = x[[0, 2, 3]], set()
    elif len(task) > len(full):
        x, absent = np.concatenate([[-90, -80], x, [900, 990]]), {0, 1, 2, 8, 9}
    else:
        start = full.index(task)
        absent = {i - start for i in missing if 0 <= i - start < len(task)}
        x = x[start : start + len(task)]
    check(found, x, absent)


def test_a_part_that_is_in_two_places_is_placed_by_what_is_sure(tmp_path):
    """The file's sequence is twice in the task's: nothing says which one it is."""
    atoms, _ = chain_of("GACU", {1})
    found = structure_distances(
        mmcif(tmp_path / "x.cif", atoms, {"1": list("GACU")}), None, "GACUGACU", "rna"
    )
    assert (found == -1).all()


PROTEIN = "AGSSKVTA"


def odd_chain(change):
    """The protein's atoms with the author's numbers and `change`: places -> their new atoms."""
    atoms, x = chain_of(PROTEIN, protein=True, first=11)
    return [new for a in atoms for new in change.get(a.place, lambda a: [a])(a)], x


def modified(a):
    return [replace(a, name="SEP", record="HETATM")]


def of_unknown_parent(a):
    return [replace(a, name="QQQ", record="HETATM")]


def two_residues(a):
    """Microheterogeneity: the second, likelier, is right; the first has another place."""
    return [
        replace(a, name="THR", alt="A", occupancy=0.4, x=a.x + 50),
        replace(a, alt="B", occupancy=0.6),
    ]


def two_locations(a):
    """One location of two atoms is right as a whole, although the other has one likelier atom."""
    return [
        replace(a, alt="A", occupancy=0.6, atom="CA"),
        replace(a, alt="B", occupancy=0.4, atom="CA", x=a.x + 50),
        replace(a, alt="A", occupancy=0.4, atom="CB"),
        replace(a, alt="B", occupancy=0.5, atom="CB", x=a.x + 50),
    ]


def equal_locations(a):
    return [replace(a, alt="B", occupancy=0.5), replace(a, alt="A", occupancy=0.5, x=a.x + 50)]


def a_blank_location(a):
    return [replace(a, occupancy=0.5), replace(a, alt="B", occupancy=0.5, x=a.x + 50)]


def with_hydrogens(a):
    return [replace(a, atom="HA", element="H", x=a.x + 2), a, replace(a, atom="D", element="D")]


ODD = {
    "modified residue": {3: modified},
    "modified first and last residue": {0: modified, 7: modified},
    "modified residue of unknown parent": {3: of_unknown_parent},
    "microheterogeneity": {2: two_residues},
    "locations": {4: two_locations},
    "equal locations": {4: equal_locations},
    "a blank location": {4: a_blank_location},
    "hydrogens": {1: with_hydrogens},
}


@pytest.mark.parametrize("form", ["cif", "cif without sequence", "pdb", "pdb without sequence"])
@pytest.mark.parametrize("case", ODD)
def test_odd_residues(tmp_path, case, form):
    change = ODD[case]
    atoms, x = odd_chain(change)
    task = PROTEIN
    if case == "modified first and last residue":
        task = "S" + PROTEIN[1:-1] + "S"
    names = {a.place: a.name for a in atoms}
    if case == "microheterogeneity":
        names[2] = "THR/SER" if form.startswith("cif") else "SER"
    ligands = [
        Atom(-1, "HOH", 0, "301", record="HETATM", atom="O", element="O", chain="A"),
        Atom(-1, "GOL", 1, "302", record="HETATM", atom="C1", chain="A"),
    ]
    if form.startswith("cif"):
        entity = {"1": list(names.values())} if form == "cif" else None
        path = mmcif(tmp_path / "x.cif", atoms + ligands, entity)
    else:
        seqres = list(names.values()) if form == "pdb" else None
        path = pdb(tmp_path / "x.pdb", atoms + ligands, seqres)
    lost = set()
    if form == "pdb without sequence" and case.startswith("modified first"):
        lost = {7}  # nothing tells it from a ligand
    check(structure_distances(path, "A", task, "protein"), x, lost)


@pytest.mark.parametrize("seqres", [True, False])
def test_insertion_codes(tmp_path, seqres):
    sequence = "GAACUUAGC"
    atoms, x = chain_of(sequence, {6})
    numbers = ["5", "6", "6A", "6B", "7", "8", "9", "10", "11"]
    atoms = [replace(a, number=numbers[a.place]) for a in atoms]
    path = pdb(tmp_path / "x.pdb", atoms, list(sequence) if seqres else None)
    check(structure_distances(path, None, sequence, "rna"), x, {6})
    check(structure_distances(mmcif(tmp_path / "x.cif", atoms), None, sequence, "rna"), x, {6})


@pytest.mark.parametrize("form", [mmcif, pdb])
def test_the_first_of_several_models(tmp_path, form):
    atoms, x = chain_of("GACU")
    second = [replace(a, x=a.x * 2, model=2) for a in atoms]
    path = form(tmp_path / ("x.cif" if form is mmcif else "x.pdb"), atoms + second)
    check(structure_distances(path, None, "GACU", "rna"), x)


def test_chains_by_either_id(tmp_path):
    """The author's id goes first; a label counts where no chain has it as the author's."""
    first, x = chain_of("GACU")
    second, y = chain_of("GGACCA")
    atoms = [replace(a, author="B") for a in first]
    atoms += [replace(a, chain="C", author="D", entity="2") for a in second]
    path = mmcif(tmp_path / "x.cif", atoms, {"1": "GACU", "2": "GGACCA"})
    for chain in ("A", "B"):
        check(structure_distances(path, chain, "GACU", "rna"), x)
    for chain in ("C", "D"):
        check(structure_distances(path, chain, "GGACCA", "rna"), y)
    with pytest.raises(TaskDataError, match=r"x.cif: chains B, D; the label names none"):
        structure_distances(path, None, "GACU", "rna")
    swapped = [replace(a, chain={"A": "B", "C": "A"}[a.chain], author="A") for a in atoms[:4]]
    swapped += [replace(a, chain="A", author="B") for a in atoms[4:]]
    path = mmcif(tmp_path / "y.cif", swapped, {"1": "GACU", "2": "GGACCA"})
    check(structure_distances(path, "A", "GACU", "rna"), x)


@pytest.mark.parametrize("ter", ["TER", "TER       5        U A   4"])
def test_what_follows_a_pdb_chain_is_not_of_it(tmp_path, ter):
    """A ligand with the name of a modified residue of the chain, and one before the last chain."""
    atoms, x = chain_of("GACU")
    atoms[1] = replace(atoms[1], name="PSU", record="HETATM")
    second, y = chain_of("GGA")
    ligand = Atom(-1, "PSU", 77.0, "90", record="HETATM")
    path = pdb(tmp_path / "x.pdb", [*atoms, ligand, *(replace(a, chain="B") for a in second)])
    lines = path.read_text().splitlines()
    path = write(path, "\n".join([*lines[:4], ter, *lines[4:]]) + "\n")
    check(structure_distances(path, "A", "GUCU", "rna"), x)
    check(structure_distances(path, "B", "GGA", "rna"), y)


def spoil(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    return write(path, text.replace(old, new, count))


BAD = {
    "x.cif: .*residue 2 is A, in the full sequence C": lambda p: mmcif(
        p / "x.cif", chain_of("GACU")[0], {"1": "GCCU"}
    ),
    "x.cif: .*residue 4 is U, in the full sequence there is none": lambda p: mmcif(
        p / "x.cif", chain_of("GACU")[0], {"1": "GAC"}
    ),
    "x.cif: _entity_poly_seq.: residues are not numbered from 1 on": lambda p: spoil(
        mmcif(p / "x.cif", chain_of("GACU")[0], {"1": "GACU"}), "1 2 A\n", "1 7 A\n"
    ),
    "x.cif: .*not a number": lambda p: spoil(
        mmcif(p / "x.cif", chain_of("GACU")[0]), "0 0 1.0", "nan 0 1.0"
    ),
    "x.cif: .*a row is cut short": lambda p: spoil(
        mmcif(p / "x.cif", chain_of("GACU")[0]), " 0 0 1.0", " 0 1.0"
    ),
    "x.cif: .*several data blocks": lambda p: spoil(
        mmcif(p / "x.cif", chain_of("GACU")[0]), "#\nloop_", "_a.b c\ndata_y\n_c.d e\nloop_"
    ),
    "x.cif: ends inside its atom table": lambda p: spoil(
        mmcif(p / "x.cif", chain_of("GACU")[0]), "A 1\n#\n", "A 1\n"
    ),
    "x.pdb: ends inside its atoms": lambda p: pdb(p / "x.pdb", chain_of("GACU")[0], end=""),
    "x.pdb: SEQRES of chain A: 2 residues, it says 4": lambda p: spoil(
        pdb(p / "x.pdb", chain_of("GACU")[0], list("GACU")), "   C   U", ""
    ),
    "x.pdb: .*line 1: 46 columns": lambda p: spoil(
        pdb(p / "x.pdb", chain_of("GACU")[0]), f"   0.000  1.00{0:6.2f}", "\n"
    ),
    "x.pdb: line 1: ATXM is not the record of an atom": lambda p: spoil(
        pdb(p / "x.pdb", chain_of("GACU")[0]), "ATOM", "ATXM"
    ),
    "x.pdb: .*atom C1' is given twice": lambda p: pdb(p / "x.pdb", 2 * chain_of("GACU")[0]),
    "x.pdb: its residues GACU are not part of the sequence": lambda p: pdb(
        p / "x.pdb", [replace(a, number=str(2 * a.place)) for a in chain_of("GACU")[0]]
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_damaged_structures_are_named(tmp_path, message):
    with pytest.raises(TaskDataError, match=message):
        structure_distances(BAD[message](tmp_path), "A", "GAGU", "rna")


@pytest.mark.parametrize("name", ["x.cif", "x.pdb", "x.cif.gz"])
def test_cut_anywhere_it_is_right_or_an_error(tmp_path, name):
    """Every length of a small file: the whole map, or the file's name."""
    atoms, x = chain_of("GACU")
    form = pdb if name == "x.pdb" else mmcif
    data = form(tmp_path / "whole", atoms).read_bytes()
    data = gzip.compress(data, mtime=0) if name.endswith(".gz") else data
    path = tmp_path / name
    whole = []
    for size in range(len(data)):
        write(path, data[:size])
        try:
            found = structure_distances(path, None, "GACU", "rna")
        except TaskDataError as error:
            if str(path) not in str(error):
                raise
        else:
            check(found, x)
            whole.append(size)
    assert set(whole) <= {len(data) - 1}  # without the last line end


def test_residues_without_a_place_are_counted(tmp_path):
    """By example, for the notes of every row."""
    rows = ["sequence,label,split"]
    for split, extra in (("train", "A"), ("valid", "C"), ("test", "U")):
        own, _ = chain_of("GGAC" + extra, {1})
        mmcif(tmp_path / f"{split}.cif", own, numbers=False)
        rows.append(f"GGAC{extra},{split}.cif,{split}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    task = Task(kind="pairwise", data={"path": str(tmp_path / "t.csv")})
    targets = make_targets(task, read_task(task, "rna").frame, "rna")
    assert targets.homeless.tolist() == [1, 1, 1]  # the G of each


def test_shared_cases(shared_cases):
    sequence = PROTEIN
    found = structure_distances(shared_cases / "modified_residue.cif", "A", sequence, "protein")
    assert found[0].tolist() == [4 * i for i in range(8)]
    with pytest.raises(TaskDataError, match=r"truncated.cif: .*a row is cut short"):
        structure_distances(shared_cases / "truncated.cif", "A", sequence, "protein")
