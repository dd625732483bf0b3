"""Files of tasks as they are in the world, and damaged ones: a result, or an error of the file."""

import ast
import gzip
import io
import os
import pickle
import re
import runpy
import struct
import zipfile
from types import SimpleNamespace

import lmdb
import numpy as np
import polars as pl
import pytest
import torch
from coresift.models.checkpoint import build_model, save_model
from coresift.tasks.baseline import baseline
from coresift.tasks.data import TaskDataError, read_task, reader_of
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.maps import Maps
from coresift.tasks.readers import base_pairs
from coresift.tasks.readers.chains import read_chain
from coresift.tasks.readers.lmdb_file import Database
from coresift.tasks.readers.settings import TaskData
from coresift.tasks.settings import Pairwise, Task
from coresift.tasks.targets import make_targets

#: Damaged files of each kind; 2,000 by hand: CORESIFT_MUTATIONS=2000.
MUTATIONS = int(os.environ.get("CORESIFT_MUTATIONS", "40"))


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # some file systems flush a file that is written over
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def records(path, **options):
    """What a task's reader gives, as (sequence, partner, label, split)."""
    source = TaskData(path=str(path), **{"default_split": "train", **options})
    found = reader_of(str(path))(source, str(path))
    return [(r.sequence, r.partner, r.label, r.split) for r in found]


# Damage ---------------------------------------------------------------------------------------


def truncated(data, rng):
    return data[: int(rng.integers(0, len(data)))]


def flipped(data, rng):
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwritten(data, rng):
    out = bytearray(data)
    start = int(rng.integers(len(out)))
    out[start : start + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(0, 9)))
    return bytes(out)


