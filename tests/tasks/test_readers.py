"""Each published format from a small file of it, and what happens to malformed ones."""

import gzip
import pickle

import lmdb
import numpy as np
import pytest
from coresift.tasks.data import TaskDataError, protected_examples, read_task
from coresift.tasks.readers.netsurfp import AMINO_ACIDS
from coresift.tasks.readers.record import naming
from coresift.tasks.settings import Task
from coresift.tasks.targets import make_targets


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


def columns(task, modality="rna"):
    frame = read_task(task, modality).frame
    return {name: frame[name].to_list() for name in ("sequence", "partner", "label", "split")}


def test_modif_of_beacon(tmp_path):
    row = "{},0 1 0 0 0 0 0 0 0 0 0 1\n"
    files = {
        split: write(tmp_path, f"{split}.csv", "sequence,label\n" + row.format(sequence))
        for split, sequence in (("train", "ACGT"), ("valid", "CCGT"), ("test", "GGGT"))
    }
    task = Task(preset="modif", data=files)
    assert columns(task)["sequence"] == ["ACGU", "CCGU", "GGGU"]
    targets = make_targets(task, read_task(task, "rna").frame, "rna")
    assert targets.n_outputs == 12
    assert targets.rows[0].tolist() == [[0, 1] + 9 * [0] + [1]]


def test_crispr_of_deepcrispr_and_of_beacon(tmp_path):
    header = "chrom,start,end,strand,sgrna,ctcf,dnase,h3k4me3,rrbs,efficacy\n"
    guides = [f"{a}{b}{c}CGTTAGCAGTTTGATGGCATGG"[:23] for a in "ACGT" for b in "ACGT" for c in "AC"]
    rows = "".join(f"chr1,1,23,+,{g},A,N,A,N,0.{i:02d}\n" for i, g in enumerate(guides))
    path = write(tmp_path, "hl60.csv.gz", header + rows)
    draw = {"test": 6, "valid": 3, "seed": 1}
    found = columns(Task(preset="crispr_on", data={"path": path, "draw": draw}))
    assert [found["split"].count(s) for s in ("train", "valid", "test")] == [23, 3, 6]
    assert found["label"][0] == "0.00"
    other = columns(Task(preset="crispr_on", data={"path": path, "draw": {**draw, "seed": 2}}))
    assert found["split"] != other["split"]
    files = {s: write(tmp_path, f"{s}.csv", f"seq,label\n{s[0].upper()}ACG,0.5\n".replace("V", "C"))
             for s in ("train", "valid", "test")}  # fmt: skip
    files["train"] = write(tmp_path, "train.csv", "seq,label\nAACG,0.5\n")
    beacon = {**files, "sequence": "seq", "label": "label", "draw": None}
    assert columns(Task(preset="crispr_on", data=beacon))["label"] == ["0.5"] * 3


BPSEQ = "#Name: bpRNA_RFAM_1\n1 g 6\n2 G 5\n3 A 0\n4 A 0\n5 C 2\n6 C 1\n"
CT = "6\tbpRNA_RFAM_2\n" + "".join(
    f"{i}\t{base}\t{i - 1}\t{i + 1}\t{partner}\t{i}\n"
    for i, base, partner in [
        (1, "G", 6),
        (2, "C", 5),
        (3, "A", 0),
        (4, "T", 0),
        (5, "G", 2),
        (6, "C", 1),
    ]
)
DBN = "#Name: bpRNA_RFAM_3\n#Length: 7\nGCAAAGC\n((...))\n"


