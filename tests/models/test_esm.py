"""The model is transformers' EsmForMaskedLM, bit for bit: weights, outputs, gradients and files."""

import json

import pytest
import torch
from coresift.models.checkpoint import build_model, load_model, model_hash, save_model
from coresift.models.esm import EsmForMaskedLM
from safetensors.torch import load_file, save_file
from transformers import EsmConfig
from transformers import EsmForMaskedLM as Theirs

#: Every branch of the architecture, small.
SHAPES = {
    "rotary": {"position_embedding_type": "rotary", "emb_layer_norm_before": True},
    "esm2": {"position_embedding_type": "rotary", "token_dropout": True},
    "rna-fm": {
        "position_embedding_type": "absolute",
        "emb_layer_norm_before": True,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    },
    "wide": {"position_embedding_type": "absolute", "initializer_range": 0.1},
}


def shape(name):
    small = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 40, "emb_layer_norm_before": False,
        "token_dropout": False, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "vocab_size": 25, "pad_token_id": 1, "mask_token_id": 24,
    }  # fmt: skip
    return {**small, **SHAPES[name]}


def both(name):
    """The model of a shape and theirs, from one seed."""
    models = []
    for make in (EsmForMaskedLM.from_shape, lambda **values: Theirs(EsmConfig(**values))):
        torch.manual_seed(3)
        models.append(make(**shape(name)))
    return models


def batch(padded):
    ids = torch.randint(4, 24, (3, 12), generator=torch.Generator().manual_seed(0))
    ids[0, 3] = 24
    attention = torch.ones_like(ids)
    if padded:
        ids[1, 7:], attention[1, 7:] = 1, 0
    return ids, attention


def outputs(model, padded, bf16):
    """Logits, last hidden states, and the gradient of each parameter."""
    ids, attention = batch(padded)
    torch.manual_seed(5)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(input_ids=ids, attention_mask=attention).logits
        states = model.base_model(input_ids=ids, attention_mask=attention).last_hidden_state
    logits.float().logsumexp(-1).sum().backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits, "states": states, **found}


@pytest.mark.parametrize("name", SHAPES)
def test_weights_outputs_and_gradients(name):
    torch.set_num_threads(1)
    ours, theirs = both(name)
    assert model_hash(ours) == model_hash(theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for padded, bf16, training in [(0, 0, 0), (1, 0, 1), (1, 1, 0), (0, 1, 1)]:
        here, there = (outputs(m.train(bool(training)), padded, bool(bf16)) for m in (ours, theirs))
        assert set(here) == set(there)
        assert [n for n in here if not torch.equal(here[n], there[n])] == []


@pytest.mark.parametrize("name", SHAPES)
def test_files_are_theirs_both_ways(tmp_path, name):
    ours, theirs = both(name)
    ours.save_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "theirs")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()
    state = torch.get_rng_state()
    loaded = EsmForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert torch.equal(torch.get_rng_state(), state)
    assert not loaded.training
    assert model_hash(loaded) == model_hash(ours)
    assert loaded.lm_head.decoder.weight is loaded.esm.embeddings.word_embeddings.weight
    assert model_hash(Theirs.from_pretrained(tmp_path)) == model_hash(ours)


def test_a_preset_with_an_unknown_value_is_an_error():
    with pytest.raises(ValueError, match=r"unknown or missing: heads$"):
        EsmForMaskedLM.from_shape(**shape("esm2"), heads=3)
    with pytest.raises(ValueError, match=r"unknown or missing: hidden_size$"):
        EsmForMaskedLM.from_shape(**{k: v for k, v in shape("esm2").items() if k != "hidden_size"})


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def without_rope(folder):
    """As transformers 4 wrote it."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    del values["rope_theta"]
    path.write_text(json.dumps(values))


def change_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


OTHERS = {
    "untied": lambda f: change_config(f, tie_word_embeddings=False),
    "another class": lambda f: change_config(f, architectures=["EsmModel"]),
    "another position": lambda f: change_config(f, position_embedding_type="relative_key"),
    "an older config": without_rope,
    "half precision": lambda f: change_weights(f, lambda t: {n: v.half() for n, v in t.items()}),
    "a weight more": lambda f: change_weights(f, lambda t: {**t, "more": torch.zeros(1)}),
    "a weight less": lambda f: change_weights(f, lambda t: dict(list(t.items())[1:])),
    "another size": lambda f: change_config(f, intermediate_size=32),
    "a broken file": lambda f: (f / "model.safetensors").write_bytes(b"half a file"),
    "no safetensors": lambda f: (f / "model.safetensors").unlink(),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_checkpoints_are_left_to_transformers(tmp_path, change):
    both("esm2")[0].save_pretrained(tmp_path)
    change(tmp_path)
    assert EsmForMaskedLM.from_pretrained(tmp_path) is None


def test_load_model_reads_others_through_transformers(tmp_path):
    model, tokenizer = build_model("tiny", "rna", 0)
    save_model(tmp_path / "m", model, tokenizer)
    assert isinstance(load_model(tmp_path / "m", "rna", 64)[0], EsmForMaskedLM)
    without_rope(tmp_path / "m")
    loaded = load_model(tmp_path / "m", "rna", 64)[0]
    assert isinstance(loaded, Theirs)
    assert model_hash(loaded) == model_hash(model)