def lines_swapped(data, rng):
    lines = data.split(b"\n")
    i, j = rng.integers(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def line_repeated_or_lost(data, rng):
    lines = data.split(b"\n")
    i = int(rng.integers(len(lines)))
    lines[i : i + 1] = [lines[i]] * int(rng.choice([0, 2]))
    return b"\n".join(lines)


def other_encoding(data, rng):
    odd = ["é".encode("latin-1"), "é".encode(), b"\x00", b"\xef\xbb\xbf", b"\r", "²".encode()]
    choice = int(rng.integers(len(odd) + 3))
    if choice < len(odd):
        at = int(rng.integers(len(data)))
        return data[:at] + odd[choice] + data[at:]
    if choice == len(odd):
        return b"\xef\xbb\xbf" + data
    if choice == len(odd) + 1:
        return data.replace(b"\n", b"\r\n" if rng.random() < 0.5 else b"\r")
    return data.decode("latin-1").encode("utf-16")


DAMAGE = (truncated, flipped, overwritten, lines_swapped, line_repeated_or_lost, other_encoding)

# Reference readers: slow, strict, and written apart; an exception: not a whole file -------------


def text_lines(data):
    """Universal line ends, UTF-8."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")


def mutual(partners):
    for i, j in enumerate(partners, start=1):
        assert j == 0 or (j <= len(partners) and partners[j - 1] == i != j)
    return " ".join(["partners", *(str(j - 1) for j in partners)])


def is_comment(line):
    return not line.strip() or line[0] in "#>"


def ref_bpseq(path):
    lines = [line.split() for line in text_lines(path.read_bytes()) if not is_comment(line)]
    while not re.fullmatch("[0-9]+", lines[0][0]):
        lines.pop(0)
    rows = [(int(n), c, int(p)) for n, c, p in ((f[0], f[1], f[2]) for f in lines)]
    assert [n for n, _, _ in rows] == list(range(1, len(rows) + 1))
    assert all(len(c) == 1 for _, c, _ in rows)
    return [("".join(c for _, c, _ in rows), "", mutual([p for _, _, p in rows]), None)]


def ref_ct(path):
    lines = [line.split() for line in text_lines(path.read_bytes()) if not is_comment(line)]
    out = []
    while lines:
        size = int(lines.pop(0)[0])
        rows, lines = lines[:size], lines[size:]
        assert [int(f[0]) for f in rows] == list(range(1, size + 1))
        assert all(len(f[1]) == 1 and len(f) >= 6 for f in rows)
        out.append(("".join(f[1] for f in rows), "", mutual([int(f[4]) for f in rows]), None))
    return out


def ref_dbn(path):
    lines = [line for line in text_lines(path.read_bytes()) if not is_comment(line)]
    assert len(lines) % 2 == 0
    out = []
    for sequence, brackets in zip(lines[::2], lines[1::2], strict=True):
        sequence = "".join(sequence.split())
        label = ""
        rest = brackets.split()
        while len(label) < len(sequence):
            label += rest.pop(0)
        assert len(label) == len(sequence)
        assert not rest or re.search("[0-9]", "".join(rest))
        out.append((sequence, "", label, None))
    return out


def ref_csv(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    text = "".join(f"{line}\n" for line in text_lines(data))
    table, row, field, at = [], [], "", 0
    while at < len(text):
        if text[at] == '"' and field == "":
            end = at + 1
            while True:
                end = text.index('"', end)
                if text[end : end + 2] != '""':
                    break
                end += 2
            field, at = text[at + 1 : end].replace('""', '"'), end + 1
            assert text[at] in ",\n"
        elif text[at] in ",\n":
            row.append(field)
            field = ""
            if text[at] == "\n":
                table.append(row)
                row = []
            at += 1
        else:
            field += text[at]
            at += 1
    header, *rows = table
    assert len(set(header)) == len(header)
    index = [header.index(name) for name in ("sequence", "label")]
    out = []
    for row in rows:
        if row == [""]:
            continue
        assert len(row) == len(header)
        split = row[header.index("split")] if "split" in header else None
        sequence, label = (row[i] for i in index)
        out.append((sequence, "", label or None, split or None))
    return out


def ref_parquet(path):
    rows = pl.read_parquet(io.BytesIO(path.read_bytes())).to_dicts()
    rows = [
        {k: v.decode() if isinstance(v, bytes) else v or "" for k, v in r.items()} for r in rows
    ]
    return [(r["sequence"], "", r["label"] or None, r.get("split") or None) for r in rows]


def ref_npz(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        arrays = [ref_array(archive.read(f"{name}.npy")) for name in ("pdbids", "data")]
    names, data = arrays
    assert len(names) == len(data)
    assert data.shape[2] == 68
    out = []
    for protein in data:
        sequence = label = ""
        for row in protein:
            if row[50] > 0:
                hot = [i for i in range(20) if row[i]]
                sequence += "ACDEFGHIKLMNPQRSTVWY"[int(row[:20].argmax())] if hot else "X"
                known = row[51] > 0 and row[57:65].any()
                label += "HHHEECCC"[int(row[57:65].argmax())] if known else "-"
        out.append((sequence, "", label, None))
    return out


def ref_array(data):
    assert data[:6] == b"\x93NUMPY"
    size = struct.unpack("<H" if data[6] == 1 else "<I", data[8:10] if data[6] == 1 else data[8:12])
    start = (10 if data[6] == 1 else 12) + size[0]
    header = ast.literal_eval(data[10 if data[6] == 1 else 12 : start].decode("latin-1").strip())
    values = np.frombuffer(data[start:], np.dtype(header["descr"]))
    return values.reshape(header["shape"], order="F" if header["fortran_order"] else "C")


def ref_npy(path):
    values = ref_array(path.read_bytes())
    assert values.dtype.kind in "biuf"
    assert values.shape == (4, 4)
    with np.errstate(over="ignore"):
        rows = np.where(np.isnan(values), -1, values).astype(np.float32).tolist()
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            other = rows[j][i]
            assert 0 <= value < float("inf") or value == other == -1
            assert abs(value - other) <= 1e-3 + 1e-3 * abs(other)
    return rows


def ref_lmdb(path):
    """The library itself, in a process of its own: a damaged file may end it."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with (
                lmdb.open(str(path), readonly=True, lock=False, subdir=False) as database,
                database.begin() as transaction,
            ):
                stored = {key: pickle.loads(value) for key, value in transaction.cursor()}
            assert len(stored) == stored[b"num_examples"] + 1
            found = []
            for i in range(stored[b"num_examples"]):
                record = stored[str(i).encode()]
                label = np.ravel(record["label"]).tolist()
                found.append((record["sequence"], "", " ".join(map(str, label)), None))
            os.write(send, pickle.dumps(found))
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as handle:
        data = handle.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


