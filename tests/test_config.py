"""Bad configuration fails with the key, the value and what is allowed."""

import pytest
from coresift.config import check_paths, load_config
from coresift.corpus.settings import source_name
from coresift.files import read_yaml
from coresift.influence.settings import REFERENCE, Influence
from coresift.selection.request import Request
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
    assert config.section("subset") == {"subset": {"size": 20000, "seed": None, "fasta": None}}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("selection.strategies", ["best"], ["selection.strategies.0", "top_influence", "'best'"]),
        ("selection.strategies", ["cci", "Cci"], ["strategies.1", "'Cci' is no selection's name"]),
        ("selection.strategies", ["random_length"], ["random_length:SELECTION", ":top_influence"]),
        ("selection.strategies", ["random_tokens"], ["random_tokens:SELECTION"]),
        ("selection.strategies", ["target"], ["influence.targets", "target:TARGET"]),
        ("selection.strategies", ["target:x"], ["target:x ranks 'target_x', no such", "allowed"]),
        ("selection.strategies", ["random.loss"], ["random takes no .SCORE", "top_influence, "]),
        ("selection.strategies", ["cci:loss"], ["cci takes nothing after a colon, not :loss"]),
        ("selection.strategies", ["random_length:best"], ["no strategy 'best'; allowed: top_inf"]),
        ("selection.strategies", ["random_kept:loss"], ["random_kept takes a CCI selection"]),
        ("selection.strategies", ["cci_x"], ["no CCI variant 'cci_x'; in selection.cci_variants"]),
        ("selection.strategies", ["cci", "cci.influence"], ["are the same selection"]),
        ("selection.strategies", ["cci.luck"], ["cci.luck ranks 'luck', no such score", "grad_"]),
        ("selection.strategies", ["cluster_sqrt"], ["cluster_sqrt needs clusters", "corpus.clus"]),
        ("selection.strategies", ["random_groups:cluster_cci"], ["cluster_cci needs clusters"]),
        ("selection.score", "luck", ["selection.score: no score 'luck'; allowed: influence, res"]),
        ("selection.group", "family", ["no grouping 'family'; allowed: source"]),
        ("selection.group", "cluster", ["no grouping 'cluster'; allowed: source"]),
        ("selection.draws", "same", ["selection.draws", "'independent' or 'shared'"]),
        ("selection.controls", ["random"], ["selection.controls.0", "'random_length'"]),
        ("influence.damping", 0, ["influence.damping", "greater than 0"]),
        ("influence.dampening", 1, ["influence.dampening: unknown key", "damping_mode"]),
        *(
            ("influence", {"preset": "reference", key: value}, ["influence: ", f"fixes {key}: "])
            for key, value in (
                ("parameters", "linear"),
                ("loss", "masked"),
                ("curvature", "kfac"),
                ("damping", 0.1),
                ("damping_mode", "relative"),
                ("max_tokens", 512),
                ("per", "residue"),
                ("ambiguous", "skip"),
            )
        ),
        *(
            (f"{key}.max_tokens", 2, [f"{key}.max_tokens: ", "greater than or equal to 3"])
            for key in ("finetune", "pretrain", "influence", "validate.training", "heldout")
        ),
        (
            "tasks.t",
            {"kind": "class", "max_tokens": 2, "data": {"path": "x"}},
            ["tasks.t.max_tokens: ", "greater than or equal to 3"],
        ),
        ("selection.budgets", [10, 10], ["selection", "twice"]),
        ("selection.budgets", ["1M residues", "1000k residues"], ["twice: 1Mr, 1Mr"]),
        (
            "selection.budgets",
            ["50 M residues"],
            ["selection.budgets.0", "50M residues", "'50 M r"],
        ),
        ("corpus.min_length", 5000, ["min_length 5000 is above max_length"]),
        ("corpus.long", "split", ["corpus.long", "'window', 'crop' or 'reject'"]),
        ("corpus.window_overlap", 1022, ["window_overlap 1022 is not below max_length 1022"]),
        ("corpus.window_overlap", -1, ["corpus.window_overlap: ", "greater than or equal to 0"]),
        (
            "corpus",
            {"fasta": ["a.fa"], "long": "crop", "window_overlap": 9},
            ["corpus: window_overlap 9 goes with long: window, not crop"],
        ),
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
        ("evaluate.checkpoints", {"kmer": "x"}, ["names of other rows: kmer"]),
        ("base", {"size": 100}, ["base.size 100 is below subset.size 20000"]),
        ("base", {"size": 0}, ["base.size: ", "greater than or equal to 1"]),
        ("base", {"size": 30000, "checkpoint": "x"}, ["base: size is of a base made from scratch"]),
        ("base.precision", "fp16", ["base.precision: ", "'float32' or 'bf16'"]),
        ("finetune.precision", "float16", ["finetune.precision: ", "'float32' or 'bf16'"]),
        ("evaluate.precision", "fp16", ["evaluate.precision: ", "'float32' or 'bf16'"]),
        ("base.preset", "tinny", ["base.preset: no model preset 'tinny'; allowed: ", "tiny"]),
        ("pretrain.preset", "../models/tiny", ["pretrain.preset: no model preset", "rna-fm"]),
        ("run", "..", ["run: ", "'..'"]),
        ("run", ".", ["run: ", "'.'"]),
        ("run", "a/b", ["run: ", "'a/b'"]),
        ("run", "", ["run: "]),
        ("Corpus", {}, ["Corpus: unknown key; allowed: run, modality, "]),
        ("corpus.Fasta", ["a.fa"], ["corpus.Fasta: unknown key; allowed: fasta, "]),
        ("corpus.cluster", {"Identity": 0.9}, ["Identity: unknown key; allowed: identity, "]),
        ("influence.variants", {"v": {"Loss": 1}}, ["v.Loss: unknown key; allowed: parameters"]),
        ("downloads", {"a.fa": {"URL": "https://x"}}, ["a.fa.URL: unknown key; allowed: url"]),
        (
            "tasks.t",
            {"kind": "class", "data": {"path": "x", "draw": {"test": 1, "Valid": 1}}},
            ["tasks.t.data.draw.Valid: unknown key; allowed: test, valid, seed"],
        ),
        ("tasks", {1: {"kind": "class", "data": {"path": "x"}}}, ["tasks.1", "valid string"]),
    ],
)
def test_errors_name_key_and_allowed_values(path, value, expected):
    with pytest.raises(ConfigError) as caught:
        load_config(changed(path, value))
    for text in expected:
        assert text in str(caught.value)


