"""Protocols of a task: published, quick, own; samples of examples; rows that are evaluated."""

import numpy as np
import polars as pl
import pytest
from coresift.config import ConfigError, load_config
from coresift.settings import plain
from coresift.tasks.data import protected_examples, read_task
from coresift.tasks.settings import Task, task_presets
from pydantic import ValidationError

DATA = {"path": "x.csv"}


def preset(name, **values):
    data = {"fasta_b": "b"} if name == "rbp" else {}
    return Task(preset=name, data=DATA | data, **values)


@pytest.mark.parametrize("name", task_presets())
def test_quick_is_less_of_the_published(name):
    published, quick = preset(name), preset(name, protocol="quick")
    assert (published.protocol_name, quick.protocol_name) == ("published", "quick")
    assert quick.mode == "frozen" or quick.epochs < published.epochs
    assert quick.epochs <= published.epochs
    assert quick.pairwise.blocks <= published.pairwise.blocks
    assert (quick.kind, quick.metrics, quick.primary) == (
        published.kind,
        published.metrics,
        published.primary,
    )
    assert (quick.data, published.sample) == (published.data, None)
    for task in (published, quick):
        assert Task(**plain(task)) == task  # as rules hand it to scripts
        assert Task(**plain(task)).protocol_name == task.protocol_name


def test_given_keys_override_and_make_a_task_ones_own():
    assert preset("modif", epochs=3).protocol_name == "own"
    assert preset("modif", sample={"train": 10}).protocol_name == "own"
    assert preset("sec_struct", pairwise={"blocks": 2}).protocol_name == "own"
    assert preset("sec_struct", pairwise={"activations_mb": 2}).protocol_name == "published"
    assert preset("modif", epochs=30, rows=["cci"]).protocol_name == "published"
    assert Task(kind="class", data=DATA).protocol_name == "own"
    quick = preset("sec_struct", protocol="quick", epochs=2, sample={"train": 9})
    assert (quick.protocol_name, quick.epochs) == ("own", 2)
    assert preset("sec_struct", protocol="quick").protocol_name == "quick"
    assert (quick.sample.train, quick.sample.valid, quick.sample.max_length) == (9, 200, 150)
    with pytest.raises(ValidationError, match="quick is a preset's"):
        Task(kind="class", data=DATA, protocol="quick")


@pytest.fixture
def table(tmp_path):
    """300 examples of 5 to 40 residues, each tenth a copy of the one before."""
    rng = np.random.default_rng(0)
    rows = ["sequence,label,split"]
    for i in range(300):
        if i % 10 != 9:
            sequence = "".join(rng.choice(list("ACGU"), rng.integers(5, 41)))
        rows.append(f"{sequence},{i % 3},{('train', 'train', 'valid', 'test')[i // 10 % 4]}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(rows) + "\n")
    return {"path": str(path)}


def sizes(examples):
    return dict(examples.frame["split"].value_counts().iter_rows())


def test_a_sample_is_seeded_nested_and_counted(table):
    whole = read_task(Task(kind="class", data=table), "rna")
    sample = {"train": 60, "valid": 20, "max_length": 30}
    found = read_task(Task(kind="class", data=table, sample=sample), "rna")
    short = whole.frame.filter(pl.col("sequence").str.len_chars() <= 30)
    test = short.filter(split="test")
    assert found.split("test").drop("distinct").equals(test.drop("distinct"))
    assert (sizes(found)["train"], sizes(found)["valid"]) == (60, 20)
    assert set(found.frame["example_id"]) < set(short["example_id"])
    for split in ("train", "valid"):
        own = short.filter(split=split)
        kept = own["example_id"].is_in(found.frame["example_id"].to_list())
        # Copies are in or out together.
        assert not set(own.filter(kept)["sequence"]) & set(own.filter(~kept)["sequence"])
        notes = found.notes[split]
        n = whole.split(split).height
        assert notes["too_long_for_sample"] == n - own.height
        assert notes["not_in_sample"] == own.height - found.split(split).height
    fewer = read_task(Task(kind="class", data=table, sample=sample | {"train": 30}), "rna")
    shared = set(fewer.split("train")["sequence"]) & set(found.split("train")["sequence"])
    assert len(shared) >= fewer.split("train")["sequence"].n_unique() - 1  # a copy less may fit
    other = read_task(Task(kind="class", data=table, sample=sample | {"seed": 1}), "rna")
    assert set(other.split("train")["sequence"]) != set(found.split("train")["sequence"])


def test_the_pool_is_held_apart_from_what_is_not_in_the_sample_too(table):
    """Rule protected gives data and kind only: another protocol changes no pool."""
    task = Task(kind="class", data=table, sample={"test": 5})
    read = Task(kind=task.kind, data=plain(task.data))
    held = protected_examples([read], ["test"], "rna")
    assert len(held) > read_task(task, "rna").split("test").height


def config(**task):
    return load_config(
        {
            "run": "r",
            "modality": "rna",
            "corpus": {"fasta": ["a.fa"]},
            "tasks": {"t": {"kind": "class", "data": DATA, **task}},
        }
    )


def test_rows_are_of_those_that_there_are():
    assert config(rows=["cci", "untrained"]).cnn_tasks() == []
    assert config(rows=["cnn"]).cnn_tasks() == config().cnn_tasks() == ["t"]
    with pytest.raises(ConfigError, match=r"tasks\.t\.rows: no row rna_fm; allowed: .*cci.*cnn"):
        config(rows=["cci", "rna_fm"])
