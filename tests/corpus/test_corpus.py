"""Ingest, deduplication, decontamination and the subset."""

import gzip
import hashlib
import random

import numpy as np
import polars as pl
import pytest
from coresift.alphabet import ALPHABETS
from coresift.corpus import kmers
from coresift.corpus.blocks import blocks_of, bounds, overlapping, runs_of, sequence_id
from coresift.corpus.composition import composition
from coresift.corpus.decontaminate import ExampleIndex, contaminated, least_shared
from coresift.corpus.dedup import HashCollisionError, deduplicate, read_shard
from coresift.corpus.fasta import CorpusError, read_fasta
from coresift.corpus.ingest import ingest
from coresift.corpus.kmer_limits import KMER_LIMITS
from coresift.corpus.normalise import Limits, normalise, reject_reason
from coresift.corpus.settings import Decontaminate
from coresift.corpus.subset import PoolError, fetch_sequences, random_subset, sample_share
from coresift.corpus.summary import duplicate_ids, summarise
from coresift.corpus.tables import PART, REJECT, SEQUENCE
from coresift.files import read_json, write_json
from coresift.tables import read_table, to_arrow, write_arrow, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(min_length=5, max_length=50, max_ambiguous=0.25)
BLOCKS = 16


def run_corpus(tmp_path, files, n_buckets=2, chunk_bytes=1 << 20):
    """Ingest and deduplicate; returns the buckets as a pool, and the ingest reports."""
    tmp_path.mkdir(exist_ok=True)
    reports, parts = [], []
    for path in files:
        names = [tmp_path / f"{path.stem}-{b}.arrow" for b in range(n_buckets)]
        report = ingest(
            path, path.stem, names, tmp_path / f"{path.stem}-rejects.parquet", "rna", LIMITS,
            BLOCKS, chunk_bytes,
        )  # fmt: skip
        write_json(tmp_path / f"{path.stem}.json", report)
        reports.append(tmp_path / f"{path.stem}.json")
        parts.append(names)
    buckets = []
    for b in range(n_buckets):
        table = deduplicate([names[b] for names in parts], BLOCKS)
        buckets.append(tmp_path / f"bucket-{b}.parquet")
        write_table(buckets[-1], pl.DataFrame(table), SEQUENCE)
        write_arrow(buckets[-1].with_suffix(".arrow"), table, SEQUENCE)
    return buckets, reports


def distinct(buckets):
    """The same rows as the Arrow files that deduplication writes."""
    return [path.with_suffix(".arrow") for path in buckets]


def write_fasta(path, records, line=None, newline="\n", compress=False):
    text = ""
    for header, sequence in records:
        lines = [sequence[i : i + line] for i in range(0, len(sequence), line)] if line else None
        text += f">{header}{newline}" + newline.join(lines or [sequence]) + newline
    path.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
    return path


def random_records(n, seed=0, letters="ACGT"):
    rng = np.random.default_rng(seed)
    return [
        (f"id{i} text", "".join(rng.choice(list(letters), rng.integers(5, 50)))) for i in range(n)
    ]


@pytest.mark.parametrize(
    ("modality", "raw", "expected"),
    [
        ("rna", "acgtTUnX", "ACGUUUNN"),
        ("protein", "mkvjX**", "MKVXX"),
        ("rna", "AC-G é", "AC-G ?"),
    ],
)
def test_normalise(modality, raw, expected):
    assert normalise(raw, modality) == expected


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        ("", "no_sequence"),
        ("ACG", "too_short"),
        ("A" * 51, "too_long"),
        ("ACGUACGU-*", "letters"),
        ("ACGUNN", "ambiguous"),
        ("ACGUACGN", None),
    ],
)
def test_reject_reason(sequence, reason):
    found = reject_reason(sequence, "rna", LIMITS)
    assert (found[0] if found else None) == reason