def ref_pairs(path):
    rna, protein = {"r1": "GGAC", "r2": "CCAU"}, {"p1": "MKV", "p2": "MMW"}
    out = []
    for line in text_lines(path.read_bytes()):
        if line.strip():
            a, b, label = line.split()
            a, b = (a, b) if a in rna and b in protein else (b, a)
            out.append((rna[a], protein[b], label, None))
    return out


def number(text):
    assert re.fullmatch(r"[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)?", text)
    return float(text)


def residues_of(rows):
    """From rows of (place, name, location, atom, element, occupancy, xyz)."""

    def mean(items):
        return sum(items) / len(items)

    out = []
    for place in dict.fromkeys(row[0] for row in rows):
        here = [row for row in rows if row[0] == place and row[1] not in ("HOH", "DOD", "WAT")]
        for field in (1, 2):
            names = [n for n in dict.fromkeys(row[field] for row in here) if n or field == 1]
            if names:
                best = max(names, key=lambda n: mean([r[5] for r in here if r[field] == n]))
                here = [row for row in here if row[field] in (best, "" if field == 2 else best)]
        here = [row for row in here if row[4].upper() not in ("H", "D")]
        here = [row for row in here if row[4] or row[3].lstrip("0123456789'\"")[:1] not in "HDhd"]
        assert len({row[3] for row in here}) == len(here)
        if here:
            out.append((place, [row[6] for row in here]))
    return out


def ref_cif(path):
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace")
    lines = [line for line in io.StringIO(text, newline=None) if line.strip()]
    assert lines[-1].strip().startswith("#")
    tokens = []
    for line in lines:
        if line.startswith("#"):
            continue
        for quoted, plain in re.findall(r"""("[^"]*"(?=\s)|'[^']*'(?=\s))|([^ \t\n]+)""", line):
            if plain.startswith("#"):
                break
            tokens.append(quoted[1:-1] if quoted else plain)
    assert tokens[0].startswith("data_")
    start = tokens.index("loop_") + 1
    names = [t for t in tokens[start : start + 15] if t.startswith("_")]
    values = tokens[start + len(names) :]
    assert len(values) % len(names) == 0
    rows, kept = [], []
    for i in range(0, len(values), len(names)):
        row = dict(zip(names, values[i : i + len(names)], strict=True))
        rows.append(
            {k.removeprefix("_atom_site."): "" if v in (".", "?") else v for k, v in row.items()}
        )
    for row in rows:
        if row.get("pdbx_PDB_model_num", "") == rows[0].get("pdbx_PDB_model_num", ""):
            xyz = tuple(number(row[f"Cartn_{axis}"]) for axis in "xyz")
            place = row.get("label_seq_id") or row.get("auth_seq_id") or ""
            if not place:  # a new residue where the name changes or an atom comes again
                if kept and row["label_comp_id"] == kept[-1][1]:
                    place = kept[-1][0]
                if not place or any(k[0] == place and k[3] == row["label_atom_id"] for k in kept):
                    place = f"None{len(kept)}"
            kept.append(
                (place, row["label_comp_id"], row.get("label_alt_id", ""), row["label_atom_id"],
                 row.get("type_symbol", ""), number(row.get("occupancy") or "1"), xyz)
            )  # fmt: skip
    found = [("None" if p.startswith("None") else p, xyz) for p, xyz in residues_of(kept)]
    return found if found[0][0] == "None" else sorted(found, key=lambda row: int(row[0]))


