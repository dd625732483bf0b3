"""Groups of sequences by source, header and table, and their merge over the pool."""

import importlib

import polars as pl
import pytest
from coresift.config import ConfigError, check_paths, load_config
from coresift.corpus.blocks import sequence_id
from coresift.corpus.fasta import CorpusError
from coresift.corpus.groups import GroupError, count_groups, groups_of, merge_groups
from coresift.corpus.ingest import ingest
from coresift.corpus.labels import (
    by_label,
    by_source,
    by_table,
    group_sequences,
    label_records,
)
from coresift.corpus.normalise import Limits, normalise
from coresift.corpus.settings import RESERVED
from coresift.corpus.tables import HELD_OUT, group_schema
from coresift.export.tables import dataset_schema
from coresift.tables import write_table
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(min_length=5, max_length=50, max_ambiguous=0.25)
BLOCKS, REGEX = 16, r"\bfamily=(\w*)"


def parts_of(folder, files, n_buckets, chunk_bytes=1 << 20):
    """Parts and labels of {source: [(header, sequence)]}, by source."""
    parts, labels = {}, {}
    for source, records in files.items():
        path = folder / f"{source}.fa"
        path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records))
        parts[source] = [folder / f"{source}-{b}.part" for b in range(n_buckets)]
        labels[source] = [folder / f"{source}-{b}.labels" for b in range(n_buckets)]
        ingest(path, source, parts[source], folder / "rejects", "rna", LIMITS, BLOCKS, chunk_bytes)
        label_records(path, REGEX, labels[source], "rna", LIMITS, BLOCKS, chunk_bytes)
    return parts, labels


def grouped(parts, labels):
    return pl.concat(group_sequences("g", parts, labels))


RECORDS = st.tuples(
    st.sampled_from(["", " family=a", " family=b", " family="]),
    st.text("ACgu!", min_size=4, max_size=7),
)


@settings(max_examples=25)
@given(
    files=st.dictionaries(
        st.sampled_from("pqrs"), st.lists(RECORDS, min_size=1, max_size=20), min_size=1
    ),
    n_buckets=st.integers(1, 4),
    random=st.randoms(),
)
def test_a_sequence_is_in_the_group_of_its_first_copy_that_has_one(
    tmp_path_factory, files, n_buckets, random
):
    folder = tmp_path_factory.mktemp("groups")
    files = {
        source: [(f"{source}{i}{rest}", sequence) for i, (rest, sequence) in enumerate(records)]
        for source, records in files.items()
    }
    of_source, of_regex = {}, {}
    for source in sorted(files):
        for header, sequence in files[source]:
            sequence = normalise(sequence, "rna")
            if len(sequence) >= 5 and "!" not in sequence:
                seq_id = sequence_id(sequence)
                of_source.setdefault(seq_id, source)
                group = header.partition(" family=")[2] or None
                of_regex[seq_id] = of_regex.get(seq_id) or group
    table = folder / "table.tsv"
    rows = [(h.split()[0], h.partition("family=")[2]) for f in files.values() for h, _ in f]
    random.shuffle(rows)
    table.write_text("\n".join(["group\tid", *(f"{group}\t{name}" for name, group in rows)]))
    shuffled = list(files.items())
    random.shuffle(shuffled)
    parts, labels = parts_of(folder, dict(shuffled), n_buckets, chunk_bytes=60)
    assert grouped(parts, by_source).rows() == sorted(of_source.items())
    assert grouped(parts, by_label(labels)).rows() == sorted(of_regex.items())
    assert grouped(parts, by_table(table)).rows() == sorted(of_regex.items())


def test_no_grouping_has_the_name_of_a_column_that_stands_beside_it():
    assert {*dataset_schema([]), *HELD_OUT} <= RESERVED


