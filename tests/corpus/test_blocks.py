"""The block parser gives the records of a plain one, whatever the file and the block size."""

import re

import fasta_reference
import polars as pl
import pyarrow as pa
import pytest
from coresift.corpus import fasta as module
from coresift.corpus.blocks import blocks_of, hash_words, hexadecimal, sequence_id
from coresift.corpus.fasta import read_blocks
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits, normalise, reject_reason
from coresift.corpus.tables import PART, REJECT
from coresift.tables import list_array, read_arrow, read_table, text_array
from hypothesis import example, given, settings
from hypothesis import strategies as st

LIMITS = Limits(min_length=3, max_length=12, max_ambiguous=0.3)
#: Lines of FASTA as files in the wild have them.
LINES = st.one_of(
    st.text("ACGTacgtuNn", max_size=9),
    st.sampled_from([">", "> ", ">a", "> b text", ">c>d\tx", "#comment", "", " AC", "A C", "A>C",
                     "AC*", "MK*", "*", "A\tC", "é", ">é", ">a é", "\ufeff>a", "1 AC GU 5", "7",
                     "1 >A", "60 60", "A\x00C", ">\x01a", "#>a", "AC-GU..", "MKVLW" * 2]),
)  # fmt: skip


def judged(path, modality):
    """Accepted (id, sequence) and rejected (record, id, reason, detail), record by record."""
    accepted, rejected = [], []
    for number, (_, name, raw) in enumerate(fasta_reference.parse(path.read_bytes()), start=1):
        name = name or f"record_{number}"
        sequence = normalise(raw.decode("ascii", "replace"), modality)
        reason = reject_reason(sequence, modality, LIMITS)
        if reason is None:
            accepted.append((name, sequence))
        else:
            rejected.append((number, name, *reason))
    return accepted, rejected


def ingested(path, folder, modality):
    """The same by `ingest`, into one bucket."""
    ingest(path, "x", [folder / "p"], folder / "r", modality, LIMITS, 4, 40)
    rows = records_of(folder / "p")
    rejects = read_table(folder / "r", REJECT)
    return (
        rows,
        rejects.select("record", "source_id", "reason", "detail").rows(),
    )


def records_of(part):
    """(id, sequence) of an Arrow file."""
    return pl.DataFrame(read_arrow([part], PART)).select("source_id", "sequence").rows()


def outcome(parse, *arguments):
    """What it returns, or the line or cause of the error."""
    try:
        return parse(*arguments)
    except ValueError as error:
        return re.search(r"line \d+|empty file", str(error))[0]


@settings(max_examples=300)
@given(
    st.lists(LINES, max_size=30),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.integers(4, 60),
    st.sampled_from(["rna", "protein"]),
)
@example([">a", "ACGU", ">b", "MK*", ">c"], "\n", False, 5, "protein")
def test_blocks_equal_records(tmp_path_factory, lines, newline, last, size, modality):
    folder = tmp_path_factory.mktemp("blocks")
    path = folder / "x.fa"
    path.write_bytes((newline.join(lines) + newline * last).encode())
    expected = outcome(judged, path, modality)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", size)
        assert outcome(ingested, path, folder, modality) == expected


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_file_is_cut_whatever_ends_its_lines(tmp_path, monkeypatch, newline):
    monkeypatch.setattr(module, "BLOCK_BYTES", 1000)
    path = tmp_path / "x.fa"
    path.write_text(f">a{newline}ACGU{newline}" * 1000, newline="")
    sizes = [len(block.text) for block in read_blocks(path)]
    assert len(sizes) >= 8
    assert max(sizes) < 2000