def test_the_reference_preset_s_own_values_may_be_given_and_load_again():
    given = {"preset": "reference", "damping": "1e-8", "max_tokens": 1024, "n_masks": 2}
    influence = load_config({**GOOD, "influence": given}).influence
    assert influence.model_dump() == influence.model_dump() | REFERENCE
    # As a rule hands it to a script, and a card to a reader.
    assert load_config({**GOOD, "influence": plain(influence)}).influence == influence
    assert Influence(**influence.model_dump(exclude={"loss", "max_tokens"})) == influence


def test_what_is_not_given_is_missing():
    with pytest.raises(ConfigError) as caught:
        load_config({"corpus": {}})
    assert str(caught.value).splitlines()[1:] == [
        "  run: missing",
        "  modality: missing",
        "  corpus.fasta: missing",
    ]


def paths_config():
    """Every kind of path; those of `optional` are not needed."""
    data = {"train": "t.csv", "test": "e.csv"}
    return load_config(
        {
            **GOOD,
            "corpus": {"fasta": ["a.fa", "b.fa"]},
            "subset": {"fasta": ["a.fa"]},
            "base": {"checkpoint": "base"},
            "downloads": {"e.csv": {"url": "https://x"}, "left.fa": {"url": "https://x"}},
            "tasks": {
                "t": {"kind": "class", "data": data},
                "o": {"kind": "class", "optional": True, "data": {"path": "o.csv"}},
            },
            "evaluate": {"checkpoints": {"other": "model"}},
        }
    )


def test_every_path_has_its_key():
    assert paths_config().paths() == {
        "corpus.fasta.0": "a.fa",
        "corpus.fasta.1": "b.fa",
        "base.checkpoint": "base",
        "tasks.t.data.train": "t.csv",
        "tasks.t.data.test": "e.csv",
        "evaluate.checkpoints.other": "model",
    }