def ref_pdb(path):
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace")
    rows, ended = [], False
    for line in io.StringIO(text, newline=None):
        if re.match("(END|MASTER|CONECT) *", line[:6].strip() + " "):
            ended = True
        if line[:6].strip() == "ENDMDL":
            break
        if line[:6].strip() in ("ATOM", "HETATM"):
            ended = False
            xyz = tuple(number(line[i : i + 8].strip()) for i in (30, 38, 46))
            element = line[76:78].strip()
            place = f"{int(line[22:26])}{line[26].strip()}"
            rows.append(
                (place, line[17:20].strip(), line[16:17].strip(), line[12:16].strip(),
                 element if element.isalpha() else "", number(line[54:60].strip() or "1"), xyz)
            )  # fmt: skip
    assert ended or "ENDMDL" in text
    return residues_of(rows)


# Kinds of file ----------------------------------------------------------------------------------

TABLE = 'sequence,label,split\nACGU,"a, b",train\nGGCC,"say ""c""",valid\nCCGA,d,test\n'
CIF = (
    "data_x\nloop_\n"
    + "".join(
        f"_atom_site.{name}\n"
        for name in (
            *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id"),
            *("label_asym_id", "label_seq_id", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy"),
            *("auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num"),
        )
    )
    + "".join(
        f'ATOM {2 * i + k} C "C{k}\'" . {name} A {i + 1} {4 * i}.125 {k}.500 -1.000 1.00 '
        f"{i + 5} A 1\n"
        for i, name in enumerate("GACU")
        for k in (1, 2)
    )
    + "#\n"
)
PDB = "HEADER    RNA\n" + "".join(
    f"ATOM  {2 * i + k:5d}  C{k}' {name:>3s} A{i + 5:4d}    {4 * i + 0.125:8.3f}{k + 0.5:8.3f}"
    f"{-1:8.3f}{1:6.2f}{10:6.2f}           C\n"
    for i, name in enumerate("GACU")
    for k in (1, 2)
)
PDB += "TER\nEND\n"


def parquet_bytes():
    buffer = io.BytesIO()
    rows = {"sequence": ["ACGU", "GGCC", "CCGA"], "label": ["a", "b", "c"]}
    pl.DataFrame({**rows, "split": ["train", "valid", "test"]}).write_parquet(buffer)
    return buffer.getvalue()


def npz_bytes():
    rng = np.random.default_rng(0)
    data = np.zeros((2, 5, 68), np.float32)
    for k, size in enumerate((5, 3)):
        for i in range(size):
            data[k, i, [int(rng.integers(20)), 50, 51, 57 + int(rng.integers(8))]] = 1
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pdbids=np.array(["p1", "p2"]), data=data)
    return buffer.getvalue()


def npy_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.abs(np.subtract.outer(np.arange(4), np.arange(4))).astype(np.float32))
    return buffer.getvalue()


def lmdb_bytes(folder):
    records = [
        {"sequence": f"MKV{c}", "label": np.array([i + 0.5])} for i, c in enumerate("ACDEFGHIKL")
    ]
    records[3]["sequence"] = "MKVA" * 2000  # on pages of its own
    path = folder / "made.lmdb"
    path.unlink(missing_ok=True)
    with (
        lmdb.open(str(path), subdir=False, map_size=1 << 20) as database,
        database.begin(write=True) as transaction,
    ):
        transaction.put(b"num_examples", pickle.dumps(len(records), 2))
        for i, record in enumerate(records):
            transaction.put(str(i).encode(), pickle.dumps(record, 2))
    return path.read_bytes()


def read_pairs(path):
    options = {"fasta": str(path.parent / "rna.fa"), "fasta_b": str(path.parent / "protein.fa")}
    put(path.parent / "rna.fa", ">r1\nGGAC\n>r2\nCCAU\n")
    put(path.parent / "protein.fa", ">p1\nMKV\n>p2\nMMW\n")
    return records(path, **options)


def read_map(path):
    maps = Maps([str(path)], ["GACU"], "rna", Pairwise(target="distance"))
    maps.check(0)
    return maps[0].tolist()


