"""The embedded data are what their README says."""

import hashlib
import importlib.util
import re
import shutil
from collections import Counter

import pytest
from coresift.corpus.fasta import read_fasta


def test_checksums_and_size(root):
    folder = root / "resources/demo"
    rows = re.findall(r"^\| ([0-9a-f]{64}) \| (\S+) \|$", (folder / "README.md").read_text(), re.M)
    assert len(rows) == 7
    for digest, name in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert sum((folder / name).stat().st_size for _, name in rows) < 4 << 20


def test_odd_material_is_there(root):
    records = [
        (header, sequence)
        for n in (1, 2)
        for _, header, sequence in read_fasta(root / f"resources/demo/rna_{n}.fasta.gz")
    ]
    sequences = [s.upper() for _, s in records]
    assert any(s.islower() for _, s in records)
    assert any(set(s) - set("ACGTN") for s in sequences)
    assert max(Counter(sequences).values()) > 1
    assert min(map(len, sequences)) < 30
    assert max(map(len, sequences)) > 1022
    ids = {header.split()[0] for header, _ in records}
    leaks = (root / "resources/demo/planted_leaks.tsv").read_text().splitlines()[1:]
    assert len(leaks) == 60
    assert all(line.split("\t")[0] in ids for line in leaks)


def test_amplicons_and_planted_errors(root):
    folder = root / "resources/demo"
    families = {"16S_V4": [], "18S_V9": [], "23S_PTC": []}
    parents = set()
    for _, header, sequence in read_fasta(folder / "rna_amplicons.fasta.gz"):
        families[re.search(r" family=(\S+)", header)[1]].append(sequence.upper())
        parents.add(header.split("/")[0])
    assert {name: len(reads) for name, reads in families.items()} == {
        "16S_V4": 7000, "18S_V9": 900, "23S_PTC": 500,
    }  # fmt: skip
    # Reads of a family start at one place: columns near the start are conserved.
    for reads in families.values():
        columns = [Counter(column).most_common(1)[0][1] for column in zip(*reads, strict=False)]
        assert sum(most > 0.9 * len(reads) for most in columns[:10]) >= 4
    labels, splits = Counter(), Counter()
    for _, header, sequence in read_fasta(folder / "rna_errors.fasta.gz"):
        accession, split, label = re.match(r"(\S+)/\S+ split=(\w+) errors=(\w+)$", header).groups()
        assert accession not in parents
        assert len(label) == len(sequence) == 100
        labels.update(label)
        splits[split] += 1
    assert splits.keys() == {"train", "valid", "test"}
    assert set(labels) == {"r", "e"}
    assert 0.11 < labels["e"] / labels.total() < 0.14


def test_remade_byte_for_byte(root, tmp_path):
    path = root / "resources/demo/make_demo_data.py"
    spec = importlib.util.spec_from_file_location("make_demo_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = (module.BLAST / "SSURef_93.fasta.nsq", module.PROTEINS)
    if shutil.which("blastdbcmd") is None or not all(file.is_file() for file in data):
        pytest.skip("needs the Debian packages ncbi-rrna-data, ncbi-blast+ and mmseqs2-examples")
    module.make_rna(tmp_path)
    module.make_protein(tmp_path)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (path.parent / made.name).read_bytes(), made.name