def test_rejects_are_listed_with_record_and_reason(tmp_path):
    path = tmp_path / "odd.fa"
    path.write_text(">a\nACGUACGU\n>b\n>c\nACG\n>d\nACGU!CGU\n> \nACGUACGUA\n")
    _, reports = run_corpus(tmp_path / "out", [path])
    rejects = read_table(tmp_path / "out" / "odd-rejects.parquet", REJECT)
    assert rejects.select("source", "record", "source_id", "reason").rows() == [
        ("odd", 2, "b", "no_sequence"),
        ("odd", 3, "c", "too_short"),
        ("odd", 4, "d", "letters"),
    ]
    report = read_json(reports[0])
    assert report["rejected"] == {"letters": 1, "no_sequence": 1, "too_short": 1}
    assert report["first_rejected"]["too_short"] == "record 3 (c): 3 residues, minimum 5"


def test_crlf_wrapped_and_compressed_files_give_equal_bytes(tmp_path):
    records = random_records(200)
    variants = {
        "plain": {},
        "crlf": {"newline": "\r\n"},
        "wrapped": {"line": 7},
        "gz": {"compress": True},
    }
    digests = set()
    for name, options in variants.items():
        folder = tmp_path / name
        folder.mkdir()
        fasta = write_fasta(folder / ("x.fa.gz" if name == "gz" else "x.fa"), records, **options)
        buckets, _ = run_corpus(folder / "out", [fasta])
        digests.add(hashlib.sha256(b"".join(p.read_bytes() for p in buckets)).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.fa", b"", "empty file"),
        ("text.fa", b"hello world\nACGU\n", "not a readable FASTA"),
        ("reads.fastq", b"@r1\nACGU\n+\nIIII\n", "not a readable FASTA"),
        (
            "cut.fa.gz",
            gzip.compress(b"".join(b">%d\nACGUACGUCC\n" % i for i in range(9000)))[:9000],
            "truncated or corrupt",
        ),
    ],
)
def test_unreadable_files_are_named_and_leave_nothing(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    out = tmp_path / "out"
    with pytest.raises(CorpusError, match=message) as caught:
        run_corpus(out, [path])
    assert name in str(caught.value)
    assert list(out.iterdir()) == []


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"absent\.fa: no such file"):
        list(read_fasta(tmp_path / "absent.fa"))


@settings(max_examples=25)
@given(
    st.lists(st.text("ACGTacgtuN", min_size=5, max_size=12), min_size=1, max_size=40),
    st.integers(1, 4),
    st.randoms(),
)
def test_dedup_does_not_depend_on_files_order_or_buckets(tmp_path_factory, sequences, n, random):
    tmp = tmp_path_factory.mktemp("dedup")
    records = [(f"r{i}", s) for i, s in enumerate(sequences)]
    one, _ = run_corpus(tmp / "one", [write_fasta(tmp / "all.fa", records)], 1)
    expected = read_table(one[0], SEQUENCE)
    random.shuffle(records)
    pieces = [records[i::n] for i in range(n) if records[i::n]]
    files = [write_fasta(tmp / f"piece{i}.fa", piece) for i, piece in enumerate(pieces)]
    random.shuffle(files)
    many, _ = run_corpus(tmp / "many", files, 3, chunk_bytes=200)
    assert pl.concat(read_table(p, SEQUENCE) for p in many).equals(expected)
    good = [normalise(s, "rna") for s in sequences]
    good = [s for s in good if reject_reason(s, "rna", LIMITS) is None]
    assert set(expected["sequence"]) == set(good)
    assert expected["n_copies"].sum() == len(good)


def part(path, rows):
    """An Arrow file of whole records (high, low, sequence, id)."""
    frame = pl.DataFrame([(*row, 0) for row in rows], schema=dict(PART), orient="row")
    write_arrow(path, to_arrow(frame), PART)
    return path


def test_hash_collision_is_an_error_not_a_merge(tmp_path):
    path = part(
        tmp_path / "p",
        [(2, 1, "ACGUA", "x"), (1, 3, "ACGUA", "a"), (1, 3, "ACGUC", "b"), (1, 2, "ACGUC", "y")],
    )
    with pytest.raises(HashCollisionError, match=r"hash 0{15}10{15}3 .* sequences: \['a', 'b'\]"):
        deduplicate([path], BLOCKS)