def read_structure(path):
    chain = read_chain(path, None, "rna")
    return [
        (
            f"{r.number}{r.insertion}" if r.label is None else str(r.label),
            [tuple(xyz) for xyz in r.atoms.tolist()],
        )
        for r in chain.residues
    ]


#: Kind: file name, bytes (or a function of a folder), reader, reference reader.
KINDS = {
    "bpseq": ("x.bpseq", "Organism: x\n1 G 4\n2 A 0\n3 A 0\n4 C 1\n", records, ref_bpseq),
    "ct": (
        "x.ct",
        "4 x\n1 G 0 2 4 1\n2 A 1 3 0 2\n3 A 2 4 0 3\n4 C 3 0 1 4\n"
        "3 y\n1 G 0 2 3 1\n2 A 1 3 0 2\n3 C 2 0 1 3\n",
        records,
        ref_ct,
    ),
    "dbn": ("x.dbn", ">x\nGGAAA CC\n((... ))\n>y\nGAAAC\n(...) (-1.20)\n", records, ref_dbn),
    "csv": ("x.csv", TABLE, records, ref_csv),
    "csv.gz": ("x.csv.gz", gzip.compress(TABLE.encode(), mtime=0), records, ref_csv),
    "parquet": ("x.parquet", parquet_bytes(), records, ref_parquet),
    "npz": ("x.npz", npz_bytes(), records, ref_npz),
    "lmdb": ("x.lmdb", lmdb_bytes, records, ref_lmdb),
    "fasta": ("x.fasta", ">a x\nACGU\n>b y\nGG\nCC\n", records, None),
    "txt": ("x.txt", "p1\tr1\t1\nr2\tp2\t0\np2\tr1\t1\n", read_pairs, ref_pairs),
    "npy": ("x.npy", npy_bytes(), read_map, ref_npy),
    "cif": ("x.cif", CIF, read_structure, ref_cif),
    "pdb": ("x.pdb", PDB, read_structure, ref_pdb),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_right_or_named(tmp_path, kind):
    name, data, read, reference = KINDS[kind]
    data = data(tmp_path) if callable(data) else data
    data = data if isinstance(data, bytes) else data.encode()
    path = put(tmp_path / name, data)
    whole = read(path)
    assert whole
    assert reference is None or whole == reference(path)
    rng = np.random.default_rng(0)
    for number in range(MUTATIONS):
        damage = DAMAGE[number % len(DAMAGE)]
        path = put(tmp_path / name, damage(data, rng))
        try:
            found = read(path)
        except TaskDataError as error:
            if str(path) not in str(error):
                raise
        else:
            # Or the damage is to what nobody reads: all is as before.
            if reference is not None and found != whole:
                assert same(found, reference(path)), (number, damage.__name__)


def same(a, b):
    """Equal, a NaN being equal to itself."""
    return repr(a) == repr(b) or a == b


# Odd files that are whole ------------------------------------------------------------------------

STRUCTURES = {
    "blanks in both lines": ("x.dbn", "GGGAAAACCC GGG\n(((....))) ...\n", [("GGGAAAACCCGGG", 0)]),
    "blanks in one line": ("x.dbn", ">a\nGGG AAA CCC\n(((...)))\n", [("GGGAAACCC", 0)]),
    "an energy after blanks": ("x.dbn", "GG AA CC\n(( .. )) ( -1.20)\n", [("GGAACC", 0)]),
    "an energy": ("x.dbn", "GGAACC\n((..)) (-1.20)\nGAC\n(.) -0.5\n", [("GGAACC", 0), ("GAC", 1)]),
    "two of one sequence": (
        "x.ct",
        "3 a\n1 G 0 2 3 1\n2 A 1 3 0 2\n3 C 2 0 1 3\n\n"
        "3 a\n1 G 0 2 0 1\n2 A 1 3 0 2\n3 C 2 0 0 3\n",
        [("GAC", 0), ("GAC", 1)],
    ),
    "of two lengths": (
        "x.ct",
        "# mfold\n2 dG = -1\n1 G 0 2 0 1 0 0\n2 A 1 0 0 2 0 0\n1 b\n1 C 0 0 0 1\n",
        [("GA", 0), ("C", 1)],
    ),
    "header lines": ("x.bpseq", "Filename: x\nOrganism: 5S\n\n1 G 2\n2 C 1\n", [("GC", 0)]),
    "a comment": ("x.bpseq", "# x\n1 G 2\n2 C 1\n", [("GC", 0)]),
}


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("case", STRUCTURES)
def test_odd_structure_files(tmp_path, case, folder):
    name, text, expected = STRUCTURES[case]
    path = put(tmp_path / "s" / name, text)
    source = TaskData(path=str(path))
    found = list(base_pairs.read(source, str(path.parent if folder else path)))
    assert [(r.sequence, i) for i, r in enumerate(found)] == expected
    assert len({r.name for r in found}) == len(found)


MALFORMED = {
    "more brackets than residues": ("x.dbn", "GGAACC\n((..)).\n", "line 2: not the dot-bracket of"),
    "fewer brackets": ("x.dbn", "GGAACC\n((.).)) \n", "line 2: not the dot-bracket of the 6"),
    "no energy after it": ("x.dbn", "GGAACC\n((..)) ()\n", "line 2: not the dot-bracket"),
    "an open bracket": ("x.dbn", "GGAACC\n((...)\n", "line 2: '\\(' at position 1 is not closed"),
    "a residue too many": (
        "x.ct",
        "1 x\n1 G 0 2 0 1\n2 A 1 0 0 2\n",
        "line 3: more residues than the title's 1",
    ),
    "the second is cut": ("x.ct", "1 x\n1 G 0 0 0 1\n2 x\n1 G 0 2 0 1\n", "1 residues, the title"),
    "a superscript": ("x.bpseq", "1 G ²\n", "line 1: not a residue"),
    "a header alone": ("x.bpseq", "Filename: x\n", "no residue"),
    "latin-1": ("x.bpseq", b"# x\n1 G 0\n2 \xe9 0\n", "line 3: not readable text .*0xe9"),
    "latin-1 in a table": ("x.csv", b"sequence,label\nA,b\nG,\xe9\n", "line 3: not readable text"),
    "UTF-16": ("x.csv", "sequence,label\n".encode("utf-16"), "line 1: not readable text"),
    "an open quote": ("x.csv", 'sequence,label\nA,"b\nG,c\nC,d\n', "line 4: unexpected end"),
    "a quote inside": ("x.csv", 'sequence,label\nA,"b"c\n', "line 2: ',' expected after '\"'"),
    "a column twice": ("x.csv", "sequence,label,label\nA,b,c\n", r"given twice: \['label'\]"),
    "two quotes in a .tsv": (
        "x.tsv",
        'sequence\tlabel\tname\nA\tb\tfine\n"G\tb\tx\nC"\tb\ty\n',
        "lines 3 to 4: one row, since a field begins with a quote",
    ),
    "no such column, no row": ("x.csv", "sequence\n", r"columns missing: \['label'\]"),
    "not 68 columns": ("x.npz", "npz", "data is .*wanted"),
}


def test_a_field_may_be_a_genome(tmp_path):
    path = put(tmp_path / "x.csv", f"sequence,label\n{'A' * 200_000},b\n")
    assert [len(sequence) for sequence, *_ in records(path)] == [200_000]


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_named(tmp_path, case):
    name, data, message = MALFORMED[case]
    if data == "npz":
        buffer = io.BytesIO()
        np.savez(buffer, pdbids=np.array(["a"]), data=np.ones((1, 3, 60), np.float32))
        data = buffer.getvalue()
    path = put(tmp_path / name, data)
    with pytest.raises(TaskDataError, match=message) as error:
        records(path)
    assert str(path) in str(error.value)


def test_a_mark_and_line_ends_change_nothing(tmp_path):
    plain = records(put(tmp_path / "x.csv", TABLE))
    for text in (f"\ufeff{TABLE}", TABLE.replace("\n", "\r\n"), TABLE.replace("\n", "\r")):
        assert records(put(tmp_path / "y.csv", text)) == plain


def test_text_that_a_parquet_file_does_not_mark_as_text(tmp_path):
    rows = {"sequence": [b"ACGU"], "label": [b"a"], "split": ["train"]}
    pl.DataFrame(rows).write_parquet(tmp_path / "x.parquet")
    assert records(tmp_path / "x.parquet") == [("ACGU", "", "a", "train")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 4), np.inf), r"x.npy: \[0, 0\] is inf, not a distance"),
        (np.full((4, 4), 1j), "x.npy: not a readable NumPy map .*complex"),
        (np.zeros((3, 4)), r"a map of \(3, 4\) for a sequence of 4"),
    ],
)
def test_maps_that_are_none(tmp_path, values, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ValueError, match=message):
        read_map(tmp_path / "x.npy")


