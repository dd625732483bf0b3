"""MMseqs2 finds planted near duplicates, whatever the buckets and threads; skips without it."""

import random
import shutil

import polars as pl
import pytest
from coresift.corpus import mmseqs as module
from coresift.corpus.alignment import Aligner
from coresift.corpus.blocks import sequence_id
from coresift.corpus.groups import count_groups, merge_groups
from coresift.corpus.mmseqs import MmseqsError, cluster, mmseqs, similar
from coresift.corpus.tables import CLUSTER, SEQUENCE, group_schema
from coresift.tables import write_table

needs_mmseqs = pytest.mark.skipif(
    shutil.which("mmseqs") is None, reason="needs mmseqs on PATH (Debian package mmseqs2)"
)
LETTERS = {"rna": "ACGU", "protein": "ACDEFGHIKLMNPQRSTVWY"}


def mutated(sequence, every, letters):
    """Every n-th residue replaced by the next letter."""
    return "".join(
        letters[(letters.index(c) + 1) % len(letters)] if i % every == every - 1 else c
        for i, c in enumerate(sequence)
    )


def planted(modality):
    """(examples, leaks by name, bystanders): leaks resemble example of the same number."""
    draw = random.Random(modality)
    letters = LETTERS[modality]
    made = ["".join(draw.choices(letters, k=150)) for _ in range(40)]
    examples, bystanders = made[:8], made[8:]
    leaks = {
        "equal": examples[0],
        "mutated": mutated(examples[1], 10, letters),
        "fragment": examples[2][40:110],
        "inside": made[20] + examples[3] + made[21],
        "deletion": examples[4][:70] + examples[4][73:],
    }
    bystanders += [examples[5][:30] + made[22], mutated(examples[6], 3, letters), examples[7][::-1]]
    return examples, leaks, bystanders


def pool_of(sequences):
    table = pl.DataFrame(
        {"seq_id": [sequence_id(s) for s in sequences], "sequence": sequences}
    ).with_columns(
        length=pl.col("sequence").str.len_bytes(),
        block=0,
        n_copies=1,
        n_windows=0,
        source_ids=pl.concat_list("seq_id"),
    )
    return table.sort("seq_id")


def examples_of(sequences):
    names = [f"e{i}" for i in range(len(sequences))]
    return pl.DataFrame({"task": ["t"] * len(names), "task_id": names, "sequence": sequences})


@needs_mmseqs
@pytest.mark.parametrize("modality", ["rna", "protein"])
def test_planted_leaks_are_removed_and_listed(modality):
    examples, leaks, bystanders = planted(modality)
    pool = pool_of([*leaks.values(), *bystanders])
    found = similar(pool, examples_of(examples), modality, 0.8, 0.5, threads=2)
    assert {row["seq_id"]: row["task_id"] for row in found.to_dicts()} == {
        sequence_id(sequence): f"e{i}" for i, sequence in enumerate(leaks.values())
    }
    by_id = {row["seq_id"]: row for row in found.to_dicts()}
    assert by_id[sequence_id(leaks["equal"])]["identity"] == 1.0
    assert by_id[sequence_id(leaks["fragment"])]["containment"] == 1.0
    assert by_id[sequence_id(leaks["mutated"])]["identity"] == pytest.approx(0.9, abs=0.02)


@needs_mmseqs
def test_buckets_and_threads_do_not_matter_and_limits_do():
    examples, leaks, bystanders = planted("rna")
    pool, examples = pool_of([*leaks.values(), *bystanders]), examples_of(examples)
    found = similar(pool, examples, "rna", 0.8, 0.5, threads=2)
    pieces = [similar(pool[i::3], examples, "rna", 0.8, 0.5, threads=1) for i in range(3)]
    assert pl.concat(pieces).sort("seq_id").equals(found)
    strict = similar(pool, examples, "rna", 0.99, 0.5, threads=1)
    unlike = {sequence_id(leaks[name]) for name in ("mutated", "deletion")}  # 0.90, 147 of 150
    assert set(strict["seq_id"]) == set(found["seq_id"]) - unlike
    longer = similar(pool, examples, "rna", 0.8, 0.1, threads=1)
    assert set(longer["task_id"]) == {*found["task_id"], "e5"}  # 30 of 150 residues shared


@needs_mmseqs
def test_equal_kmers_alone_find_what_similar_ones_do(monkeypatch):
    draw = random.Random(5)
    letters = LETTERS["protein"]
    parents = ["".join(draw.choices(letters, k=90)) for _ in range(12)]
    pool = pool_of([mutated(p, n, letters) for p in parents for n in (6, 10, 16)])
    found = similar(pool, examples_of(parents), "protein", 0.8, 0.5, threads=1)
    monkeypatch.setattr(module, "_EXACT_FROM", 2.0)
    assert found.equals(similar(pool, examples_of(parents), "protein", 0.8, 0.5, threads=1))
    assert found.height == pool.height


@needs_mmseqs
def test_a_guide_of_23_inside_a_longer_sequence_is_found():
    examples, _, bystanders = planted("rna")
    guide = examples[0][:23]
    pool = pool_of([bystanders[0] + guide + bystanders[1], *bystanders])
    found = similar(pool, examples_of([guide]), "rna", 0.8, 0.5, threads=1)
    assert found.select("containment", "identity").rows() == [(1.0, 1.0)]