def test_equal_upper_halves_are_told_apart(tmp_path):
    rows = [(9, 2, "AC", "d"), (9, 1, "AG", "c"), (9, 2, "AC", "b"), (3, 7, "AU", "a")]
    found = deduplicate([part(tmp_path / "p", rows[:1]), part(tmp_path / "q", rows[1:])], BLOCKS)
    assert found["sequence"].to_pylist() == ["AU", "AG", "AC"]
    assert found["source_ids"].to_pylist() == [["a"], ["c"], ["b", "d"]]
    assert found["seq_id"].to_pylist() == [f"{h:016x}{n:016x}" for h, n in ((3, 7), (9, 1), (9, 2))]


def test_a_bucket_may_be_empty(tmp_path):
    assert deduplicate([part(tmp_path / "p", [])], BLOCKS).num_rows == 0


@given(st.integers(1, 70), st.integers(0, 300))
def test_every_block_is_in_its_run(n, more):
    n_blocks = n + more
    runs = runs_of(np.arange(n_blocks), n, n_blocks)
    for i in range(n):
        assert np.flatnonzero(runs == i).tolist() == list(range(*bounds(i, n, n_blocks)))


@pytest.mark.parametrize("n_buckets", [2, 3])
@pytest.mark.parametrize("n_shards", [1, 3, 16])
def test_shards_partition_the_pool(tmp_path, n_shards, n_buckets):
    fasta = write_fasta(tmp_path / "x.fa", random_records(300))
    buckets, _ = run_corpus(tmp_path / "o", [fasta], n_buckets)
    whole = pl.concat(read_table(p, SEQUENCE) for p in buckets)
    shards = [
        read_shard(
            [buckets[b] for b in overlapping(i, n_shards, n_buckets, BLOCKS)], i, n_shards, BLOCKS
        )
        for i in range(n_shards)
    ]
    assert pl.concat(shards).equals(whole)
    for i, shard in enumerate(shards):
        low, high = bounds(i, n_shards, BLOCKS)
        assert shard["block"].is_between(low, high, closed="left").all()


def test_block_is_monotone_in_the_hash():
    ids = sorted(sequence_id(f"A{i}") for i in range(500))
    blocks = pl.Series(blocks_of(np.array([int(i[:16], 16) for i in ids], np.uint64), 7))
    assert blocks.is_sorted()
    assert set(blocks) == set(range(7))


def test_duplicate_ids_and_summary_add_up(tmp_path):
    fasta = write_fasta(
        tmp_path / "x.fa",
        [("a", "ACGUACGU"), ("a", "ACGUACGG"), ("b", "acgtacgt"), ("c", "AC"), ("c", "ACGUACC")],
    )
    buckets, reports = run_corpus(tmp_path / "o", [fasta])
    found = duplicate_ids(distinct(buckets))
    assert found.rows() == [("a", 2)]
    summary = summarise(reports, distinct(buckets), buckets, [], found.height, 0)
    assert summary["records"] == 5
    assert summary["rejected"] == {"too_short": 1}
    assert (summary["distinct"], summary["duplicates"], summary["pool"]) == (3, 1, 3)
    with pytest.raises(ValueError, match="rows lost"):
        summarise(reports, distinct(buckets[:1]), buckets, [], 0, 0)


def test_duplicate_ids_are_the_same_however_many_are_held(tmp_path):
    rng = random.Random(0)
    records = [(f"r{rng.randrange(60)}", "ACGU" * 2 + "".join(rng.choices("ACGU", k=3)))
               for _ in range(90)]  # fmt: skip
    fasta = write_fasta(tmp_path / "x.fa", records)
    buckets, _ = run_corpus(tmp_path / "o", [fasta])
    of = {}
    for name, sequence in records:
        of.setdefault(name, set()).add(sequence)
    expected = sorted((name, len(found)) for name, found in of.items() if len(found) > 1)
    assert expected
    for n_at_once in (1, 7, 1000):
        assert duplicate_ids(distinct(buckets), n_at_once).rows() == expected