def test_labels_of_other_records_are_an_error(tmp_path):
    parts, labels = parts_of(tmp_path, {"p": [("a", "ACGUA")], "q": [("b", "ACGUC")] * 2}, 1)
    with pytest.raises(GroupError, match=r"q-0.labels: 2 groups for 1 records"):
        grouped(parts, by_label({"p": labels["q"], "q": labels["p"]}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,family\na,x\n", r"t.csv: columns \['id', 'family'\]; .* has id and group"),
        ("id,group\na,x\nb,y\na,z\n", "t.csv: 1 ids stand there twice, e.g. a"),
        ("id,group\na,x\nb,y,z,w\n", r"t.csv: not a readable table"),
        ("", "t.csv: columns"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, message):
    parts, _ = parts_of(tmp_path, {"p": [("a", "ACGUA")]}, 1)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(CorpusError, match=message):
        grouped(parts, by_table(tmp_path / "t.csv"))
    with pytest.raises(CorpusError, match=r"absent.csv: cannot be read"):
        by_table(tmp_path / "absent.csv")


def test_a_table_may_have_more_columns_and_ids_than_the_corpus(tmp_path):
    parts, _ = parts_of(tmp_path, {"p": [("a", "ACGUA"), ("b", "ACGUC"), ("c", "ACGUG")]}, 1)
    (tmp_path / "t.csv").write_text('"id",note,"group"\nz,1,x\na,2,"x, y"\nb,3,\n')
    found = dict(grouped(parts, by_table(tmp_path / "t.csv")).rows())
    assert found == {
        sequence_id("ACGUA"): "x, y", sequence_id("ACGUC"): None, sequence_id("ACGUG"): None
    }  # fmt: skip


def test_quotes_are_letters_where_tabs_separate(tmp_path):
    names = ["a", "b", "c", "d"]
    parts, _ = parts_of(
        tmp_path, {"p": [(n, f"ACGU{i}") for n, i in zip(names, "ACGU", strict=True)]}, 1
    )
    groups = ['"Candidatus" X', '"x', "y", 'z"']
    rows = [f"{name}\t{group}" for name, group in zip(names, groups, strict=True)]
    (tmp_path / "t.tsv").write_text("\n".join(["id\tgroup", *rows]))
    found = dict(grouped(parts, by_table(tmp_path / "t.tsv")).rows())
    assert found == {sequence_id(f"ACGU{i}"): g for i, g in zip("ACGU", groups, strict=True)}


@pytest.mark.parametrize(("module", "kind"), [("gzip", None), ("bz2", "bzip2"), ("lzma", "xz")])
def test_a_compressed_table_is_read_or_refused(tmp_path, module, kind):
    parts, _ = parts_of(tmp_path, {"p": [("a", "ACGUA")]}, 1)
    path = tmp_path / "t.tsv"
    path.write_bytes(importlib.import_module(module).compress(b"id\tgroup\na\tx\n"))
    if kind is None:
        assert grouped(parts, by_table(path))["g"].to_list() == ["x"]
    else:
        with pytest.raises(
            CorpusError, match=f"t.tsv: compressed by {kind}; .* plain, gzip or zstd"
        ):
            by_table(path)


def test_groupings_are_merged_over_the_pool_and_counted(tmp_path):
    ids = [f"{i:032x}" for i in range(6)]
    tables = {"source": ["p", "p", "q", "q", "q", "p"], "family": ["x", None, None, "y", "x", "z"]}
    paths = {}
    for name, groups in tables.items():
        paths[name] = tmp_path / f"{name}.parquet"
        frame = pl.DataFrame({"seq_id": ids, name: groups})
        write_table(paths[name], frame, group_schema([name]))
    buckets = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for bucket, rows in zip(buckets, (ids[:2], ids[3:5]), strict=True):
        pl.DataFrame({"seq_id": rows}).write_parquet(bucket)
    merged = pl.concat(merge_groups(buckets, paths))
    assert merged.rows() == [
        (ids[0], "p", "x"), (ids[1], "p", None), (ids[3], "q", "y"), (ids[4], "q", "x")
    ]  # fmt: skip
    whole = tmp_path / "groups.parquet"
    write_table(whole, merged, group_schema(tables))
    assert count_groups(whole, tables) == {
        "source": {"groups": 2, "without": 0},
        "family": {"groups": 2, "without": 1},
    }
    write_table(whole, merged.with_columns(family=None), group_schema(tables))
    with pytest.raises(GroupError, match=r"corpus.groups.family: no sequence of the pool has"):
        count_groups(whole, tables)
    assert groups_of(pl.Series("seq_id", [], dtype=pl.String), paths["family"]).len() == 0


@pytest.mark.parametrize(
    ("corpus", "heldout", "message"),
    [
        ({}, {"by": "family"}, "no grouping family; allowed: hash, source"),
        ({}, {"by": "cluster"}, "allowed: hash, source; cluster needs corpus.cluster"),
        ({}, {"share": 1}, "heldout.share: Input should be less than 1"),
        ({}, {"files": {"pool": "x.fa"}}, "pool is the name of the pool's own set"),
        ({"groups": {"near": {"regex": "(a)"}}}, {}, "names with another meaning: near"),
        ({"groups": {"known": {"regex": "(a)"}}}, {}, "names with another meaning: known"),
        ({"groups": {"f": {"regex": "a"}}}, {}, "exactly one group in parentheses, has 0"),
        ({"groups": {"f": {"regex": "(a"}}}, {}, "not a regular expression"),
        ({"groups": {"f": {}}}, {}, "give either regex or table"),
        ({"low_complexity": {"action": "hide"}}, {}, "corpus.low_complexity.action"),
    ],
)
def test_a_wrong_config_is_an_error(corpus, heldout, message):
    config = {
        "run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"], **corpus}, "heldout": heldout
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        load_config(config)


def test_bad_files_are_named_before_any_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("a.fa", ">a\nA\n"), ("t.csv", "id,family\na,x\n"), ("m.fa", "")):
        (tmp_path / name).write_text(text)
    groups = {"taxon": {"table": "t.csv"}, "other": {"table": "."}}
    values = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"], "groups": groups}}
    values["heldout"] = {"files": {"mine": "m.fa", "more": "absent.fa"}}
    with pytest.raises(ConfigError) as caught:
        check_paths(load_config(values))
    assert str(caught.value).splitlines()[1:] == [
        "  corpus.groups.taxon.table: t.csv: columns ['id', 'family']; a table of groups has id "
        "and group",
        "  corpus.groups.other.table: a folder, not a file: .",
        "  heldout.files.mine: an empty file: m.fa",
        "  heldout.files.more: no such file or folder, nor an entry of downloads: absent.fa",
    ]


def test_names_that_other_sections_may_use():
    groups = {"family": {"regex": "(a)"}, "taxon": {"table": "t.tsv"}}
    corpus = {"fasta": ["a.fa"], "groups": groups}
    config = load_config({"run": "r", "modality": "rna", "corpus": corpus})
    assert config.corpus.groupings == ["source", "family", "taxon"]
    assert config.held_out_by == "hash"
    assert config.heldout.sets == ["pool"]
    assert config.paths()["corpus.groups.taxon.table"] == "t.tsv"
    files = {"files": {"mine": "m.fa", "z": "z.fa"}}
    corpus["cluster"] = {}
    config = load_config({"run": "r", "modality": "rna", "corpus": corpus, "heldout": files})
    assert config.corpus.groupings == ["source", "cluster", "family", "taxon"]
    assert config.held_out_by == "cluster"
    assert config.heldout.sets == ["mine", "pool", "z"]
    assert config.paths()["heldout.files.mine"] == "m.fa"
