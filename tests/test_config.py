"""Bad configuration fails with the key, the value and what is allowed."""

import pytest
from coresift.config import load_config
from coresift.corpus.settings import source_name
from coresift.settings import ConfigError, plain
from coresift.tasks.settings import METRIC_NAMES, Task, task_presets

GOOD = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}


def changed(path, value):
    config = {**GOOD, "corpus": dict(GOOD["corpus"])}
    node = config
    *parents, last = path.split(".")
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    return config


def test_defaults_are_valid():
    config = load_config(GOOD)
    assert config.section("subset") == {"subset": {"size": 20000, "fasta": None}}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("selection.strategies", ["best"], ["selection.strategies.0", "top_influence", "'best'"]),
        ("influence.damping", 0, ["influence.damping", "greater than 0"]),
        ("influence.dampening", 1, ["influence.dampening: unknown key", "damping_mode"]),
        ("selection.budgets", [10, 10], ["selection", "twice"]),
        ("corpus.min_length", 5000, ["min_length 5000 is above max_length"]),
        ("corpus.fasta", ["x/a.fa", "y/a.fa.gz"], ["file names must differ"]),
        ("subset.fasta", ["b.fa"], ["not in corpus.fasta"]),
        ("influence.shards", 100000, ["influence.shards 100000 is above corpus.blocks"]),
        ("modality", "dna", ["modality", "'rna' or 'protein'"]),
        ("tasks.t", {"kind": "class", "data": {"path": "x", "label_regex": "("}}, ["label_regex"]),
        ("tasks.t", {"preset": "modify", "data": {"path": "x"}}, ["no task preset", "modif,"]),
        ("tasks.t", {"preset": "localization", "data": {"path": "x"}}, ["a protein task"]),
        ("tasks.t", {"preset": "modif", "heads": 1}, ["tasks.t.heads: unknown key", "head,"]),
        ("tasks.t", {"kind": "token", "metric": "f1", "data": {"path": "x"}}, ["macro_f1"]),
        ("tasks.t", {"kind": "pair", "data": {"path": "x"}}, ["need data.sequence_b"]),
        ("tasks.t", {"preset": "crispr_on", "data": {"train": "x", "test": "y"}}, ["draw: null"]),
        ("evaluate.checkpoints", {"kmer": "x"}, ["kmer is the name of the baseline"]),
    ],
)
def test_errors_name_key_and_allowed_values(path, value, expected):
    with pytest.raises(ConfigError) as caught:
        load_config(changed(path, value))
    for text in expected:
        assert text in str(caught.value)


def test_a_preset_gives_what_the_config_does_not():
    data = {"path": "x.csv", "label": "y"}
    config = load_config(changed("tasks.t", {"preset": "crispr_on", "epochs": 2, "data": data}))
    task = config.tasks["t"]
    assert (task.kind, task.epochs, task.head) == ("scalar", 2, "pooler")
    assert (task.data.sequence, task.data.label, task.data.draw.test) == ("sgrna", "y", 416)
    assert Task(**plain(task)) == task  # as a rule's params rebuild it


@pytest.mark.parametrize("name", task_presets())
def test_every_preset_is_valid(name):
    pairs = {"fasta": "a", "fasta_b": "b"} if name == "rbp" else {}
    task = Task(preset=name, data={"path": "x", **pairs})
    assert task.mode == "finetune"
    assert task.primary in METRIC_NAMES[task.metrics]


def test_source_name():
    assert source_name("x/y/rna.v1.fasta.gz") == "rna.v1"


def test_cci_variants_are_named_selections():
    config = load_config(changed("selection.cci_variants", {"cci_hard0": {"prune_hard": 0}}))
    assert config.selection.names[-1] == "cci_hard0"
    assert config.selection.resolve("cci_hard0")[1]["prune_hard"] == 0
    assert config.selection.resolve("cci")[1]["prune_hard"] == 0.1
    assert config.selection.resolve("random") == ("random", {})
    with pytest.raises(ConfigError, match=r"selection\.cci_variants"):
        load_config(changed("selection.cci_variants", {"top": {}}))
