"""Sequences above the greatest length: windows, cropped or rejected."""

import numpy as np
import polars as pl
import pytest
from coresift.corpus import fasta as module
from coresift.corpus.blocks import sequence_id
from coresift.corpus.complexity import hard_masked, soft_masked
from coresift.corpus.dedup import deduplicate
from coresift.corpus.heldout import file_set
from coresift.corpus.ingest import ingest
from coresift.corpus.labels import by_label, by_table, group_sequences, label_records
from coresift.corpus.normalise import Limits, normalise, reject_reason
from coresift.corpus.outcome import counts_text
from coresift.corpus.summary import as_text, summarise
from coresift.corpus.tables import PART, REJECT, SEQUENCE
from coresift.corpus.windows import LongRecords, cut
from coresift.files import write_json
from coresift.tables import read_arrow, read_table, write_arrow, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

BLOCKS = 8


def limits(most=10, least=3, long="window", overlap=0, **more):
    return Limits(least, most, 0.25, long=long, overlap=overlap, **more)


def spans(length, limits):
    """(first, begin, end) of each window of one sequence."""
    found = cut(np.array([length]), limits)
    return list(zip(found.firsts.tolist(), found.begins.tolist(), found.ends.tolist(), strict=True))


@pytest.mark.parametrize(
    ("length", "options", "expected"),
    [
        (10, {}, [(0, 0, 10)]),
        (2, {}, [(0, 0, 2)]),
        (11, {}, [(1, 0, 10), (2, 1, 11)]),  # one residue is left: the last window moves
        (13, {}, [(1, 0, 10), (11, 10, 13)]),
        (22, {}, [(1, 0, 10), (11, 10, 20), (13, 12, 22)]),
        (30, {}, [(1, 0, 10), (11, 10, 20), (21, 20, 30)]),
        (16, {"overlap": 4}, [(1, 0, 10), (7, 6, 16)]),
        (17, {"overlap": 4}, [(1, 0, 10), (7, 6, 16), (13, 12, 17)]),
        (17, {"overlap": 4, "least": 6}, [(1, 0, 10), (7, 6, 16), (8, 7, 17)]),
        (12, {"overlap": 9}, [(1, 0, 10), (2, 1, 11), (3, 2, 12)]),
        (25, {"least": 10}, [(1, 0, 10), (11, 10, 20), (16, 15, 25)]),
        (25, {"long": "crop"}, [(1, 0, 10)]),
        (25, {"long": "reject"}, [(0, 0, 25)]),
    ],
)
def test_windows_of_one_sequence(length, options, expected):
    assert spans(length, limits(**options)) == expected


def plain(length, limits):
    """Windows of one sequence, one after the other: (first, begin, end)."""
    most = limits.max_length
    if length <= most or limits.long == "reject":
        return [(0, 0, length)]
    if limits.long == "crop":
        return [(1, 0, most)]
    found, begin = [], 0
    while True:
        end = min(begin + most, length)
        if end - begin < limits.min_length:
            begin = end - most
        found.append((begin + 1, begin, end))
        if end == length:
            return found
        begin += most - limits.overlap


LIMITS = st.builds(
    lambda most, least, overlap, long: limits(
        most, min(least, most), long, min(overlap, most - 1) if long == "window" else 0
    ),
    st.integers(1, 15),
    st.integers(1, 15),
    st.integers(0, 14),
    st.sampled_from(["window", "window", "crop", "reject"]),
)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 60), max_size=12), LIMITS)
def test_windows_cover_all_within_the_limits(lengths, limits):
    lengths = np.array(lengths, np.int64)
    found = cut(lengths, limits)
    columns = (found.rows, found.firsts, found.begins, found.ends)
    rows = list(zip(*(c.tolist() for c in columns), strict=True))
    assert rows == [(i, *span) for i, n in enumerate(lengths) for span in plain(n, limits)]
    if limits.long == "window":
        for i, length in enumerate(lengths):
            covered = {p for row, _, a, b in rows if row == i for p in range(a, b)}
            assert covered == set(range(length))
        cut_ones = [(a, b) for _, first, a, b in rows if first]
        assert all(limits.min_length <= b - a <= limits.max_length for a, b in cut_ones)
    counts = LongRecords()
    counts.add(lengths, found, limits.max_length)
    of = counts.report()
    assert of["records"] == (lengths > limits.max_length).sum()
    assert of["windows"] == sum(first > 0 for _, first, _, _ in rows)
    if limits.long != "reject":
        kept = sum(b - a for _, first, a, b in rows if first)
        assert of["residues"] - of["cropped"] + of["repeated"] == kept


