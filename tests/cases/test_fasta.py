"""FASTA as it is in the world: odd files, the wrong modality, broken bytes."""

import gzip
import logging
import os
import random

import fasta_reference
import polars as pl
import pytest
from coresift.corpus import fasta as module
from coresift.corpus.fasta import CorpusError, read_fasta
from coresift.corpus.ingest import ingest
from coresift.corpus.modality import is_other
from coresift.corpus.normalise import Limits, normalise
from coresift.corpus.tables import PART, REJECT
from coresift.tables import read_arrow, read_table
from coresift.tasks.data import read_task
from coresift.tasks.readers.settings import LabelledData
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(min_length=5, max_length=1000, max_ambiguous=0.1)
#: `CORESIFT_EXAMPLES=2000 pytest tests/cases` looks further.
EXAMPLES = int(os.environ.get("CORESIFT_EXAMPLES", 200))
DNA = "".join(random.Random(0).choices("ACGT", k=60))
PROTEIN = "".join(random.Random(0).choices("ACDEFGHIKLMNPQRSTVWY", k=60))


def taken(path, folder, modality="rna"):
    """Report, {id: sequence} of the accepted and rejects of `ingest`."""
    report = ingest(path, "x", [folder / "p"], folder / "r", modality, LIMITS, 4, 1 << 20)
    part = pl.DataFrame(read_arrow([folder / "p"], PART))
    return report, dict(part.select("source_id", "sequence").rows()), read_table(
        folder / "r", REJECT
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xef\xbb\xbf>a\nACGUA\n", {"a": "ACGUA"}),
        (b">a\nACGUA\n\xef\xbb\xbf>b\nACGUC\n", {"a": "ACGUA", "b": "ACGUC"}),  # two files joined
        (b">a Esp\xe8ce\nACGUA\n", {"a": "ACGUA"}),
        (b">a 3\xe2\x80\xb25\xe2\x80\xb2\nACGUA\n", {"a": "ACGUA"}),
        (b">\xe8a b\nACGUA\n", {"\\xe8a": "ACGUA"}),
        (">é1 b\nACGUA\n".encode(), {"é1": "ACGUA"}),
        (b">a\nACG UAC\tGUA \n AC\n", {"a": "ACGUACGUAAC"}),
        (b">a\n        1 acgua cguac\n       11 acg\n", {"a": "ACGUACGUACACG"}),
        (b">a\n     acgua cguac        10\n     acg    13\n", {"a": "ACGUACGUACACG"}),
        (b">a\rACGUA\r>b\rACGUC\r", {"a": "ACGUA", "b": "ACGUC"}),
        (b">a\x01b c\nACGUA\n", {"a": "ACGUA"}),
    ],
)
def test_odd_records_are_read(tmp_path, text, expected):
    path = tmp_path / "x.fa"
    path.write_bytes(text)
    report, found, _ = taken(path, tmp_path)
    assert found == expected
    assert report["rejected"] == {}


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        (b"ACGU1ACGU", "letters"),
        (b"1ACGUACGU", "letters"),
        (b"40 40 37 40", "letters"),  # qualities
        (b"12", "letters"),
        (b"ACGU\xe9ACGU", "letters"),
        (b"ACG\x00UACG", "letters"),
        (b"1 >ACGUACGU", "letters"),
        (b"AC-GU..ACGU", "aligned"),
        (b"AC-GU*ACGU", "letters"),
    ],
)
def test_what_is_not_sequence_rejects_its_record_alone(tmp_path, sequence, reason):
    path = tmp_path / "x.fa"
    path.write_bytes(b">a\nACGUA\n>b x\n" + sequence + b"\n>c\nACGUC\n")
    report, found, rejects = taken(path, tmp_path)
    assert found == {"a": "ACGUA", "c": "ACGUC"}
    assert rejects.select("record", "source_id", "reason").rows() == [(2, "b", reason)]
    assert report["first_rejected"][reason].startswith("record 2 (b): ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\n#x\nhello\n>a\nACGU\n", r"line 3: .* not b'hello'"),
        ("﻿>a\nACGU\n".encode("utf-16-le"), r"line 1 begins as UTF-16"),
        (b"@r\nACGU\n+\nIIII\n", r"line 1 begins as FASTQ does: b'@r'"),
        (b"# STOCKHOLM 1.0\na AC-GU\n", r"line 1 begins as an alignment in Stockholm format"),
        (b"CLUSTAL W\n\na AC-GU\n", r"line 1 begins as an alignment in Clustal format"),
        (b"LOCUS       A\n", r"line 1 begins as GenBank"),
        (b"\n\n# nothing\n", "empty file"),
    ],
)
def test_what_is_not_fasta_is_named(tmp_path, text, message):
    path = tmp_path / "x.fa"
    path.write_bytes(text)
    with pytest.raises(CorpusError, match=rf"x\.fa: .*{message}"):
        list(read_fasta(path))


