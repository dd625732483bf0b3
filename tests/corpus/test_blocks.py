"""The block parser gives the records of the record parser, whatever the file and the block size."""

import hashlib

import polars as pl
import pytest
from coresift.corpus import ingest as module
from coresift.corpus.ingest import CorpusError, ingest, read_fasta, read_normalised
from coresift.corpus.normalise import (
    Limits,
    normalise,
    normalise_joined,
    reject_reason,
    strip_trailing,
    suspects,
)
from coresift.io import PART, REJECT, list_series, read_table, string_series
from hypothesis import example, given, settings
from hypothesis import strategies as st

LIMITS = Limits(min_length=3, max_length=12, max_ambiguous=0.3)
#: Lines of FASTA as files in the wild have them.
LINES = st.one_of(
    st.text("ACGTacgtuNn", max_size=9),
    st.sampled_from([">", "> ", ">a", "> b text", ">c>d\tx", "#comment", "", " AC", "A C", "A>C",
                     "AC*", "MK*", "*", "A\tC", "é"]),
)  # fmt: skip


def outcome(records):
    """Ids and normalised sequences, or the error."""
    try:
        return list(records)
    except CorpusError as error:
        return str(error).split(":")[1].split(" after")[0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(LINES, max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(4, 60),
    st.sampled_from(["rna", "protein"]),
)
@example([">a", "ACGU", ">b", "MK*", ">c"], "\n", False, 5, "protein")
def test_blocks_equal_records(tmp_path_factory, lines, newline, last, size, modality):
    path = tmp_path_factory.mktemp("blocks") / "x.fa"
    path.write_bytes((newline.join(lines) + newline * last).encode())
    expected = outcome(
        ((h.split(maxsplit=1) or [""])[0], normalise(s, modality)) for _, h, s in read_fasta(path)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", size)
        found = outcome(
            (name.decode(), strip_trailing(sequence, modality).decode())
            for ids, text in read_normalised(path, modality)
            for name, sequence in zip(ids, text.split(b"\n"), strict=True)
        )
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ACGUNRT*x-", max_size=20), min_size=1, max_size=20))
def test_every_rejected_line_is_suspect(sequences):
    lines = normalise_joined(">".join(s + "\n" for s in sequences).encode(), "rna")
    assert lines.decode().split("\n") == [normalise(s, "rna") for s in sequences]
    found = set(suspects(lines, "rna", LIMITS).tolist())
    for i, line in enumerate(lines.decode().split("\n")):
        if reject_reason(line, "rna", LIMITS) is not None:
            assert i in found
    plain = [i for i, s in enumerate(sequences) if not set(s) - set("ACGTU") and 3 <= len(s) <= 12]
    assert not found & set(plain)


def test_block_and_chunk_sizes_do_not_change_a_byte(tmp_path, root, monkeypatch):
    digests = set()
    for block, chunk in ((4 << 20, 64 << 20), (1000, 1), (70_000, 100_000)):
        monkeypatch.setattr(module, "BLOCK_BYTES", block)
        folder = tmp_path / f"{block}"
        parts = [folder / f"{b}.parquet" for b in range(3)]
        source = root / "resources/demo/rna_1.fasta.gz"
        limits = Limits(30, 1022, 0.1)
        counts = ingest(source, parts, folder / "rejects", "rna", limits, 32, chunk)
        digest = hashlib.sha256(str(counts).encode())
        for path in (*parts, folder / "rejects"):
            digest.update(path.read_bytes())
        digests.add(digest.hexdigest())
    assert len(digests) == 1


def test_stops_empty_ids_and_record_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8)
    path = tmp_path / "x.fa"
    path.write_text(">\nMKV*\n>b\nMK1V\n>\nMKVW**\n>d\n*\n")
    counts = ingest(path, [tmp_path / "p"], tmp_path / "r", "protein", LIMITS, 4, 1)
    assert counts["rejected"] == {"letters": 1, "no_sequence": 1}
    rows = read_table(tmp_path / "p", PART).select("source_id", "sequence").sort("source_id").rows()
    assert rows == [("record_1", "MKV"), ("record_3", "MKVW")]
    rejects = read_table(tmp_path / "r", REJECT)
    assert rejects.select("record", "source_id", "reason").rows() == [
        (2, "b", "letters"),
        (4, "d", "no_sequence"),
    ]


def test_column_builders():
    words = ["", "a", "bcd", "e"]
    made = string_series("w", [word.encode() for word in words])
    assert made.equals(pl.Series("w", words))
    offsets = pl.Series([0, 0, 3, 4], dtype=pl.Int64).to_numpy()
    assert list_series("l", offsets, made).to_list() == [[], ["", "a", "bcd"], ["e"]]