def test_sec_struct_of_bprna(tmp_path):
    files = {
        "train": write(tmp_path, "TR0/a.bpseq", BPSEQ),
        "valid": write(tmp_path, "VL0/b.ct", CT),
        "test": write(tmp_path, "TS0/c.dbn", DBN),
    }
    folders = {split: path.rsplit("/", 1)[0] for split, path in files.items()}
    task = Task(preset="sec_struct", data=folders)
    found = columns(task)
    assert found["sequence"] == ["GGAACC", "GCAUGC", "GCAAAGC"]
    maps = make_targets(task, read_task(task, "rna").frame, "rna").rows
    assert [np.argwhere(np.triu(maps[i])).tolist() for i in range(3)] == [
        [[0, 5], [1, 4]],
        [[0, 5], [1, 4]],
        [[0, 6], [1, 5]],
    ]
    single = Task(preset="sec_struct", data=files)
    assert columns(single) == found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.bpseq", "1 G 3\n2 A 0\n3 C 2\n", "a.bpseq: line 1: residue 1 pairs with 3, which"),
        ("a.bpseq", "1 G 0\n3 A 0\n", "a.bpseq: line 2: residue 3 is out of order"),
        ("a.bpseq", "1 G\n", "a.bpseq: line 1: not a residue: '1 G'"),
        ("a.ct", "3 x\n1 G 0 2 0 1\n", "a.ct: 1 residues, the title says 3"),
        ("a.ct", "x\n", "a.ct: line 1: the title does not begin with the length"),
        ("a.dbn", ">x\nGGCC\n", "a.dbn: line 2: a sequence without dot-bracket"),
        ("a.dbn", "", "a.dbn: empty file"),
    ],
)
def test_malformed_structures_name_file_and_line(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    with pytest.raises(TaskDataError, match=message):
        read_task(Task(preset="sec_struct", data={"train": path, "test": path}), "rna")


def test_bprna_table_of_beacon(tmp_path):
    rows = [("GGAAACC", "x", "TR0"), ("GGAAAUC", "y", "VL0"), ("GGAAAUU", "z", "TS0")]
    text = "seq,file_name,data_name\n" + "".join(",".join(row) + "\n" for row in rows)
    path = write(tmp_path, "bpRNA.csv", text)
    for _, name, split in rows:
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / f"{name}.npy", np.eye(7)[::-1])
    data = {
        "path": path,
        "sequence": "seq",
        "label": "{data_name}/{file_name}.npy",
        "split": "data_name",
        "split_names": {"TR0": "train", "VL0": "valid", "TS0": "test"},
    }
    task = Task(preset="sec_struct", data=data)
    examples = read_task(task, "rna")
    assert examples.frame["split"].to_list() == ["train", "valid", "test"]
    assert make_targets(task, examples.frame, "rna").rows[2][0, 6] == 1


@pytest.mark.parametrize("preset", ["contact_map", "dist_map"])
def test_maps_of_beacon(tmp_path, preset):
    folder = "contact_map" if preset == "contact_map" else "distance_map"
    (tmp_path / folder).mkdir()
    files = {}
    for i, split in enumerate(("train", "valid", "test")):
        files[split] = write(tmp_path, f"{split}.csv", f"id,seq\nr{i},GGA{'ACG'[i]}\n")
        np.save(tmp_path / folder / f"r{i}.npy", np.full((4, 4), i - 1.0))
    task = Task(preset=preset, data=files)
    maps = make_targets(task, read_task(task, "rna").frame, "rna").rows
    assert [float(maps[i][0, 0]) for i in range(3)] == [-1, 0, 1]
    (tmp_path / folder / "r1.npy").unlink()
    with pytest.raises(TaskDataError, match=r"valid.csv:2: .*r1.npy"):
        make_targets(task, read_task(task, "rna").frame, "rna")


PAIRS = "1A9N-B\t1A9N-Q\t1\n1A9N-Q\t2X-A\t0\n2X-B\t2X-A\t0\n2X-B\t1A9N-B\t1\n"
RNA = ">1A9N-Q\nGGIAC\n>2X-B\nCCAUU\n"
PROTEIN = ">1A9N-B\nMKV\n>2X-A\nMMWJ\n"


def rbp(folder, pairs=PAIRS):
    data = {
        "path": write(folder, "RPI_pairs.txt", pairs),
        "fasta": write(folder, "rna.fa", RNA),
        "fasta_b": write(folder, "protein.fa", PROTEIN),
        "draw": {"test": 1, "valid": 1},
        "max_foreign": 0.2,
    }
    return Task(preset="rbp", data=data)