def test_an_id_with_two_sequences_is_refused(tmp_path):
    path = put(tmp_path / "x.txt", "p1 r1 1\n")
    read_pairs(path)
    put(tmp_path / "rna.fa", ">r1\nGGAC\n>r1 again\nGGAC\n>r1\nGGAA\n")
    files = {"fasta": str(tmp_path / "rna.fa"), "fasta_b": str(tmp_path / "protein.fa")}
    with pytest.raises(TaskDataError, match=r"rna.fa: record 3: another sequence with the id r1"):
        records(path, **files)


def test_databases_of_every_depth_are_those_of_the_library(tmp_path):
    """Branch pages, values of many sizes, deleted and rewritten keys."""
    rng = np.random.default_rng(0)
    path = tmp_path / "x.lmdb"
    with lmdb.open(str(path), map_size=1 << 26) as database:
        for _ in range(3):
            with database.begin(write=True) as transaction:
                for i in rng.integers(0, 5000, 3000):
                    value = rng.bytes(int(rng.choice([0, 1, 100, 2000, 9000])))
                    transaction.put(str(i).encode(), value)
                for i in rng.integers(0, 5000, 500):
                    transaction.delete(str(i).encode())
        with database.begin() as transaction:
            expected = list(transaction.cursor())
    found = Database(path)
    assert [(key, found[key]) for key in found] == expected