@pytest.mark.parametrize(
    ("text", "reads_records"),
    [
        (b">a b c\nACGU\nACG\n>b\n\nGGU", False),
        (b">\nACGU\n", False),
        (b">a>b # x\nACGU\n", False),
        (b">a\nAC GU\n", True),
        (b"> a\nACGU\n", True),
        (b">a\n#b\nACGU\n", True),
        (b">a\nACGU \n", True),
        (b">a \xe9\nACGU\n>b \xc3\xa9\nA\n", False),
        (b">\xe9 a\nACGU\n", True),
        (b"\xef\xbb\xbf>a\nACGU\n", True),
    ],
)
def test_only_odd_text_is_read_record_by_record(tmp_path, monkeypatch, text, reads_records):
    path = tmp_path / "x.fa"
    path.write_bytes(text)
    calls = []
    rewritten = module._rewritten
    monkeypatch.setattr(module, "_rewritten", lambda text: calls.append(1) or rewritten(text))
    found = [
        (block.header(i), block.identifier(i), block.sequence(i).encode())
        for block in read_blocks(path)
        for i in range(len(block))
    ]
    assert bool(calls) == reads_records
    assert found == fasta_reference.parse(text)


@settings(max_examples=50)
@given(st.lists(st.text("ACGU", max_size=300), min_size=1, max_size=9), st.integers(1, 65536))
def test_digests_and_blocks_are_those_of_single_sequences(sequences, n_blocks):
    ends = pl.Series([len(s) for s in sequences]).cum_sum().to_numpy()
    starts = ends - [len(s) for s in sequences]
    words = hash_words(bytearray("".join(sequences), "ascii"), starts, ends)
    ids = [sequence_id(s) for s in sequences]
    assert hexadecimal(words).to_pylist() == ids
    expected = [int(i[:4], 16) * n_blocks // 65536 for i in ids]
    assert blocks_of(words[:, 0], n_blocks).tolist() == expected


def test_block_and_chunk_sizes_do_not_change_a_row(tmp_path, root, monkeypatch):
    tables = []
    for block, chunk in ((4 << 20, 64 << 20), (1000, 1), (70_000, 100_000)):
        monkeypatch.setattr(module, "BLOCK_BYTES", block)
        folder = tmp_path / f"{block}"
        parts = [folder / f"{b}.arrow" for b in range(3)]
        source = root / "resources/demo/rna_1.fasta.gz"
        limits = Limits(30, 1022, 0.1)
        counts = ingest(source, "rna_1", parts, folder / "rejects", "rna", limits, 32, chunk)
        rows = [read_arrow([part], PART).to_pylist() for part in parts]
        tables.append((counts, rows, (folder / "rejects").read_bytes()))
    assert tables[0] == tables[1] == tables[2]
    assert sum(map(len, tables[0][1])) == tables[0][0]["accepted"] > 1000


def test_stops_empty_ids_and_record_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8)
    path = tmp_path / "x.fa"
    path.write_text(">\nMKV*\n>b\nMK1V\n>\nMKVW**\n>d\n*\n")
    counts = ingest(path, "x", [tmp_path / "p"], tmp_path / "r", "protein", LIMITS, 4, 1)
    assert counts["rejected"] == {"letters": 1, "no_sequence": 1}
    assert records_of(tmp_path / "p") == [("record_1", "MKV"), ("record_3", "MKVW")]
    rejects = read_table(tmp_path / "r", REJECT)
    assert rejects.select("record", "source_id", "reason").rows() == [
        (2, "b", "letters"),
        (4, "d", "no_sequence"),
    ]


def test_column_builders():
    spans = pl.DataFrame(
        {"start": [1, 1, 3, 8], "end": [1, 3, 6, 9]},
        schema_overrides=dict.fromkeys(["start", "end"], pl.Int64),
    )
    rows = pl.Series([3, 0, 2]).to_numpy()
    made = text_array(b"-abcdef-x", spans["start"].to_numpy(), spans["end"].to_numpy(), rows)
    assert made.to_pylist() == ["x", "", "cde"]
    offsets = pl.Series([0, 0, 3, 4], dtype=pl.Int64).to_numpy()
    words = pa.array(["", "a", "bcd", "e"])
    assert list_array(offsets, words).to_pylist() == [[], ["", "a", "bcd"], ["e"]]
