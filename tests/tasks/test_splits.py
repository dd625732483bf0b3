"""Copies, reversed pairs and groups: never on two sides of a split, and counted."""

import numpy as np
import polars as pl
import pytest
from coresift.tasks.data import read_task
from coresift.tasks.readers.record import TaskDataError
from coresift.tasks.readers.settings import Draw
from coresift.tasks.settings import Task
from coresift.tasks.splits import add_keys, draw_splits
from hypothesis import given, reject, settings
from hypothesis import strategies as st


def pairs_task(folder, rows, modality_b=None):
    lines = ["a,b,label,split", *(",".join(map(str, row)) for row in rows)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    data = {"path": str(folder / "t.csv"), "sequence": "a", "sequence_b": "b"}
    return Task(kind="pair_scalar", data=data | {"modality_b": modality_b})


PAIRS = [
    ("MK", "MV", 1.0, "train"),
    ("MV", "MK", 2.0, "test"),  # the first, reversed
    ("MV", "MK", 3.0, "test"),  # a copy with another label
    ("MA", "MC", 1.0, "train"),
    ("MA", "MC", 1.0, "valid"),
    ("MC", "MA", 1.5, "valid"),
    ("MD", "ME", 1.0, "test"),
    ("ME", "MD", 1.0, "test"),  # a reversed copy
    ("MD", "ME", 1.0, "valid"),  # in test as it is
]


def test_a_pair_and_its_reverse_are_one(tmp_path):
    examples = read_task(pairs_task(tmp_path, PAIRS), "protein")
    assert examples.frame["distinct"].to_list() == [0, 0, 1, 1, 1, 2, 2]
    assert examples.notes == {
        "train": {"dropped_reversed_in_test": 1},
        "valid": {
            "dropped_in_test": 1,
            "copies": 1,
            "also_in_train": 2,
            "with_several_labels": 1,
        },
        "test": {"copies": 2, "with_several_labels": 1},
    }


def test_valid_examples_in_train_stay_and_are_counted(tmp_path):
    rows = ["AAA,0,train", "CCC,0,train", "CCC,1,valid", "CCC,0,valid", "GGG,0,valid", "UUU,1,test"]
    (tmp_path / "t.csv").write_text("\n".join(["sequence,label,split", *rows]))
    task = Task(kind="class", data={"path": str(tmp_path / "t.csv")})
    examples = read_task(task, "rna")
    assert examples.split("valid").height == 3
    assert examples.notes == {"valid": {"copies": 1, "also_in_train": 2, "with_several_labels": 1}}


def test_partners_of_two_kinds_are_not_reversed(tmp_path):
    rows = [
        ("AC", "CA", 1, "train"),
        ("CA", "AC", 1, "test"),
        *(("GG", x, 1, s) for x, s in (("GA", "train"), ("AG", "valid"))),
    ]
    assert read_task(pairs_task(tmp_path, rows), "rna").frame.height == 3
    examples = read_task(pairs_task(tmp_path, rows, "protein"), "rna")
    assert examples.frame["distinct"].to_list() == [0, 1, 2, 3]


def frame_of(sequences, groups=None):
    columns = {"sequence": sequences, "group": groups or [""] * len(sequences)}
    return add_keys(pl.DataFrame(columns).with_columns(partner=pl.lit("")), symmetric=False)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 25), st.integers(0, 8)), min_size=30, max_size=60),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_a_draw_keeps_copies_and_groups_whole(rows, grouped, random):
    frame = frame_of([f"s{i}" for i, _ in rows], [f"g{g}" for _, g in rows])
    draw = Draw(test=0.4, valid=0.3, group="family" if grouped else None)
    try:
        drawn = draw_splits(frame, draw)
    except TaskDataError:  # no group is small enough
        reject()
    for column in ("key", "group") if grouped else ("key",):
        assert drawn.group_by(column).agg(pl.col("split").n_unique())["split"].max() == 1
    test, valid = draw.counts(len(rows))
    assert 0 < (drawn["split"] == "test").sum() <= test
    assert 0 < (drawn["split"] == "valid").sum() <= valid
    order = list(range(len(rows)))
    random.shuffle(order)
    again = draw_splits(frame[order], draw)
    assert again["split"].to_list() == drawn[order]["split"].to_list()


