"""Architectures made from scratch: the presets, and any config.json of an encoder."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from coresift.alphabet import ALPHABETS
from coresift.config import ConfigError, check_architectures, load_config
from coresift.cost.operations import forward_bytes, scoring_bytes
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.heads import HEADED
from coresift.influence.parameters import resolve_layers
from coresift.influence.settings import Influence
from coresift.models.checkpoint import (
    MIXED,
    build_model,
    check_architecture,
    load_model,
    model_hash,
    save_model,
    skeleton,
)
from coresift.models.settings import MULTIMOLECULE, model_presets
from coresift.settings import plain
from coresift.training.mlm import train_mlm
from coresift.training.runs import pretrain
from coresift.training.settings import Finetune
from folders import ARCHITECTURES, write_folder

CPU = torch.device("cpu")
#: Million parameters of the public models whose shapes these are (with our vocabularies).
PUBLIC = {"rna-fm": 99.5, "esm2-8m": 7.5, "esm2-35m": 33.5, "esm2-150m": 148.1, "esmc-300m": 332.9}


def config_file(folder, name, **changes):
    """The config.json of a tiny model of an architecture, for 33 tokens or more."""
    values = ARCHITECTURES[name][0]().to_dict() | {"vocab_size": 64} | changes
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return str(path)


@pytest.mark.parametrize("preset", model_presets())
def test_every_preset_can_be_built(preset):
    modality = "rna" if preset in ("demo", "tiny", "rna-fm") else "protein"
    check_architecture(preset, modality)
    if preset in PUBLIC:
        with torch.device("meta"):
            model, _ = build_model(preset, modality, 0)
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        assert millions == pytest.approx(PUBLIC[preset], abs=0.1)


def test_what_mixes_padding_into_residues_is_not_built(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "yoso"}')
    with pytest.raises(ValueError, match="model_type 'yoso' mixes padding into residues"):
        check_architecture(str(path), "rna")
    config = load_config(
        {"run": "r", "modality": "rna", "corpus": {"fasta": ["a"]},
         "validate": {"training": {"preset": str(path)}}}
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"validate\.training\.preset: .*yoso"):
        check_architectures(config)


@pytest.mark.parametrize("name", sorted(MIXED))
def test_every_type_that_mixes_padding_is_refused(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    with pytest.raises(ValueError, match="mixes padding into residues"):
        check_architecture(str(tmp_path / "config.json"), "rna")


def test_big_bird_is_taken_with_whole_attention_alone(tmp_path):
    values = {"model_type": "big_bird", "hidden_size": 8, "num_attention_heads": 2,
              "num_hidden_layers": 1, "intermediate_size": 8}  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="give attention_type original_full"):
        check_architecture(str(path), "rna")
    path.write_text(json.dumps(values | {"attention_type": "original_full"}))
    check_architecture(str(path), "rna")


@pytest.mark.parametrize(
    ("key", "training", "model"),
    [("heldout", "pretrain", "pretrain"), ("influence", "finetune", "base")],
)
def test_models_from_scratch_read_no_position_that_they_did_not_learn(key, training, model):
    def config(preset, length=300, **read):
        found = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a"], "max_length": length}}
        found |= {key: read, training: {"max_tokens": 130}}
        return found | {model: {**found.get(model, {}), "preset": preset}}

    cause = rf"{key}\.max_tokens 1024 is above {training}\.max_tokens 130.*at most 130"
    with pytest.raises(ConfigError, match=cause):
        load_config(config("demo"))
    load_config(config("demo", max_tokens=130))
    load_config(config("demo", length=128))
    load_config(config("esm2-8m"))  # rotary


@pytest.mark.parametrize(("preset", "read"), [("demo", 12), ("tiny", 40)])  # tiny's are rotary
def test_tasks_read_absolute_positions_as_far_as_they_were_learnt(tmp_path, preset, read):
    rows = pl.DataFrame({"seq_id": ["a", "b"], "sequence": ["ACGUACGUACGU", "GGGCCCAAAU"]})
    options = plain(Finetune()) | {"max_tokens": 12, "tokens_per_step": 24, "checkpoint_steps": 9}
    files = (tmp_path / "m", tmp_path / "m.jsonl", tmp_path / "work")
    cut = pretrain(preset, "rna", rows, 40, options, 0, CPU, *files)
    assert cut["sequences"] == 1  # of twelve residues ten fit
    assert load_model(tmp_path / "m", "rna", 40)[2].max_tokens == read
    save_model(tmp_path / "u", *build_model(preset, "rna", 0, 12))
    assert load_model(tmp_path / "u", "rna", 40)[2].max_tokens == read
    config = load_config(
        {"run": "r", "modality": "rna", "corpus": {"fasta": ["a"], "max_length": 128}}
    )
    assert [config.longest_input(n) for n in (12, 130, 1024)] == [12, 130, 130]


def test_a_model_of_few_positions_is_scored_by_the_reference_preset_and_estimated(tmp_path):
    """BERT has 14 positions here; the preset pads to 1024, and a pool has longer sequences."""
    folder = write_folder(tmp_path / "bert", "bert")
    influence = Influence(preset="reference")
    model, _, encoder = load_model(folder, "protein", 1024)
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)
    rows = pl.DataFrame({"seq_id": ["a", "b"], "sequence": ["MKVAMKVAMKVAMKVAMKVA", "MK"]})
    assert engine.token_counts(rows).tolist() == [14, 14]
    assert engine.collate(rows["sequence"], rows["seq_id"]).ids.shape == (2, 14)
    assert set(engine.fisher_sums(rows)) == set(engine.shapes())
    for width in (14, 1024):
        assert forward_bytes(str(folder), "protein", "float32", width, 14) > 0
        assert scoring_bytes(str(folder), "protein", influence, width) > 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_config_of_any_architecture_is_pretrained_and_scored(tmp_path, name):
    preset = config_file(tmp_path, name)
    model, tokenizer = build_model(preset, "protein", 0)
    assert model_hash(model) == model_hash(build_model(preset, "protein", 0)[0])
    assert model_hash(model) != model_hash(build_model(preset, "protein", 1)[0])
    vocabulary = ALPHABETS["protein"].vocabulary
    assert model.config.pad_token_id == vocabulary.index("<pad>")
    save_model(tmp_path / "untrained", model, tokenizer)
    model, tokenizer, encoder = load_model(tmp_path / "untrained", "protein", 1024)
    rows = ["".join(np.random.default_rng(i).choice(list("MKV"), 12)) for i in range(20)]
    options = plain(Finetune(tokens_per_step=120, learning_rate=1e-2, max_tokens=16))
    records = train_mlm(model, encoder, rows, 4800, options, 0, CPU, tmp_path / "work")
    assert records[-1]["loss"] < records[0]["loss"]
    settings = resolve_settings(Influence(parameters="head"), 0)
    assert len(InfluenceEngine(model, encoder, settings, CPU).layers) == 1


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"model_type": "esm3"}, "model_type 'esm3' is no encoder trained by masking"),
        ({"model_type": "t5"}, "model_type 't5' is no encoder trained by masking"),
        ({"vocab_size": 20}, "vocab_size 20 is below the 33 tokens of protein"),
        ({"max_position_embeddings": 4, "position_embedding_type": "absolute"}, "no room"),
        ({"num_attention_heads": 3}, "no model can be made of it"),
    ],
)
def test_an_architecture_that_does_not_fit_fails_before_any_job(tmp_path, changes, cause):
    preset = config_file(tmp_path, "esm", **changes)
    config = {"run": "r", "modality": "protein", "corpus": {"fasta": ["a.fasta"]}}
    with pytest.raises(ConfigError, match=rf"(?s)pretrain\.preset: .*config\.json.*{cause}"):
        check_architectures(load_config(config | {"pretrain": {"preset": preset}}))
    with pytest.raises(ConfigError, match=rf"(?s)base\.preset: .*config\.json.*{cause}"):
        check_architectures(load_config(config | {"base": {"preset": preset}}))


LISTED = {"lm_head.dense.weight": None, "*.query.*": None, "*.qury.*": "matches no parameter",
          "*LayerNorm*": "only linear layers"}  # fmt: skip


@pytest.mark.parametrize(("pattern", "cause"), LISTED.items())
@pytest.mark.parametrize("checkpoint", [True, False])
@pytest.mark.parametrize("key", ["influence", "variant", "validate"])
def test_patterns_of_parameters_are_held_to_the_base_before_any_job(
    tmp_path, key, checkpoint, pattern, cause
):
    parameters = {"parameters": [pattern]}
    section = {
        "influence": {"influence": parameters},
        "variant": {"influence": {"variants": {"v": parameters}}},
        "validate": {"validate": {"parameters": ["head", [pattern]], "models": ["finetuned"]}},
    }[key]
    name = {"influence": "influence", "variant": "influence.variants.v", "validate": "validate"}
    base = {"preset": config_file(tmp_path, "esm")}
    if checkpoint:
        base = {"checkpoint": str(tmp_path)}
    config = {"run": "r", "modality": "protein", "corpus": {"fasta": ["a.fasta"]}, "base": base}
    loaded = load_config(config | section)
    if cause is None:
        check_architectures(loaded)
        return
    with pytest.raises(ConfigError, match=rf"^{name[key]}\.parameters.*{tmp_path}.*{cause}"):
        check_architectures(loaded)


def test_patterns_of_validation_are_held_to_the_small_models_too(tmp_path):
    config = {"run": "r", "modality": "protein", "corpus": {"fasta": ["a.fasta"]}}
    config["base"] = {"preset": config_file(tmp_path, "modernbert")}
    own = {"validate": {"parameters": [["head.dense.weight"]]}}
    with pytest.raises(ConfigError, match=r"^validate\.parameters\.0, of tiny: .*no parameter"):
        check_architectures(load_config(config | own))
    own["validate"]["models"] = ["finetuned"]
    check_architectures(load_config(config | own))
    for section in ({"influence": {"parameters": []}}, {"validate": {"parameters": [[]]}}):
        with pytest.raises(ConfigError, match=r"parameters\..*at least 1 item"):
            load_config(config | section)


@pytest.mark.parametrize("name", sorted(HEADED - MULTIMOLECULE))
def test_a_type_that_is_said_to_have_a_head_has_one(tmp_path, name):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": name, "vocab_size": 33, "pad_token_id": 1})
    )
    assert [layer.weight for layer in resolve_layers(skeleton(str(tmp_path), "rna", False), "head")]


@pytest.mark.parametrize("name", ["eurobert", "flaubert", "rembert", "xlm"])
def test_a_model_without_a_known_head_fails_before_any_job(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a"]}}
    config["base"] = {"checkpoint": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"^influence\.parameters, of .*'head' needs one of"):
        check_architectures(load_config(config))
    check_architectures(load_config(config | {"influence": {"parameters": "linear"}}))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (None, "not a readable config.json"),
        ("{", "not a readable config.json"),
        ("[]", "no model_type"),
        ('{"hidden_size": 8}', "no model_type"),
    ],
)
def test_a_file_that_is_no_config_json_is_named(tmp_path, text, cause):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fasta"]}}
    with pytest.raises(ConfigError, match=rf"pretrain\.preset: .*{cause}"):
        load_config(config | {"pretrain": {"preset": str(path)}})