def test_rbp_finds_which_partner_comes_first(tmp_path):
    examples = read_task(rbp(tmp_path), "rna")
    assert examples.frame["sequence"].to_list() == ["GGNAC", "GGNAC", "CCAUU", "CCAUU"]
    assert examples.frame["partner"].to_list() == ["MKV", "MMWX", "MMWX", "MKV"]
    found = [notes.get("sequences_with_foreign_letters", 0) for notes in examples.notes.values()]
    assert sum(found) == 2  # the I of GGIAC, twice
    held = protected_examples([rbp(tmp_path)], ["train", "valid", "test"], "rna")
    assert set(held["sequence"]) == {"GGNAC", "CCAUU"}  # no protein in an RNA pool


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1A9N-B\t9XYZ-Q\t1\n", "RPI_pairs.txt: line 5: 1A9N-B and 9XYZ-Q are not one in"),
        ("1A9N-B\t1A9N-Q\n", "RPI_pairs.txt: line 5: 2 fields, wanted id, id, label"),
    ],
)
def test_malformed_pairs(tmp_path, line, message):
    with pytest.raises(TaskDataError, match=message):
        read_task(rbp(tmp_path, PAIRS + line), "rna")


def test_localization_of_deeploc(tmp_path):
    text = (
        ">Q9H400 Cell.membrane-M test\nMKV\n>P0 Nucleus-U\nMKA\n>P1 Lysosome/Vacuole-S\nMKC\n"
        ">P2 Cytoplasm-Nucleus-U\nMKD\n>P3 Nucleus-S\nMKE\n"
    )
    data = {"path": write(tmp_path, "deeploc_data.fasta", text), "valid_fraction": 0.5}
    task = Task(preset="localization", data=data)
    examples = read_task(task, "protein")
    assert examples.notes["train"]["skipped_labels"] == 1
    assert examples.frame["label"].to_list() == [
        *("Cell.membrane", "Nucleus", "Lysosome/Vacuole", "Nucleus"),
    ]
    assert examples.split("test")["sequence"].to_list() == ["MKV"]


def netsurfp(path, sequences, classes, ordered, evaluated):
    data = np.zeros((len(sequences), 8, 68), dtype=np.float32)
    for k, (sequence, labels) in enumerate(zip(sequences, classes, strict=True)):
        for i, (letter, q8) in enumerate(zip(sequence, labels, strict=True)):
            if letter in AMINO_ACIDS:
                data[k, i, AMINO_ACIDS.index(letter)] = 1
            data[k, i, 57 + "GHIBESTC".index(q8)] = 1
            data[k, i, 50:53] = 1, ordered[k][i] == "1", evaluated[k][i] == "1"
    np.savez_compressed(path, pdbids=np.array([f"p{k}" for k in range(len(sequences))]), data=data)
    return str(path)


def test_sec_struct_3_of_netsurfp(tmp_path):
    zeros = ["0" * 6, "0" * 6]
    train = netsurfp(
        tmp_path / "Train_HHblits.npz", ["MKVXAC", "MKVAAD"], ["GHIBES", "TCCCCC"],
        ["111011", "111111"], zeros,
    )  # fmt: skip
    test = netsurfp(tmp_path / "CB513_HHblits.npz", ["MMKV"], ["HHEE"], ["1111"], ["0111"])
    valid = netsurfp(tmp_path / "valid.npz", ["MK"], ["HH"], ["11"], ["00"])
    data = {"train": train, "valid": valid, "test": test}
    frame = read_task(Task(preset="sec_struct_3", data=data), "protein").frame
    assert frame["sequence"].to_list() == ["MKVXAC", "MKVAAD", "MK", "MMKV"]
    assert frame["label"].to_list() == ["HHH-EC", "CCCCCC", "HH", "-HEE"]


def test_sec_struct_3_as_a_table_with_a_mask(tmp_path):
    text = "input,dssp3,disorder\n" + "".join(
        f"{s},{label},{mask}\n"
        for s, label, mask in [
            ("MKV", "HEC", "1.0 0.0 1.0"),
            ("MKA", "HHH", "1 1 1"),
            ("MKC", "EEE", "1 1 1"),
        ]
    )
    path = write(tmp_path, "t.csv", text)
    data = {"path": path, "sequence": "input", "label": "dssp3", "mask": "disorder"}
    draw = {"test": 1, "valid": 1}
    found = columns(Task(preset="sec_struct_3", data={**data, "draw": draw}), "protein")
    assert found["label"] == ["H-C", "HHH", "EEE"]
    write(tmp_path, "t.csv", text + "MKD,HHH,1 1\n")
    with pytest.raises(TaskDataError, match=r"t.csv: line 5: a mask of 2 for 3 labels"):
        read_task(Task(preset="sec_struct_3", data={**data, "draw": draw}), "protein")