ODD_NAMES = ("a[1] *?.x", "[b] 'q\"", "~", "c=d", "#%20")


@pytest.mark.parametrize("folder", ODD_NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_paths_are_taken_literally(tmp_path, kind, folder):
    name, data, read, _ = KINDS[kind]
    data = data(tmp_path) if callable(data) else data
    plain = read(put(tmp_path / "plain" / name, data))
    odd = put(tmp_path / folder / name.replace("x.", f"{folder}."), data)
    # What a pattern would match beside it.
    put(tmp_path / folder / name.replace("x.", "a1 zz.x."), b"another file")
    assert read(odd) == plain


def test_the_labels_of_a_table_in_an_odd_folder(tmp_path):
    folder = tmp_path / "[a] [b]*"
    put(folder / "m 1.npy", npy_bytes())
    put(folder / "1.cif", CIF)
    rows = "".join(
        f"GACU{c},{name},{split}\n"
        for c, name, split in (
            ("", "m 1.npy", "train"), ("", "1.cif:A", "train"),
            ("C", "one more.npy", "valid"), ("G", "one more.npy", "test"),
        )
    )  # fmt: skip
    np.save(folder / "one more.npy", np.zeros((5, 5)))
    table = put(folder / "t.csv", f"sequence,label,split\n{rows}")
    task = Task(kind="pairwise", data={"path": str(table)}, pairwise={"target": "distance"})
    maps = make_targets(task, read_task(task, "rna").frame, "rna").rows
    assert maps[0][0, 3] == 3
    assert maps[1][0, 1] == 4


# Tasks that cannot be learnt or measured ---------------------------------------------------------


def token_rows(train, valid, test):
    return f"GACU,{train},train\nGACC,{train},train\nGGAC,{valid},valid\nGCCA,{test},test\n"


UNUSABLE = {
    "one class": ("class", token_rows("a", "a", "a"), "the train split has one class only, 'a'"),
    "one class of pairs": ("pair", token_rows("a", "a", "a"), "train split has one class only"),
    "one class of residues": ("token", token_rows("HHH-", "HHHH", "HHHH"), "one class only, 'H'"),
    "test is unknown": ("token", token_rows("HHEE", "HHEE", "----"), "no label of the test split"),
    "valid is unknown": ("token", token_rows("HHEE", "x?x?", "HHEE"), "no label of the valid"),
    "train is unknown": ("token", token_rows("----", "----", "----"), "no label of the train"),
    "test maps are unknown": ("pairwise", token_rows("m.npy", "m.npy", "nan.npy"), "of the test"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(folder, *build_model("tiny", "rna", 0))
    return folder


@pytest.mark.parametrize("case", UNUSABLE)
def test_every_row_refuses_an_unusable_task_alike(tmp_path, checkpoint, case):
    kind, rows, message = UNUSABLE[case]
    np.save(tmp_path / "m.npy", np.eye(4))
    np.save(tmp_path / "nan.npy", np.full((4, 4), np.nan))
    data = {"path": str(put(tmp_path / "t.csv", f"sequence,label,split\n{rows}"))}
    if kind == "pair":
        data["sequence_b"] = "sequence"
    classes = ["E", "H"] if kind == "token" else None
    task = Task(kind=kind, data=data, classes=classes, pairwise={"target": "distance"})
    errors = []
    for run in (
        lambda: baseline(task, "rna"),
        lambda: evaluate_task(
            checkpoint, task, "rna", [0], 2048, torch.device("cpu"), tmp_path / "store"
        ),
    ):
        with pytest.raises(TaskDataError, match=message) as error:
            run()
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    assert errors[0].startswith(f"{tmp_path / 't.csv'}: ")


@pytest.mark.parametrize("rule", ["baseline", "evaluate"])
def test_the_scripts_name_the_task(tmp_path, checkpoint, root, monkeypatch, rule):
    path = put(tmp_path / "t.csv", f"sequence,label,split\n{token_rows('a', 'a', 'a')}")
    monkeypatch.setattr("coresift.dag.logs.start", lambda log: None)
    params = SimpleNamespace(
        threads=1,
        task={"kind": "class", "data": {"path": str(path)}}, modality="rna", seeds=[0],
        tokens_per_batch=2048, precision="float32", device="cpu", store=str(tmp_path / "store"),
        work=str(tmp_path / "work"), content=[],
    )  # fmt: skip
    job = SimpleNamespace(
        rule=f"{rule}_my_task", log=["log"], params=params,
        resources=SimpleNamespace(checkpoint_steps=100),
        input=SimpleNamespace(checkpoint=str(checkpoint)),
        wildcards=SimpleNamespace(baseline="kmer"),
    )  # fmt: skip
    with pytest.raises(TaskDataError, match=r"^task my_task: .*t.csv: the train split has one"):
        runpy.run_path(str(root / f"workflow/scripts/{rule}.py"), {"snakemake": job})


def test_shared_cases(shared_cases):
    def found(name):
        return records(shared_cases / name)

    ((sequence, _, label, _),) = found("blocks_of_ten.dbn")
    assert (len(sequence), label) == (20, "(((....)))(((....)))")
    assert found("two_structures.ct") == [
        ("GGGAAAUCCC", "", label, None)
        for label in (mutual([10, 9, 8, 0, 0, 0, 0, 3, 2, 1]), mutual([10, 9, *6 * [0], 2, 1]))
    ]
    ((_, _, label, _),) = found("header_lines.bpseq")
    assert label == mutual([10, 9, 8, 0, 0, 0, 0, 3, 2, 1])
    task = Task(kind="class", data={"path": str(shared_cases / "single_class.csv")})
    with pytest.raises(
        TaskDataError, match=r"single_class.csv: the train split has one class only"
    ):
        baseline(task, "rna")