@needs_mmseqs
@pytest.mark.parametrize(("modality", "shortest"), [("rna", 17), ("protein", 12)])
def test_examples_without_a_seed_are_left_out_and_counted(modality, shortest, caplog):
    examples, _, bystanders = planted(modality)
    short = [example[: shortest - 1] for example in examples[:3]]
    pool = pool_of([example + bystanders[0] for example in short])
    assert similar(pool, examples_of(short), modality, 0.8, 0.5, threads=1).height == 0
    assert f"3 of 3 examples are shorter than {shortest} residues" in caplog.text
    enough = [example[:shortest] for example in examples[:3]]  # does not fail
    similar(pool, examples_of(enough), modality, 0.8, 0.5, threads=1)


@needs_mmseqs
def test_the_other_strand_is_not_compared():
    examples, _, _ = planted("rna")
    reverse = examples[0][::-1].translate(str.maketrans("ACGU", "UGCA"))
    found = similar(pool_of([reverse]), examples_of(examples), "rna", 0.8, 0.5, threads=1)
    assert found.height == 0


def test_nothing_to_compare_needs_no_binary(monkeypatch):
    monkeypatch.setenv("PATH", "")
    pool = pool_of(["ACGUACGU"])
    assert similar(pool, examples_of([]), "rna", 0.8, 0.5, 1).height == 0
    assert similar(pool.clear(), examples_of(["ACGU"]), "rna", 0.8, 0.5, 1).height == 0
    with pytest.raises(MmseqsError, match="not on PATH"):
        mmseqs("version")


@needs_mmseqs
def test_a_failure_gives_the_last_words():
    with pytest.raises(MmseqsError, match="createdb failed"):
        mmseqs("createdb", "/absent.fa", "/absent/db")


@needs_mmseqs
@pytest.mark.parametrize("modality", ["rna", "protein"])
def test_clusters_hold_near_duplicates(tmp_path, modality):
    draw = random.Random(1)
    letters = LETTERS[modality]
    parents = ["".join(draw.choices(letters, k=200)) for _ in range(15)]
    families = [[p, p[:-8], mutated(p, 40, letters)] for p in parents]
    pool = pool_of([s for family in families for s in family])
    tables = []
    for n, threads, memory in ((1, 1, 1000), (3, 2, 4)):
        rows = pool.height // n
        paths = [tmp_path / f"{n}-{i}.parquet" for i in range(n)]
        for i, path in enumerate(paths):
            write_table(path, pool[i * rows : (i + 1) * rows], SEQUENCE)
        tables.append(cluster(paths, modality, 0.9, 0.8, threads, memory))
    assert tables[0].equals(tables[1])
    assert tables[0]["seq_id"].to_list() == pool["seq_id"].to_list()
    of = dict(tables[0].rows())
    groups = [{of[sequence_id(s)] for s in family} for family in families]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) == len(families)
    write_table(tmp_path / "clusters.parquet", tables[0], CLUSTER)
    merged = pl.concat(merge_groups(paths, {"cluster": tmp_path / "clusters.parquet"}))
    write_table(tmp_path / "groups.parquet", merged, group_schema(["cluster"]))
    counts = count_groups(tmp_path / "groups.parquet", ["cluster"])
    assert counts == {"cluster": {"groups": 15, "without": 0}}


@needs_mmseqs
@pytest.mark.parametrize("modality", ["rna", "protein"])
def test_members_align_to_their_representatives_on_the_forward_strand(tmp_path, modality):
    """Chains of mutants, of which the last is unlike the first, and all of them reversed."""
    draw = random.Random(2)
    letters = LETTERS[modality]
    sequences = []
    for _ in range(40):
        parent = "".join(draw.choices(letters, k=300))
        chain = [parent]
        for _ in range(3):
            chain.append(list(chain[-1]))
            for i in draw.sample(range(300), 20):
                chain[-1][i] = draw.choice([c for c in letters if c != chain[-1][i]])
            chain[-1] = "".join(chain[-1])
        sequences += [*chain, parent[:-20]]
    if modality == "rna":
        turned = str.maketrans("ACGU", "UGCA")
        reverse = [s[::-1].translate(turned)[5:] for s in sequences]
        sequences += reverse
    pool = pool_of(sequences)
    write_table(tmp_path / "p.parquet", pool, SEQUENCE)
    found = cluster([tmp_path / "p.parquet"], modality, 0.9, 0.8, 1, 1000)
    of = dict(pool.select("seq_id", "sequence").rows())
    aligner = Aligner(modality, 0.8)
    pairs = [(of[member], of[own]) for member, own in found.rows() if member != own]
    assert len(pairs) > len(sequences) / 2
    if modality == "rna":  # near copies among these are together too
        assert sum(member in reverse for member, _ in pairs) > len(reverse) / 2
    # Another aligner's gap costs and ends move some percent.
    assert min(aligner.identity(*pair) or 0 for pair in pairs) > 0.88


def test_lost_rows_are_an_error(tmp_path, monkeypatch):
    write_table(tmp_path / "p.parquet", pool_of(["ACGUACGU", "ACGUACGA"]), SEQUENCE)

    def half(command, *arguments):
        if command == "createtsv":
            arguments[3].write_text("a\ta\n" if arguments[3].stem == "clusters" else "")

    monkeypatch.setattr(module, "mmseqs", half)
    with pytest.raises(MmseqsError, match="2 sequences went into clustering, 1 came out"):
        cluster([tmp_path / "p.parquet"], "rna", 0.9, 0.8, 1, 1000)