def test_ppi_affinity_of_peer(tmp_path):
    header = "primary_1,primary_2,interaction\n"
    files = {
        split: write(tmp_path, f"{split}.csv", f"{header}MK{letter},MVV,{value}\n")
        for split, letter, value in (("train", "A", 7.2), ("valid", "C", 5.0), ("test", "D", 9.1))
    }
    task = Task(preset="ppi_affinity", data=files)
    assert columns(task, "protein")["partner"] == ["MVV"] * 3
    assert make_targets(task, read_task(task, "protein").frame, "protein").rows[2] == [9.1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "sequence,label,split\nACGU,1\n", "t.csv: line 2: 2 fields"),
        ("t.csv", "sequence,split\nACGU,train\n", "columns missing: \\['label'\\]"),
        ("t.parquet", "x", "t.parquet: not a readable Parquet table"),
        ("t.npz", "x", "t.npz: not a NetSurfP-2.0 archive"),
        ("t.doc", "x", "t.doc: no reader for this ending; known: .csv"),
        ("t.txt", "x", "t.txt: a list of pairs needs data.fasta"),
        ("t.fasta", "", "t.fasta: empty file"),
    ],
)
def test_malformed_files_are_named(tmp_path, name, text, message):
    task = Task(kind="class", data={"path": write(tmp_path, name, text)})
    with pytest.raises(TaskDataError, match=message):
        read_task(task, "rna")