def test_absent_paths_are_listed_with_their_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fa").touch()
    (tmp_path / "b.fa").symlink_to("nowhere")
    with pytest.raises(ConfigError) as caught:
        check_paths(paths_config())
    first, *lines = str(caught.value).splitlines()
    assert str(tmp_path) in first
    assert [line.split()[0] + line.split()[-1] for line in lines] == [
        "corpus.fasta.1:b.fa",
        "base.checkpoint:base",
        "tasks.t.data.train:t.csv",
        "evaluate.checkpoints.other:model",
    ]
    (tmp_path / "b.fa").unlink()
    for name in ("b.fa", "model"):
        (tmp_path / name).mkdir()
    (tmp_path / "model/config.json").touch()
    (tmp_path / "model/pytorch_model.bin").touch()
    no_tokenizer = (
        "no tokenizer (tokenizer.json, vocab.txt, vocab.json, tokenizer.model, spiece.model, "
        "sentencepiece.bpe.model)"
    )
    for name in ("base", "t.csv"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        check_paths(paths_config())
    assert str(caught.value).splitlines()[1:] == [
        "  corpus.fasta.1: a folder, not a file: b.fa",
        "  base.checkpoint: a file, not a checkpoint's folder: base",
        f"  evaluate.checkpoints.other: not a checkpoint, {no_tokenizer}: model",
    ]
    for here, free in (("base", "spare"), ("b.fa", "base"), ("spare", "b.fa")):
        (tmp_path / here).rename(tmp_path / free)
    (tmp_path / "model/tokenizer.json").touch()
    with pytest.raises(ConfigError) as caught:
        check_paths(paths_config())
    assert str(caught.value).splitlines()[1:] == [
        "  base.checkpoint: not a checkpoint, no config.json, no weights (model.safetensors or "
        f"pytorch_model.bin, or shards), {no_tokenizer}: base"
    ]
    for name in ("config.json", "model.safetensors.index.json", "vocab.txt"):
        (tmp_path / "base" / name).touch()
    with pytest.raises(ConfigError, match=r"of base: base/config\.json: not readable JSON"):
        check_paths(paths_config())
    (tmp_path / "base/config.json").write_text('{"model_type": "esm"}')
    check_paths(paths_config())


def test_a_download_that_nothing_names():
    assert paths_config().unused_downloads() == ["left.fa"]


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
    selection = config.selection
    assert "cci_hard0" in selection.names
    assert selection.request("cci_hard0").options["prune_hard"] == 0
    assert selection.request("cci_hard0.loss").score == "loss"
    assert selection.request("random_kept:cci_hard0").options["prune_hard"] == 0
    assert selection.request("random_kept").options["prune_hard"] == 0.1
    assert selection.request("cci").options["prune_hard"] == 0.1
    random = Request("random", "random", salt="random")
    assert selection.request("random") == random
    with pytest.raises(ConfigError, match=r"selection\.cci_variants"):
        load_config(changed("selection.cci_variants", {"top": {}}))


def test_controls_are_added_for_what_is_not_random():
    def names(**values):
        return load_config({**GOOD, "selection": values}).selection.names

    asked = ["cci.loss", "random", "pool", "random_kept", "loss"]
    assert names(strategies=asked) == [*asked, "random_length:cci.loss", "random_length:loss"]
    assert names(strategies=asked, controls=[]) == asked
    both = ["random_length:cci", "random_groups:cci"]
    assert names(strategies=["cci", both[0]], controls=["random_length", "random_groups"]) == [
        "cci",
        *both,
    ]
    with_variant = names(strategies=["random"], cci_variants={"cci_a": {"n_strata": 9}})
    assert with_variant == ["random", "cci_a", "random_length:cci_a"]


def test_what_is_drawn_for_a_control_only_is_checked_too():
    config = load_config(changed("selection.strategies", ["random_length:random_groups:decile_3"]))
    requests = config.selection.requests()
    assert [*requests] == [
        "random_length:random_groups:decile_3",
        "random_groups:decile_3",
        "decile_3",
    ]
    assert requests["random_groups:decile_3"].by == "source"
    assert requests["decile_3"].score == "influence"


def test_groupings_and_scores_are_those_that_the_other_stages_make():
    config = load_config(
        {
            **GOOD,
            "corpus": {"fasta": ["a.fa"], "cluster": {}},
            "influence": {"variants": {"plain": {"curvature": "identity"}}},
            "selection": {
                "strategies": ["cci", "cci.loss", "cluster_cci.plain", "group_sqrt"],
                "score": "plain",
                "group": "cluster",
                "draws": "shared",
            },
        }
    )
    assert config.corpus.groupings == ["source", "cluster"]
    assert config.selection.ranked == ["plain", "loss"]
    requests = config.selection.requests()
    assert requests["cci"].score == requests["cluster_cci.plain"].score == "plain"
    assert requests["group_sqrt"].by == "cluster"
    assert {request.salt for request in requests.values()} == {""}


@pytest.mark.parametrize("name", ["demo", "rna", "protein"])
def test_the_recipe_of_a_coreset_is_a_config(root, name):
    config = load_config(read_yaml(root / f"config/{name}.yaml"))
    assert name == "demo" or any(task.rows for task in config.tasks.values())
    sections = {"run", "modality", "corpus", "tasks", "subset", "base", "finetune", "influence"}
    for selection in config.selection.names:
        recipe = {**config.portable(sections), "selection": config.selection.only(selection)}
        own = load_config(recipe).selection
        # A control of a variant brings it along.
        assert own.names == [selection, *(n for n in own.cci_variants if n != selection)]
        assert own.request(selection) == config.selection.request(selection)


def test_a_variant_may_not_be_called_as_a_feature_is():
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a"]}}
    config["influence"] = {"variants": {"low_complexity": {"damping": 1}}}
    with pytest.raises(ConfigError, match=r"scores or features have names \['low_complexity'\]"):
        load_config(config)
