"""What is held out of the pool, the held-out sets, and how near the pool comes to them."""

import numpy as np
import polars as pl
import pytest
from coresift.corpus.blocks import sequence_id
from coresift.corpus.fasta import CorpusError
from coresift.corpus.groups import GroupError
from coresift.corpus.heldout import (
    file_set,
    held_out_group_schema,
    held_out_groups,
    held_out_sets,
    nearest,
    pool_set,
)
from coresift.corpus.normalise import Limits
from coresift.corpus.split import split
from coresift.corpus.subset import PoolError
from coresift.corpus.tables import HELD_OUT, SEQUENCE, group_schema
from coresift.tables import conform, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(min_length=5, max_length=200, max_ambiguous=0.25)


def rows_of(sequences):
    """A pool of distinct sequences."""
    frame = pl.DataFrame({"sequence": sorted(set(sequences))}, schema={"sequence": pl.String})
    return (
        frame.with_columns(
            pl.col("sequence").map_elements(sequence_id, pl.String).alias("seq_id"),
            length=pl.col("sequence").str.len_bytes(),
            block=0,
            n_copies=1,
            n_windows=0,
        )
        .with_columns(source_ids=pl.concat_list("seq_id"))
        .select(pl.col(name).cast(kind) for name, kind in SEQUENCE.items())
        .sort("seq_id")
    )


def random_sequences(n, seed=0, low=20, high=60):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGU"), rng.integers(low, high))) for _ in range(n)]


def buckets_of(folder, frame, n=2):
    paths = [folder / f"{i}.parquet" for i in range(n)]
    for i, path in enumerate(paths):
        low, high = i * frame.height // n, (i + 1) * frame.height // n
        write_table(path, frame.slice(low, high - low), SEQUENCE)
    return paths


@pytest.fixture(scope="module")
def pool():
    return rows_of(random_sequences(400))


@pytest.mark.parametrize("kind", ["hash", "group"])
@settings(max_examples=30)
@given(
    shares=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted),
    seed=st.integers(0, 5),
    n_groups=st.integers(1, 60),
    cut=st.integers(0, 400),
    random=st.randoms(),
)
def test_the_split_is_nested_whole_and_the_same_in_every_part(
    tmp_path_factory, pool, kind, shares, seed, n_groups, cut, random
):
    """Any subset of the pool (a bucket, set base) is split as the whole pool is."""
    path = None
    if kind == "group":
        path = tmp_path_factory.getbasetemp() / "groups.parquet"
        names = [random.choice([None, *map(str, range(n_groups))]) for _ in range(pool.height)]
        table = pool.select("seq_id", pl.Series("group", names, dtype=pl.String))
        write_table(path, table, group_schema(["group"]))
    proper, apart = split(pool, shares[1], seed, path)
    assert pl.concat([proper, apart]).sort("seq_id").equals(pool)
    _, fewer = split(pool, shares[0], seed, path)
    assert set(fewer["seq_id"]) <= set(apart["seq_id"])
    chosen = pool.sample(cut, seed=seed).sort("seq_id")
    _, of_chosen = split(chosen, shares[1], seed, path)
    assert of_chosen.equals(chosen.join(apart, on="seq_id", how="semi", maintain_order="left"))
    if kind == "group":
        of = dict(table.rows())
        groups = [{of[i] for i in part["seq_id"]} - {None} for part in (proper, apart)]
        assert groups[0].isdisjoint(groups[1])


def test_the_share_is_met_by_hash_and_nothing_is_apart_at_zero(pool):
    _, apart = split(pool, 0.25, 1)
    assert apart.height == pytest.approx(100, abs=30)
    assert not apart.equals(split(pool, 0.25, 2)[1])
    assert split(pool, 0, 1)[0].equals(pool)


def test_a_grouping_that_lacks_a_sequence_is_an_error(tmp_path, pool):
    table = pool.select("seq_id", group=pl.lit("a"))[1:]
    write_table(tmp_path / "groups.parquet", table, group_schema(["group"]))
    with pytest.raises(GroupError, match="1 of 400 sequences are not in it"):
        split(pool, 0.1, 0, tmp_path / "groups.parquet")


def words(sequence, k):
    return {sequence[i : i + k] for i in range(len(sequence) - k + 1)}


@settings(max_examples=40)
@given(
    st.lists(st.text("AC", min_size=2, max_size=25), min_size=1, max_size=7, unique=True),
    st.lists(st.text("AC", min_size=4, max_size=30), min_size=1, max_size=9, unique=True),
    st.integers(1, 6),
)
def test_nearest_equals_brute_force(tmp_path_factory, held_out, others, k):
    folder = tmp_path_factory.mktemp("nearest")
    wanted = rows_of(held_out)
    found = nearest(wanted, buckets_of(folder, rows_of(others)), k)
    assert found["seq_id"].to_list() == wanted["seq_id"].to_list()
    for sequence, near in zip(wanted["sequence"], found["nearest"], strict=True):
        own = words(sequence, k)
        expected = max(len(own & words(other, k)) / len(own) for other in others) if own else None
        assert near == expected