def test_record_numbers_are_those_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    path = tmp_path / "x.fa"
    path.write_text("".join(f">r{i} é\nACG UACGU{'!' * (i == 321)}\n" for i in range(400)))
    _, _, rejects = taken(path, tmp_path)
    assert rejects.select("record", "source_id").rows() == [(322, "r321")]
    packed = gzip.compress(path.read_bytes())
    path = tmp_path / "x.fa.gz"
    path.write_bytes(packed[:-4])
    with pytest.raises(CorpusError, match=r"x\.fa\.gz: truncated .* somewhere after record \d+"):
        list(read_fasta(path))


@pytest.mark.parametrize(
    ("name", "modality", "ids"),
    [
        ("bom", "rna", ["A1", "A2"]),
        ("latin1", "rna", ["A1", "B1"]),
        ("quote", "rna", ["A1", "A2"]),
        ("spaced", "rna", None),
    ],
)
def test_shared_cases(shared_cases, tmp_path, name, modality, ids):
    report, found, _ = taken(shared_cases / f"{name}.fasta", tmp_path, modality)
    assert report["accepted"] == report["records"] == len(found) > 1
    assert ids is None or sorted(found) == ids
    raw = (shared_cases / f"{name}.fasta").read_bytes().splitlines()
    letters = sum(len(line.replace(b" ", b"")) for line in raw if b">" not in line)
    assert sum(map(len, found.values())) == letters


def test_an_alignment_is_said_to_be_one(shared_cases, tmp_path, caplog):
    path = shared_cases / "aligned.fasta"
    report, found, rejects = taken(path, tmp_path)
    assert not found
    assert report["rejected"] == {"aligned": report["records"]}
    assert "an alignment, not sequences; remove the gaps" in rejects["detail"][0]
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith(f"{path}: 20 of 20 records rejected; aligned: 20, first record 1")


def bgzip(text, size):
    """Blocks of bgzip, without the empty one at the end."""
    blocks = []
    for start in range(0, len(text), size):
        block = gzip.compress(text[start : start + size], mtime=0)
        field = b"\x06\x00BC\x02\x00" + (len(block) + 7).to_bytes(2, "little")
        blocks.append(block[:3] + b"\x04" + block[4:10] + field + block[10:])
    return b"".join(blocks)


@pytest.mark.parametrize(("end", "warned"), [(b"", True), (module._BGZIP_END, False)])
def test_a_bgzip_file_without_its_end_is_warned_of(tmp_path, caplog, end, warned):
    path = tmp_path / "x.fa.gz"
    path.write_bytes(bgzip(b">a\nACGUA\n" * 50, 99) + end)
    assert len(list(read_fasta(path))) == 50
    assert ("x.fa.gz: the block that ends a bgzip file is missing" in caplog.text) == warned


def test_the_shared_bgzip_file_is_warned_of(shared_cases, caplog):
    records = list(read_fasta(shared_cases / "bgzip_cut_at_block.fasta.gz"))
    assert records
    assert f"bgzip_cut_at_block.fasta.gz: {'the block that ends a bgzip file'}" in caplog.text


def write(path, records):
    path.write_text("".join(f">r{i}\n{sequence}\n" for i, sequence in enumerate(records)))
    return path


#: Modality, records, and what is said: an error, a warning or nothing.
MODALITIES = {
    "DNA": ("protein", [DNA] * 20, "refused"),
    "RNA": ("protein", [DNA.replace("T", "U").lower()] * 20, "refused"),
    "little DNA": ("protein", [DNA] * 10, "warned"),
    "some DNA": ("protein", [PROTEIN] * 50 + [DNA] * 50, "warned"),
    "proteins": ("protein", [PROTEIN] * 20, None),
    "an odd peptide": ("protein", [PROTEIN] * 200 + ["GAGAGTCN" * 8], None),
    "short peptides": ("protein", ["GAGAGTC"] * 400, None),
    "proteins as RNA": ("rna", [PROTEIN] * 20, "refused"),
    "aligned proteins as RNA": ("rna", [PROTEIN[:30] + "-" * 9 + PROTEIN[30:]] * 20, "refused"),
    "few proteins as RNA": ("rna", [DNA] * 50 + [PROTEIN] * 2, "warned"),
    "modified RNA": ("rna", [DNA + "IPIF"] * 40, None),
    "ambiguous RNA": ("rna", ["ACGURYKM" * 9] * 40, None),
}