def naive_kmers(sequence, k):
    return {sequence[i : i + k] for i in range(len(sequence) - k + 1)}


@settings(max_examples=50)
@given(
    st.lists(st.text("ACGU", max_size=30), min_size=1, max_size=6), st.integers(1, 13)
)  # fmt: skip
def test_distinct_kmers_are_those_of_each_sequence(sequences, k):
    rows, found = kmers.distinct_kmers(sequences, k)
    words = [naive_kmers(s, k) for s in sequences]
    assert np.bincount(rows, minlength=len(sequences)).tolist() == [len(w) for w in words]
    assert len(np.unique(found)) == len(set().union(*words))


def leak_frames(pool, examples):
    """Tables of pool and examples; examples in an order of their own."""
    frame = {"seq_id": [f"p{i}" for i in range(len(pool))], "sequence": pool}
    names = [f"e{i}" for i in range(len(examples))]
    table = pl.DataFrame({"task": "t", "task_id": names, "sequence": examples})
    return pl.DataFrame(frame), table.reverse()


@settings(max_examples=60)
@given(
    st.lists(st.text("AC", min_size=1, max_size=25), min_size=1, max_size=8, unique=True),
    st.lists(st.text("AC", min_size=1, max_size=25), min_size=1, max_size=5, unique=True),
    st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 60),
)
def test_contaminated_equals_brute_force(pool, examples, threshold, k, least, room):
    """Whatever the pieces in which sequences and counts are taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmers, "_CELLS", room)
        patch.setattr(kmers, "_RESIDUES", room)
        frame, table = leak_frames(pool, examples)
        found = contaminated(frame, ExampleIndex.build(table, k), threshold, least)
    expected = {}
    for i, p in enumerate(pool):
        scores = []
        for e in examples:
            shared = len(naive_kmers(p, k) & naive_kmers(e, k))
            share = shared / max(1, min(len(naive_kmers(p, k)), len(naive_kmers(e, k))))
            scores.append(share if shared >= least and share >= threshold else -1)
        if max(scores) >= 0:
            expected[f"p{i}"] = (f"e{scores.index(max(scores))}", max(scores))
    rows = found.to_dicts()
    assert {r["seq_id"]: (r["task_id"], r["containment"]) for r in rows} == expected


def test_the_least_count_is_that_of_the_quotient():
    sizes = np.arange(1, 400)
    for threshold in (0.07, 0.1, 0.15, 0.29, 0.3, 0.57, 1.0):
        need = least_shared(sizes, threshold, 1)
        assert (need / sizes >= threshold).all()
        assert ((need - 1) / sizes < threshold).all()
    assert least_shared(np.array([0, 3, 50]), 0.5, 4).tolist() == [4, 4, 25]


def test_k_and_containment_are_the_modalitys_where_not_given():
    assert Decontaminate().kmer_limits("rna") == KMER_LIMITS["rna"]
    own = Decontaminate(k=7).kmer_limits("protein")
    assert (own.k, own.containment, own.least) == (7, KMER_LIMITS["protein"].containment, 2)
    assert Decontaminate(containment=0.5).kmer_limits("rna").containment == 0.5
    assert Decontaminate(k=32, containment=0.0).kmer_limits("rna").least == 1


@pytest.mark.parametrize("modality", ["rna", "protein"])
def test_the_defaults_find_what_leaks_whole_or_in_part(modality):
    """An exact copy, a fragment, a copy in something longer, a guide, 90 %: not what is unlike."""
    letters = ALPHABETS[modality].canonical
    rng = np.random.default_rng(3)

    def random(n):
        return "".join(rng.choice(list(letters), n))

    example, guide = random(200), random(23)
    mutated = list(example)
    for place in rng.choice(200, 20, replace=False):
        mutated[place] = str(rng.choice([x for x in letters if x != example[place]]))
    leaks = [example, example[80:115], random(300) + example + random(300), "".join(mutated)]
    leaks += [random(90) + guide + random(90)]
    limits = Decontaminate().kmer_limits(modality)
    others = [
        example[::-1],
        guide[: limits.match - 1] + random(200),
        *(random(300) for _ in range(40)),
    ]
    frame, table = leak_frames([*leaks, *others], [example, guide])
    index = ExampleIndex.build(table, limits.k)
    found = contaminated(frame, index, limits.containment, limits.least)
    named = dict(zip(found["seq_id"], found["task_id"], strict=True))
    assert named == {"p0": "e0", "p1": "e0", "p2": "e0", "p3": "e0", "p4": "e1"}


def test_subset_is_nested_and_independent_of_buckets(tmp_path):
    fasta = write_fasta(tmp_path / "x.fa", random_records(300))
    two, _ = run_corpus(tmp_path / "two", [fasta], 2)
    five, _ = run_corpus(tmp_path / "five", [fasta], 5)
    large = random_subset(two, 100, seed=1)
    assert large.equals(random_subset(five, 100, seed=1))
    assert set(random_subset(two, 40, seed=1)["seq_id"]) <= set(large["seq_id"])
    assert not large.equals(random_subset(two, 100, seed=2))
    with pytest.raises(PoolError, match=r"subset\.size is 301, but the pool has only 300 seq"):
        random_subset(two, 301, seed=1)
    with pytest.raises(PoolError, match=r"base\.size is 301, but"):
        random_subset(two, 301, seed=1, key="base.size")
    rows = fetch_sequences(two, large["seq_id"].to_list(), ["seq_id", "sequence"])
    assert rows["sequence"].equals(large["sequence"])
    with pytest.raises(PoolError, match="1 sequences are not in the pool"):
        fetch_sequences(two, ["f" * 32], ["seq_id"])


def test_sample_share_is_nested_and_independent_of_buckets(tmp_path):
    fasta = write_fasta(tmp_path / "x.fa", random_records(2000))
    two, _ = run_corpus(tmp_path / "two", [fasta], 2)
    frames = [read_table(path, SEQUENCE) for path in two]
    whole = pl.concat(frames)
    half = sample_share(whole, 0.5, seed=1)
    assert half.height == pytest.approx(whole.height / 2, rel=0.1)
    assert pl.concat(sample_share(frame, 0.5, 1) for frame in frames).equals(half)
    assert set(sample_share(whole, 0.1, 1)["seq_id"]) <= set(half["seq_id"])
    assert not sample_share(whole, 0.5, 2).equals(half)
    assert sample_share(whole, 1, 1).equals(whole)


def test_real_rnacentral_sample(shared_data, tmp_path):
    path = shared_data / "rna_pool_sample/format_rnacentral_active.100.sample-Max50.fasta.gz"
    buckets, reports = run_corpus(tmp_path / "o", [path])
    summary = summarise(reports, distinct(buckets), buckets, [], 0, 0)
    assert summary["records"] == 1400
    assert summary["accepted"] + sum(summary["rejected"].values()) == 1400


@pytest.mark.parametrize(("modality", "expected"), [("rna", 0.5), ("protein", 0.25)])
def test_composition(tmp_path, modality, expected):
    frame = pl.DataFrame(
        {"seq_id": ["a"], "sequence": ["GCAU"], "length": [4], "block": [0], "n_copies": [1],
         "n_windows": [0],
         "source_ids": [["x"]]}
    ).select(pl.col(name).cast(kind) for name, kind in SEQUENCE.items())  # fmt: skip
    sequence = "GCAU" if modality == "rna" else "KTMD"
    frame = frame.with_columns(sequence=pl.lit(sequence))
    write_table(tmp_path / "b.parquet", frame, SEQUENCE)
    assert composition([tmp_path / "b.parquet"], modality)["composition"].to_list() == [expected]