def test_sets_are_samples_without_what_the_pool_has(tmp_path, pool):
    apart = rows_of(random_sequences(50, seed=9))
    (tmp_path / "a").mkdir()
    one, two = (
        pool_set(buckets_of(tmp_path, apart), 20, 3),
        pool_set(buckets_of(tmp_path / "a", apart, 5), 20, 3),
    )
    assert one.equals(two)
    assert one.height == 20
    assert set(pool_set(buckets_of(tmp_path, apart), 10, 3)["seq_id"]) <= set(one["seq_id"])
    new = random_sequences(30, seed=8)
    lines = [*new, new[0].lower(), pool["sequence"][0], pool["sequence"][5], "ACG", "ACGU!"]
    fasta = tmp_path / "mine.fa"
    fasta.write_text("".join(f">r{i}\n{s}\n" for i, s in enumerate(lines)))
    buckets = buckets_of(tmp_path, pool)
    mine, report = file_set(fasta, "rna", LIMITS, 1000, 3, buckets)
    assert (report["records"], report["rejected"]) == (35, {"letters": 1, "too_short": 1})
    assert set(mine["sequence"]) == set(new)
    few, _ = file_set(fasta, "rna", LIMITS, 7, 3, buckets)
    assert few.height == 7
    assert set(few["seq_id"]) < set(mine["seq_id"])
    # A sample of what is new: the pool's own 400 take no places of it.
    fasta.write_text("".join(f">r{i}\n{s}\n" for i, s in enumerate([*pool["sequence"], *new])))
    assert file_set(fasta, "rna", LIMITS, 7, 3, buckets)[0].equals(few)
    found = held_out_sets({"pool": one, "mine": mine}, buckets, 8)
    assert found.columns == list(HELD_OUT)
    assert found.select("set", "seq_id").is_sorted("set")
    assert set(found.filter(set="mine")["sequence"]) == set(new)
    assert found.filter(set="pool").select(one.columns).equals(one)
    assert found["nearest"].is_between(0, 1).all()
    empty = held_out_sets({}, buckets, 8)
    assert (empty.columns, empty.height) == (list(HELD_OUT), 0)


def test_a_set_that_is_no_test_is_an_error(tmp_path, pool):
    with pytest.raises(PoolError, match=r"heldout\.share sets no sequence of the pool apart"):
        pool_set(buckets_of(tmp_path, pool.clear()), 10, 0)
    buckets = buckets_of(tmp_path, pool)
    fasta = tmp_path / "mine.fa"
    fasta.write_text(f">a\n{pool['sequence'][3]}\n")
    with pytest.raises(
        CorpusError, match=r"mine.fa: the pool has all 1 sequences of this held-out"
    ):
        file_set(fasta, "rna", LIMITS, 10, 0, buckets)
    for text, message in [
        ("", "mine.fa: empty file"),
        (">a\nACG\n", "0 of 1 records accepted, rejected: 1 too_short; a held-out set needs one"),
        (">a\n" + "MKVLWDEQFP" * 150 + "\n", r"1 of 1 records .* look like proteins"),
    ]:
        fasta.write_text(text)
        with pytest.raises(CorpusError, match=message):
            file_set(fasta, "rna", LIMITS, 10, 0, buckets)


def test_groups_of_the_sets(tmp_path):
    frame = pl.DataFrame(
        {
            "set": ["mine", "pool", "pool", "pool"],
            "seq_id": ["c", "a", "b", "c"],
            "sequence": ["A"] * 4,
            "length": [64, 127, 128, 33],
            "nearest": [None, 0.5, 0.49, 1.0],
        }
    )
    table = pl.DataFrame({"seq_id": ["a", "b", "c"], "family": ["x", None, "y"]})
    write_table(tmp_path / "family.parquet", table, group_schema(["family"]))
    paths = {"family": tmp_path / "family.parquet"}
    found = conform(
        held_out_groups(conform(frame, HELD_OUT), paths, 0.5), held_out_group_schema(["family"])
    )
    assert found.rows() == [
        ("mine", "c", None, "64-127", None),
        ("pool", "a", "x", "64-127", "near"),
        ("pool", "b", None, "128-255", "far"),
        ("pool", "c", "y", "32-63", "near"),
    ]
    only_files = held_out_groups(conform(frame[:1], HELD_OUT), paths, 0.5)
    assert only_files["family"].to_list() == [None]