def taken(folder, files, limits, n_buckets=1, chunk_bytes=1 << 20):
    """Distinct sequences of {source: [(header, sequence)]} (`SEQUENCE`), reports and rejects."""
    parts, reports, rejects = [], [], []
    for source, records in files.items():
        path = folder / f"{source}.fa"
        path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records))
        parts.append([folder / f"{source}-{b}" for b in range(n_buckets)])
        table = folder / f"{source}-rejects"
        arguments = parts[-1], table, "rna", limits, BLOCKS, chunk_bytes
        reports.append(ingest(path, source, *arguments))
        rejects.append(read_table(table, REJECT))
    buckets = [pl.DataFrame(deduplicate(bucket, BLOCKS)) for bucket in zip(*parts, strict=True)]
    return pl.concat(buckets), reports, pl.concat(rejects)


@settings(max_examples=60)
@given(
    st.lists(st.text("ACGu", max_size=25) | st.text("ACN!", max_size=25), min_size=1, max_size=12),
    LIMITS,
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(5, 80),
    st.randoms(),
)
def test_windows_do_not_depend_on_files_order_blocks_or_buckets(
    tmp_path_factory, sequences, limits, n_files, n_buckets, block_bytes, random
):
    folder = tmp_path_factory.mktemp("windows")
    records = [(f"r{i}/1-9", sequence) for i, sequence in enumerate(sequences)]
    expected, n_bad = {}, 0
    for name, raw in records:
        sequence = normalise(raw, "rna")
        whole = [(0, 0, len(sequence))]
        for first, begin, end in whole if "!" in sequence else plain(len(sequence), limits):
            window = sequence[begin:end]
            if reject_reason(window, "rna", limits) is None:
                place = f"/{first}-{end}" if first else ""
                key = (bool(first), name, first)
                expected.setdefault(window, []).append((key, name + place))
            else:
                n_bad += 1
    random.shuffle(records)
    files = {f"f{i}": records[i::n_files] for i in range(n_files) if records[i::n_files]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", block_bytes)
        found, reports, rejects = taken(folder, files, limits, n_buckets, 50)
    assert found["seq_id"].to_list() == sorted(map(sequence_id, expected))
    for row in found.iter_rows(named=True):
        copies = sorted(expected[row["sequence"]])
        assert row["source_ids"] == [name for _, name in copies]
        assert row["n_windows"] == sum(key[0] for key, _ in copies)
        assert row["n_copies"] == len(copies)
    assert rejects.height == n_bad
    assert sum(r["accepted"] for r in reports) == found["n_copies"].sum()
    assert sum(r["items"] for r in reports) == found["n_copies"].sum() + n_bad


RECORDS = [
    ("a x", "ACGUACGUAC" + "NNNNNNNNNN" + "GGGU"),
    ("b", "ACGUACGUAC"),
    ("c", "ACGUACGUACGUA-A"),
    ("d", "GU"),
    ("", "ACGUACGUACC"),
]


def test_what_became_of_long_records_is_counted(tmp_path):
    found, (report,), rejects = taken(tmp_path, {"x": RECORDS}, limits())
    ids = dict(found.select("sequence", "source_ids").rows())
    assert ids == {
        "ACGUACGUAC": ["b", "a/1-10", "record_5/1-10"],
        "GGGU": ["a/21-24"],
        "CGUACGUACC": ["record_5/2-11"],
    }
    assert rejects.select("record", "source_id", "reason").rows() == [
        (1, "a/11-20", "ambiguous"),
        (3, "c", "aligned"),
        (4, "d", "too_short"),
    ]
    assert report["long"] == {
        "records": 2, "residues": 35, "windows": 5, "cropped": 0, "repeated": 9,
        "rejected": {"ambiguous": 1},
    }  # fmt: skip
    assert (report["records"], report["items"], report["accepted"]) == (5, 8, 5)
    assert report["first_rejected"]["ambiguous"].startswith("record 1 (a/11-20): 10 of 10 residues")
    assert counts_text(report) == (
        "5 of 8 records and windows accepted, rejected: 1 aligned, 1 ambiguous, 1 too_short; "
        "2 records above max_length are 5 windows"
    )


@pytest.mark.parametrize(
    ("long", "counts", "text"),
    [
        ("crop", (5, 3, 2, 15), "2 records above max_length are 2 windows, 15 residues cropped"),
        ("reject", (5, 1, 0, 0), "2 records above max_length"),
    ],
)
def test_the_other_policies_are_counted(tmp_path, long, counts, text):
    found, (report,), rejects = taken(tmp_path, {"x": RECORDS}, limits(long=long))
    of = report["long"]
    assert (report["items"], report["accepted"], of["windows"], of["cropped"]) == counts
    assert counts_text(report).endswith(f"; {text}")
    reasons = rejects.select("source_id", "reason").rows()
    assert ("a", "too_long") in reasons or long == "crop"
    kept = {"crop": ["b", "a/1-10", "record_5/1-10"], "reject": ["b"]}[long]
    assert found["source_ids"].to_list() == [kept]


def test_the_summary_adds_up_over_sources(tmp_path):
    files = {"x": RECORDS, "y": [("e", "GUGUGU"), ("f", "GGCCAUGGCCAUU")]}
    found, reports, _ = taken(tmp_path, files, limits())
    write_table(tmp_path / "pool", found, SEQUENCE)
    write_arrow(
        tmp_path / "distinct", found.to_arrow(compat_level=pl.CompatLevel.oldest()), SEQUENCE
    )
    paths = [tmp_path / f"{report['source']}.json" for report in reports]
    for path, report in zip(paths, reports, strict=True):
        write_json(path, report)
    summary = summarise(paths, [tmp_path / "distinct"], [tmp_path / "pool"], [], 0, 0)
    assert summary["long"] == {
        "records": 3, "residues": 48, "windows": 7, "cropped": 0, "repeated": 9,
        "rejected": {"ambiguous": 1},
    }  # fmt: skip
    assert summary["files"]["y"]["long"]["windows"] == 2
    assert summary["items"] == summary["accepted"] + sum(summary["rejected"].values()) == 11
    assert (summary["records"], summary["distinct"], summary["duplicates"]) == (7, 6, 2)
    first = as_text(summary).splitlines()[0]
    assert first.startswith("corpus: 7 records (3 records above max_length are 7 windows), 8 accep")


@pytest.mark.parametrize("overlap", [0, 30])
def test_windows_are_masked_each_by_itself(tmp_path, overlap):
    """Overlapping windows share letters: none is judged on what another was masked to."""
    plain_part = "GAUCACGGUACUUGCAAGCCUGAUUCGGAACUACGCUUAGGCAUCC"
    sequence = plain_part + "A" * 40 + plain_part[::-1] + plain_part[:30] + "U" * 20
    options = limits(80, 30, overlap=overlap, max_low_complexity=0.8, mask=True)
    found, (report,), rejects = taken(tmp_path, {"x": [("a", sequence)]}, options)
    made = {}
    for first, begin, end in plain(len(sequence), options):
        soft = soft_masked(sequence[begin:end], "rna")
        made[f"a/{first}-{end}"] = hard_masked(soft, "rna")
    assert rejects.is_empty()
    assert {row["source_ids"][0]: row["sequence"] for row in found.to_dicts()} == made
    assert report["masked"]["residues"] == sum(s.count("N") for s in made.values()) > 40


def test_a_window_is_in_its_record_s_group(tmp_path):
    records = [("a/1-9 family=p", "ACGUACGUACGGUUC"), ("b family=q", "GUGUGU"), ("c", "C" * 13)]
    found, _, _ = taken(tmp_path, {"x": records}, limits(), 2)
    parts = {"x": [tmp_path / "x-0", tmp_path / "x-1"]}
    labels = [tmp_path / "l0", tmp_path / "l1"]
    label_records(tmp_path / "x.fa", r"family=(\w)", labels, "rna", limits(), BLOCKS, 50)
    (tmp_path / "t.csv").write_text("id,group\na/1-9,p\nb,q\nc/1-10,wrong\n")
    expected = {
        row["seq_id"]: {"a": "p", "b": "q", "c": None}[row["source_ids"][0][0]]
        for row in found.to_dicts()
    }
    assert list(expected.values()).count("p") == 2
    for named in (by_label({"x": labels}), by_table(tmp_path / "t.csv")):
        assert dict(pl.concat(group_sequences("g", parts, named)).rows()) == expected


def test_a_held_out_file_is_cut_as_the_corpus(tmp_path):
    (tmp_path / "h.fa").write_text(">a\nACGUACGUACGGUUC\n>b\nGGUUC\n")
    found, report = file_set(tmp_path / "h.fa", "rna", limits(), 9, 0, [])
    assert sorted(found["sequence"]) == ["ACGUACGUAC", "GGUUC"]
    assert (report["items"], report["accepted"]) == (3, 3)


def test_a_long_protein_of_nucleotides_is_seen(tmp_path):
    """A long record of DNA has codes that proteins have too (W), and is still seen as DNA."""
    path = tmp_path / "x.fa"
    path.write_text(f">a\n{'ACGT' * 10}W\n" + ">b\nMKVLYW\n" * 3)
    arguments = [tmp_path / "part"], tmp_path / "rejects", "protein", limits(), BLOCKS, 1
    report = ingest(path, "x", *arguments)
    assert "1 of 4 records (25.0%) look like nucleotides" in report["problems"][0]
    ids = pl.DataFrame(read_arrow([tmp_path / "part"], PART))["source_id"].to_list()
    assert ids == ["a"] * 5 + ["b"] * 3