TABLE = "sequence,label,split\nACGUA,{},train\nACGUC,{},train\nACGUG,{},valid\nACGUU,{},{}\n"
#: Bad input -> kind, file, text, keys of `data`, and the place and key that the error names.
BAD = {
    "FASTA as a table": ("class", "t.csv", ">a\nACGU\n", {}, "t.csv: .*data.sequence, data.label"),
    "a table as FASTA": ("class", "t.fa", TABLE, {}, "t.fa: .*line 1: a record begins with"),
    "a table as gzip": ("class", "t.csv.gz", None, {}, "t.csv.gz: line 1: .*ending says how"),
    "no column of splits": ("class", "t.csv", "sequence,label\nACGU,a\n", {}, r"data.split \("),
    "another split": ("class", "t.csv", TABLE.format(*"abab", "TS0"), {}, "line 5.*split_names"),
    "no test": ("class", "t.csv", TABLE.format(*"abab", "valid"), {}, r"t.csv: no .*\(data.test,"),
    "a class of test": (
        "class",
        "t.csv",
        TABLE.format(*"abac", "test"),
        {},
        r"t.csv:5: .*\(classes",
    ),
    "no number": ("scalar", "t.csv", TABLE.format(*"12x3", "test"), {}, r"t.csv:4: .*\(kind, data"),
    "too few residues": (
        *("token", "t.csv", TABLE.format("HHHEE", "HHHEE", "HHH", "EEEEE", "test"), {}),
        r"t.csv:4: 3 labels for a sequence of 5 residues \(data.label, data.sequence\)",
    ),
    "too few brackets": (
        *("pairwise", "t.csv", TABLE.format(*["(...)"] * 3, "(..)", "test"), {}),
        r"t.csv:5: a map of \(4, 4\) .* \(data.label\)",
    ),
    "a mask too short": (
        *("token", "t.csv", "sequence,label,split,m\nACGU,HHEE,train,1 1\n", {"mask": "m"}),
        r"t.csv: line 2: a mask of 2 for 4 labels \(data.mask\)",
    ),
    "a mask without a table": ("token", "t.fa", ">HHEE\nACGU\n", {"mask": "m"}, "t.fa: data.mask"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_names_task_file_row_and_key(tmp_path, case):
    kind, name, text, keys, message = BAD[case]
    (tmp_path / name).write_text(text or TABLE)
    task = Task(kind=kind, data={"path": str(tmp_path / name), **keys})
    with (
        pytest.raises(TaskDataError, match=f"^task mine: .*{message}"),
        naming("mine"),
    ):
        make_targets(task, read_task(task, "rna").frame, "rna")


def test_a_mask_is_of_residues():
    with pytest.raises(ValueError, match=r"data.mask is for kind token, not class"):
        Task(kind="class", data={"path": "t.csv", "mask": "m"})


def test_truncated_gzip_is_named(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"sequence,label,split\n" + b"ACGU,a,train\n" * 5000)[:-20])
    with pytest.raises(TaskDataError, match=r"t.csv.gz: line \d+: not readable text"):
        read_task(Task(kind="class", data={"path": str(path)}), "rna")


def test_real_crispr_on(shared_data):
    path = str(shared_data / "rna_crispr_on" / "hl60.csv.gz")
    examples = read_task(Task(preset="crispr_on", data={"path": path}), "rna")
    sizes = [examples.split(s).height for s in ("train", "valid", "test")]
    assert sizes == [1453, 207, 416]
    assert set(examples.frame["sequence"].str.len_chars()) == {23}


@pytest.mark.parametrize(
    ("name", "positive", "negative"),
    [("RPI369", 369, 369), ("RPI488", 243, 245), ("RPI1807", 1801, 1436), ("RPI2241", 2241, 2241)],
)
def test_real_rbp(shared_data, name, positive, negative):
    folder = shared_data / "rna_rbp"
    data = {
        "path": str(folder / f"{name}_pairs.txt.gz"),
        "fasta": str(folder / f"{name}_rna_seq.fa.gz"),
        "fasta_b": str(folder / f"{name}_protein_seq.fa.gz"),
    }
    examples = read_task(Task(preset="rbp", data=data), "rna")
    labels = examples.frame["label"].value_counts()
    found = dict(labels.iter_rows())
    assert found == {"1": positive, "0": negative}  # copies are drawn together: none is dropped
    assert set(examples.frame["sequence"].str.join("")[0]) <= set("ACGUN")


def peer_database(path, records, protocol=2, subdir=True):
    """A database as torchdrug reads it."""
    with lmdb.open(str(path), subdir=subdir) as database, database.begin(write=True) as transaction:
        transaction.put(b"num_examples", pickle.dumps(len(records), protocol))
        for i, record in enumerate(records):
            transaction.put(str(i).encode(), pickle.dumps(record, protocol))
    return str(path)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("subdir", [True, False])
@pytest.mark.parametrize("value", [7.25, np.float32(7.25), np.array([7.25])])
def test_ppi_affinity_of_peers_database(tmp_path, protocol, subdir, value):
    files = {}
    for split, letter in (("train", "A"), ("valid", "C"), ("test", "D")):
        record = {"primary_1": f"MK{letter}", "primary_2": "MVV", "interaction": value, "id": b"x"}
        files[split] = peer_database(
            tmp_path / f"ppi_affinity_{split}.lmdb", [record], protocol, subdir
        )
    examples = read_task(Task(preset="ppi_affinity", data=files), "protein").frame
    assert examples["sequence"].to_list() == ["MKA", "MKC", "MKD"]
    assert examples["partner"].to_list() == ["MVV"] * 3
    assert examples["label"].to_list() == ["7.25"] * 3


class Harmful:
    def __reduce__(self):
        return (print, ("run by a pickle",))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"primary_1": "MK", "primary_2": "MV"}, r"record 0: fields missing: \['interaction'\]"),
        (Harmful(), "record 0: not a PEER database .*print is not plain data"),
    ],
)
def test_bad_peer_records_are_named(tmp_path, capsys, record, message):
    path = peer_database(tmp_path / "t.lmdb", [record])
    data = {"path": path, "draw": {"test": 1, "valid": 1, "seed": 0}}
    with pytest.raises(TaskDataError, match=message):
        read_task(Task(preset="ppi_affinity", data=data), "protein")
    assert capsys.readouterr().out == ""