def test_a_draw_without_copies_is_exact():
    drawn = draw_splits(frame_of([f"s{i}" for i in range(50)]), Draw(test=7, valid=0.1))
    assert dict(drawn["split"].value_counts().iter_rows()) == {"test": 7, "valid": 5, "train": 38}


def test_groups_that_do_not_fit_are_an_error():
    frame = frame_of([f"s{i}" for i in range(20)], ["a", "b"] * 10)
    message = "no whole groups of family fit into 4 test examples of 20; the smallest are 10"
    with pytest.raises(TaskDataError, match=message):
        draw_splits(frame, Draw(test=4, valid=4, group="family"))


def test_a_group_is_a_column_that_every_row_has(tmp_path):
    (tmp_path / "t.csv").write_text("sequence,label,family\nGGA,a,x\nGGC,a,\n")
    data = {"path": str(tmp_path / "t.csv"), "draw": {"test": 1, "valid": 1, "group": "family"}}
    with pytest.raises(TaskDataError, match=r"t.csv: line 3: no family \(data.draw.group"):
        read_task(Task(kind="class", data=data), "rna")
    data["draw"]["group"] = "clan"
    with pytest.raises(TaskDataError, match=r"columns missing: \['clan'\]; present"):
        read_task(Task(kind="class", data=data), "rna")


def test_real_families_and_copies(shared_data):
    data = {
        "path": str(shared_data / "rna_sec_struct" / "archiveII.parquet"),
        "label": "structure",
        "draw": {"test": 0.2, "valid": 0.1, "group": "family"},
        "foreign_letters": "unknown",
    }
    examples = read_task(Task(kind="pairwise", data=data), "rna").frame
    families = pl.read_parquet(data["path"], columns=["family"])["family"]
    assert examples.height == len(families) == 3864  # nothing dropped: copies lie together
    found = examples.with_columns(family=families).group_by("family")
    assert found.agg(pl.col("split").n_unique())["split"].max() == 1


def test_real_pairs_of_rpi1807(shared_data):
    folder = shared_data / "rna_rbp"
    names = {"path": "pairs.txt.gz", "fasta": "rna_seq.fa.gz", "fasta_b": "protein_seq.fa.gz"}
    data = {key: str(folder / f"RPI1807_{name}") for key, name in names.items()}
    examples = read_task(Task(preset="rbp", data=data), "rna")
    test = examples.split("test")
    assert (test.height, test["distinct"].n_unique()) == (647, 217)
    assert examples.notes["test"] == {"copies": 430, "with_several_labels": 3}


def test_real_reversed_pairs(shared_data):
    path = shared_data / "protein_ppi_affinity" / "ppb_affinity_sequences.parquet"
    rows = pl.read_parquet(path).filter(pl.col("split_seqsim_123") != "none")
    test = rows.filter(split_seqsim_123="test")
    reverse = set(zip(test["seq_b"], test["seq_a"], strict=True))
    train = rows.filter(split_seqsim_123="train")
    found = sum(pair in reverse for pair in zip(train["seq_a"], train["seq_b"], strict=True))
    data = {"path": str(path), "sequence": "seq_a", "sequence_b": "seq_b", "label": "pkd",
            "split": "split_seqsim_123", "skip_splits": ["none"]}  # fmt: skip
    examples = read_task(Task(preset="ppi_affinity", data=data), "protein")
    assert examples.notes["train"]["dropped_reversed_in_test"] == found > 0
    keys = {
        split: {frozenset(pair) for pair in examples.split(split)[["sequence", "partner"]].rows()}
        for split in ("train", "valid", "test")
    }
    assert not keys["test"] & (keys["train"] | keys["valid"])
    assert not keys["train"] & keys["valid"]
    assert (
        np.isin(examples.split("test")["distinct"], examples.split("train")["distinct"]).sum() == 0
    )