@pytest.mark.parametrize(("modality", "records", "said"), MODALITIES.values(), ids=MODALITIES)
def test_wrong_modality(tmp_path, caplog, modality, records, said):
    path = write(tmp_path / "x.fa", records)
    other = {"protein": "nucleotides", "rna": "proteins"}[modality]
    if said == "refused":
        with pytest.raises(CorpusError, match=rf"x\.fa: 20 of 20 .*100\.0%.* {other}; modality is"):
            taken(path, tmp_path, modality)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fa"]
    else:
        report, _, _ = taken(path, tmp_path, modality)
        assert any(other in text for text in report["problems"]) == (said == "warned")
        assert (f"look like {other}" in caplog.text) == (said == "warned")


def test_dna_as_protein_of_the_shared_cases(shared_cases, tmp_path):
    report, _, _ = taken(shared_cases / "dna_as_protein.fasta", tmp_path, "protein")
    assert "10 of 10 records (100.0%) look like nucleotides" in report["problems"][0]


def test_real_pools_are_of_their_modality(shared_data):
    pools = {"rna": ("rna_pool/rfam14_2_seed", "rna_pool/gtrnadb"),
             "protein": ("protein_pool/uniprot_mmseqs2_db",)}  # fmt: skip
    for modality, names in pools.items():
        for name in names:
            rows = (
                normalise(s, modality) for _, _, s in read_fasta(shared_data / f"{name}.fasta.gz")
            )
            assert not any(is_other(sequence, modality) for sequence in rows)


def test_tasks_read_fasta_by_the_same_reader(tmp_path):
    path = tmp_path / "t.fa"
    rows = [f">s{i} Espèce label=c{i % 2} split={s}\nACG UAC G{'ACGU'[i]}\n".encode("latin-1")
            for i, s in enumerate(["train", "train", "test", "valid"])]  # fmt: skip
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(rows))
    data = {"path": str(path), "label_regex": r"label=(\w+)", "split_regex": r"split=(\w+)"}
    frame = read_task(LabelledData(kind="class", data=data), "rna").frame
    assert frame["sequence"].to_list() == [f"ACGUACG{c}" for c in "ACGU"]
    pairs = tmp_path / "p.txt"
    pairs.write_text("s0 s1 1\ns2 s3 0\ns0 s3 1\n")
    data = {"path": str(pairs), "fasta": str(path), "fasta_b": str(path),
            "draw": {"test": 1, "valid": 1}}  # fmt: skip
    assert read_task(LabelledData(kind="pair", data=data), "rna").frame.height == 3


PIECES = st.one_of(
    st.text("ACGUacgtN", min_size=1, max_size=30).map(str.encode),
    st.sampled_from([b">a", b">b text", b"> c", b">\xe9 x", b">d \xc3\xa9", b"", b"#x", b"1 ACGU",
                     b"ACGU ACGU 9", b"\xef\xbb\xbf>e", b"AC--GU"]),
)  # fmt: skip


@st.composite
def mutated(draw):
    """A FASTA file after a few accidents; the name says whether it is compressed."""
    lines = [b">first", *draw(st.lists(PIECES, max_size=20))]
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    packed = draw(st.booleans())
    accidents = draw(
        st.sets(st.sampled_from(["swap", "cut", "flip", "insert", "utf-16"]), max_size=2)
    )
    if "swap" in accidents:
        lines = draw(st.permutations(lines))
    data = newline.join(lines) + newline * draw(st.booleans())
    if "utf-16" in accidents:
        data = data.decode("latin-1").encode("utf-16")
    data = gzip.compress(data, mtime=0) if packed else data
    if "cut" in accidents:
        data = data[: draw(st.integers(0, len(data)))]
    if "flip" in accidents and data:
        place = draw(st.integers(0, len(data) - 1))
        bit = 1 << draw(st.integers(0, 7))
        data = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    if "insert" in accidents:
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(min_size=1, max_size=4)) + data[place:]
    return data, "x.fa.gz" if packed else "x.fa"


@settings(max_examples=EXAMPLES)
@given(mutated(), st.integers(1, 40))
def test_broken_bytes_give_the_records_or_an_error(tmp_path_factory, file, size):
    data, name = file
    path = tmp_path_factory.mktemp("broken") / name
    path.write_bytes(data)
    try:
        expected = fasta_reference.parse(fasta_reference.unpack(data, name))
    except ValueError:
        expected = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", size)
        if expected is None:
            with pytest.raises(CorpusError) as caught:
                list(read_fasta(path))
            assert str(caught.value).startswith(f"{path}: ")
            return
        found = list(read_fasta(path))
    rows = [(header, raw.decode("ascii", "replace")) for header, _, raw in expected]
    assert [(header, sequence) for _, header, sequence in found] == rows
    assert [number for number, _, _ in found] == list(range(1, len(rows) + 1))
