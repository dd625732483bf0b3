"""Every architecture through every stage, every layout of a folder, and what is refused."""

import json
import re

import numpy as np
import polars as pl
import pytest
import torch
from coresift.corpus.blocks import sequence_id
from coresift.influence.curvature import summing
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher, compute_part, inverse_curvature, merge_parts
from coresift.influence.scoring import score_all, score_frame
from coresift.influence.settings import Influence
from coresift.models.checkpoint import build_model, load_model, model_hash, position_limit
from coresift.models.tokenizer import Encoder, VocabularyError
from coresift.models.weights import CheckpointError
from coresift.settings import plain
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.settings import Task
from coresift.training.runs import finetune
from coresift.training.settings import Finetune
from folders import ARCHITECTURES, LETTERS, make_model, untied, write_folder, write_weights
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def proteins(n=10, low=5, high=18):
    rng = np.random.default_rng(0)
    rows = ["".join(rng.choice(list(LETTERS[:20]), rng.integers(low, high))) for _ in range(n)]
    frame = pl.DataFrame({"seq_id": [sequence_id(s) for s in rows], "sequence": rows})
    return frame.sort("seq_id").with_columns(
        length=pl.col("sequence").str.len_bytes().cast(pl.Int32),
        block=pl.lit(0, pl.Int32),
    )


def logits(model):
    ids = torch.arange(4, 16)[None]
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def gradients(engine, frame):
    """Gradient by layer of each sequence's mean loss, alone and unpadded, by plain autograd."""
    found = []
    for row in frame.iter_rows(named=True):
        batch = engine.collate([row["sequence"]], [row["seq_id"]])
        engine.model.requires_grad_(True)
        output = engine.model(input_ids=batch.ids, attention_mask=batch.attention).logits
        chosen = output.flatten(0, 1)[batch.chosen.flatten()]
        loss = F.cross_entropy(chosen, batch.labels.flatten())
        parameters = dict(engine.model.named_parameters())
        names = list(engine.shapes())
        values = torch.autograd.grad(loss, [parameters[name] for name in names])
        engine.model.requires_grad_(False)
        found.append(dict(zip(names, values, strict=True)))
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_goes_through_every_stage(tmp_path, name):
    _, _, head, limit = ARCHITECTURES[name]
    frame = proteins()
    base = write_folder(tmp_path / "base", name, dtype=torch.bfloat16)
    options = plain(Finetune(tokens_per_step=60, learning_rate=1e-2, max_tokens=16))
    finetune(
        base, "protein", frame, 2.0, options, 0, CPU,
        tmp_path / "tuned", tmp_path / "metrics", tmp_path / "work",
    )  # fmt: skip
    assert {t.dtype for t in load_file(tmp_path / "tuned/model.safetensors").values()} == {
        torch.float32
    }
    model, tokenizer, encoder = load_model(tmp_path / "tuned", "protein", 16)
    assert position_limit(model) == limit
    assert encoder.max_tokens == (limit or 16)
    assert model_hash(model) != model_hash(load_model(base, "protein", 16)[0])
    ends = tokenizer.cls_token_id, tokenizer.eos_token_id or tokenizer.sep_token_id
    assert tuple(encoder.encode("MKV")[[0, -1]]) == ends

    # The engine's sums are autograd's in every layer, of the head and before it.
    influence = Influence(parameters="linear", loss="masked", n_masks=1, precision="float64")
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)
    expected = gradients(engine, frame[:4])
    for key, total in engine.fisher_sums(frame[:4]).items():
        exact = sum(g[key].square() for g in expected)
        torch.testing.assert_close(total, exact, rtol=1e-6, atol=1e-12)

    influence = Influence(parameters="head", damping=0.1)
    model = load_model(tmp_path / "tuned", "protein", 16)[0]
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)
    assert list(engine.shapes()) == [head]
    fisher = tmp_path / "diagonal.safetensors"
    compute_part(
        engine, frame, summing(engine, "diagonal", ["head"]), 0, 1, {},
        tmp_path / "part", tmp_path / "checkpoint",
    )  # fmt: skip
    merge_parts([tmp_path / "part"]).save(fisher)
    files = {influence.loss: {"diagonal": fisher}}
    scores = score_all(model, encoder, influence, 0, CPU, files, {}, frame, tmp_path / "cache")
    assert scores["influence"]["seq_id"].equals(frame["seq_id"])
    inverse = inverse_curvature(Fisher.load(fisher), engine.settings, CPU)
    direct = score_frame(engine, {"influence": inverse}, frame)["influence"]
    assert scores["influence"].equals(direct)
    assert scores["influence"]["influence"].min() > 0

    rows = [
        f"{s},{'ab'[i % 2]},{('train', 'valid', 'test')[i % 3]}\n"
        for i, s in enumerate(proteins(30)["sequence"])
    ]
    (tmp_path / "task.csv").write_text("sequence,label,split\n" + "".join(rows))
    task = Task(kind="class", data={"path": str(tmp_path / "task.csv")}, epochs=1)
    _, predictions = evaluate_task(
        tmp_path / "tuned", task, "protein", [0], 256, CPU, tmp_path / "states"
    )
    assert predictions.height == 10


def test_layers_whose_outputs_are_changed_in_place_are_scored(tmp_path):
    path = tmp_path / "config.json"
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 16, "max_position_embeddings": 64}  # fmt: skip
    path.write_text(json.dumps({"model_type": "roc_bert", **sizes}))
    model, tokenizer = build_model(str(path), "protein", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "protein", 32)
    influence = Influence(parameters="linear", precision="float64")
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)
    frame = proteins(1)
    (exact,) = gradients(engine, frame)
    for key, total in engine.fisher_sums(frame).items():
        torch.testing.assert_close(total, exact[key].square(), rtol=1e-6, atol=1e-12, msg=key)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layout_gives_the_same_model_in_float32(tmp_path, name):
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        expected = make_model(name)
        rounded = {key: t.to(dtype).float() for key, t in expected.state_dict().items()}
        expected.load_state_dict(rounded)
        for form in ("safetensors", "bin", "safetensors-shards", "bin-shards"):
            folder = write_folder(tmp_path / f"{form}-{dtype}", name, form, dtype)
            model = load_model(folder, "protein", 1024)[0]
            assert {t.dtype for t in model.state_dict().values()} == {torch.float32}
            assert not model.training
            assert torch.equal(logits(model), logits(expected)), (form, dtype)
            assert model_hash(model) == model_hash(expected)


@pytest.mark.parametrize("name", ["esm", "bert", "modernbert"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda key: f"module.{key}",
        lambda key: f"model.{key}",
        lambda key: f"_orig_mod.{key}",
        lambda key: f"module._orig_mod.{key}",
        lambda key: re.sub(r"(layers?\.\d+)", r"\1._checkpoint_wrapped_module", key),
    ],
)
def test_wrappers_are_recognised(tmp_path, caplog, name, wrap):
    model = make_model(name)
    weights = {wrap(key): tensor for key, tensor in untied(model).items()}
    folder = write_folder(tmp_path / "m", name, "bin", weights=weights)
    caplog.set_level("INFO")
    assert model_hash(load_model(folder, "protein", 1024)[0]) == model_hash(model)
    assert "names without their wrapper" in caplog.text


def test_what_is_benign_may_be_missing_or_left_and_is_the_same_in_every_job(tmp_path, caplog):
    caplog.set_level("INFO")
    weights = untied(make_model("esm"))
    for key in [key for key in weights if "contact_head" in key or "inv_freq" in key]:
        del weights[key]
    weights["esm.pooler.dense.weight"] = torch.ones(8, 8)
    weights["esm.embeddings.position_ids"] = torch.arange(16)[None]
    folder = write_folder(tmp_path / "m", "esm", weights=weights)
    torch.manual_seed(1)
    first = load_model(folder, "protein", 1024)[0]
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = load_model(folder, "protein", 1024)[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert model_hash(first) == model_hash(second)
    assert torch.equal(logits(first), logits(make_model("esm")))
    assert "lacks esm.contact_head" in caplog.text
    assert "pooler" in caplog.text


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_encoder_without_its_head_is_for_evaluation_only(tmp_path, name):
    encoder = make_model(name).base_model
    folder = write_folder(tmp_path / "m", name, weights=untied(encoder))
    with pytest.raises(CheckpointError, match=rf"{folder}: weights missing: .*\(the LM head"):
        load_model(folder, "protein", 1024)
    first = load_model(folder, "protein", 1024, lm_head=False)[0]
    second = load_model(folder, "protein", 1024, lm_head=False)[0]
    assert model_hash(first) == model_hash(second)
    ids = torch.arange(4, 16)[None]
    expected = encoder(input_ids=ids).last_hidden_state
    assert torch.equal(first.base_model(input_ids=ids).last_hidden_state, expected)
    if name == "bert":  # half of the encoder is not enough
        weights = {k: t for k, t in untied(encoder).items() if "layer.1" not in k}
        write_folder(folder, name, weights=weights)
        with pytest.raises(CheckpointError, match=r"missing: bert\.encoder\.layer\.1"):
            load_model(folder, "protein", 1024, lm_head=False)


class Evil:
    """Pickles to a call of a function."""

    def __reduce__(self):
        return (print, ("executed",))


def edit_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_weights(folder, change, form="safetensors"):
    weights = untied(make_model("bert"))
    change(weights)
    (folder / "model.safetensors").unlink()
    write_weights(folder, weights, form)


def shards(folder):
    edit_weights(folder, lambda weights: None, "safetensors-shards")
    return folder


DENSE = "bert.encoder.layer.0.output.dense.weight"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
#: What is done to a good folder of BERT, and what the error says after the folder's name.
FAULTS = {
    "no folder": (lambda f: f.rename(f"{f}2"), "no config.json"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config cut": (
        lambda f: (f / "config.json").write_text('{"model_type": "be'),
        "config.json: not readable JSON",
    ),
    "config not an object": (
        lambda f: (f / "config.json").write_text("[1]"),
        "config.json: not a JSON object",
    ),
    "unknown model_type": (
        lambda f: edit_json(f / "config.json", model_type="brt"),
        "config.json with model_type 'brt' not usable",
    ),
    "no model_type": (
        lambda f: (f / "config.json").write_text("{}"),
        "config.json with model_type None not usable",
    ),
    "decoder": (
        lambda f: (f / "config.json").write_text('{"model_type": "gpt2"}'),
        "model_type 'gpt2' is not an encoder",
    ),
    "mixes padding": (
        lambda f: (f / "config.json").write_text('{"model_type": "fnet"}'),
        "model_type 'fnet' mixes padding into residues",
    ),
    "encoder-decoder": (
        lambda f: (f / "config.json").write_text('{"model_type": "bart"}'),
        "model_type 'bart' is not an encoder",
    ),
    "own code": (
        lambda f: edit_json(
            f / "config.json", model_type="mine", auto_map={"AutoConfig": "configuration.Mine"}
        ),
        "not usable .*custom code",
    ),
    "quantised": (
        lambda f: edit_json(f / "config.json", quantization_config={"load_in_8bit": True}),
        "quantised weights",
    ),
    "heads do not divide": (
        lambda f: edit_json(f / "config.json", num_attention_heads=3),
        "no model can be made from config.json",
    ),
    "another hidden size": (
        lambda f: edit_json(f / "config.json", intermediate_size=16),
        rf"another shape: .*{DENSE} \(8, 12\), not \(8, 16\)",
    ),
    "more layers": (
        lambda f: edit_json(f / "config.json", num_hidden_layers=3),
        "weights missing: bert.encoder.layer.2",
    ),
    "fewer layers": (
        lambda f: edit_json(f / "config.json", num_hidden_layers=1),
        "weights that the model does not have: bert.encoder.layer.1",
    ),
    "one weight missing": (
        lambda f: edit_weights(f, lambda w: w.pop(DENSE)),
        f"weights missing: {DENSE}$",
    ),
    "embedding and decoder missing": (
        lambda f: edit_weights(f, lambda w: w.pop("bert.embeddings.word_embeddings.weight")),
        "weights missing: bert.embeddings.word_embeddings.weight, cls.predictions.decoder.weight",
    ),
    "head missing": (
        lambda f: edit_weights(f, lambda w: w.pop("cls.predictions.transform.dense.bias")),
        r"missing: cls.predictions.transform.dense.bias \(the LM head",
    ),
    "one weight too many": (
        lambda f: edit_weights(f, lambda w: w.update({"adapter.weight": torch.ones(2)})),
        "does not have: adapter.weight$",
    ),
    "strange prefix": (
        lambda f: edit_weights(
            f, lambda w: [w.update({f"net.{key}": w.pop(key)}) for key in list(w)]
        ),
        "weights missing: bert.embeddings",
    ),
    "a weight twice": (
        lambda f: edit_weights(f, lambda w: w.update({f"module.{DENSE}": w[DENSE].clone()})),
        f"weights given twice: module.{DENSE}",
    ),
    "NaN": (
        lambda f: edit_weights(f, lambda w: w[DENSE][0, 0].fill_(torch.nan)),
        f"NaN or infinite values: {DENSE}$",
    ),
    "too large for float32": (
        lambda f: edit_weights(f, lambda w: w.update({DENSE: w[DENSE].double() * 1e300})),
        f"NaN or infinite values: {DENSE}$",
    ),
    "integers": (
        lambda f: edit_weights(f, lambda w: w.update({DENSE: w[DENSE].to(torch.int8)})),
        rf"not floating-point numbers: {DENSE} \(torch.int8\)",
    ),
    "no weights": (
        lambda f: (f / "model.safetensors").rename(f / "tf_model.h5"),
        "no weights .*tf_model.h5",
    ),
    "LFS pointer": (
        lambda f: (f / "model.safetensors").write_text(POINTER),
        "model.safetensors: a pointer .*git lfs pull",
    ),
    "LFS pointer as tokenizer": (
        lambda f: (f / "vocab.txt").write_text(POINTER),
        "vocab.txt: a pointer .*git lfs pull",
    ),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-10]
        ),
        "model.safetensors: truncated or damaged",
    ),
    "empty": (
        lambda f: (f / "model.safetensors").write_bytes(b""),
        "model.safetensors: truncated or damaged",
    ),
    "bin truncated": (
        lambda f: [
            edit_weights(f, lambda w: None, "bin"),
            (f / "pytorch_model.bin").write_bytes((f / "pytorch_model.bin").read_bytes()[:-10]),
        ],
        "pytorch_model.bin: truncated or damaged",
    ),
    "bin with code": (
        lambda f: edit_weights(f, lambda w: w.update({"x": Evil()}), "bin"),
        "pytorch_model.bin: its pickle needs print",
    ),
    "bin of a trainer": (
        lambda f: edit_weights(f, lambda w: w.update(epoch=1, optimizer={}), "bin"),
        "pytorch_model.bin: entries that are not weights: epoch, optimizer",
    ),
    "bin of a list": (
        lambda f: [
            (f / "model.safetensors").unlink(),
            torch.save([torch.ones(2)], f / "pytorch_model.bin"),
        ],
        "pytorch_model.bin: holds a list",
    ),
    "a shard missing": (
        lambda f: (shards(f) / "model-00002-of-00003.safetensors").unlink(),
        "the shard 'model-00002-of-00003.safetensors' of model.safetensors.index.json is missing",
    ),
    "a shard of another checkpoint": (
        lambda f: save_file({"x": torch.ones(1)}, shards(f) / "model-00002-of-00003.safetensors"),
        "not the weights that model.safetensors.index.json says: bert",
    ),
    "an index without files": (
        lambda f: edit_json(shards(f) / "model.safetensors.index.json", weight_map=None),
        "model.safetensors.index.json: no weight_map",
    ),
    "a shard outside the folder": (
        lambda f: edit_json(shards(f) / "model.safetensors.index.json", weight_map={"x": "../m"}),
        "the shard '../m' of model.safetensors.index.json is missing",
    ),
    "no tokenizer": (lambda f: (f / "vocab.txt").unlink(), r"no tokenizer \(tokenizer.json, "),
    "more tokens than the model": (
        lambda f: (f / "vocab.txt").write_text((f / "vocab.txt").read_text() + "a\nb\n"),
        "the tokenizer has 32 tokens, the model 30",
    ),
    "tokenizer damaged": (
        lambda f: (f / "tokenizer.json").write_text("{"),
        "tokenizer not readable",
    ),
    "no residue": (
        lambda f: (f / "vocab.txt").write_text((f / "vocab.txt").read_text().replace("W", "#")),
        "the checkpoint's vocabulary has no token for W",
    ),
}


@pytest.mark.parametrize("epochs", [0, 1])
def test_fine_tuning_refuses_what_cannot_be_scored(tmp_path, epochs):
    folder = write_folder(tmp_path / "m", "bert", weights=untied(make_model("bert").base_model))
    options = plain(Finetune(max_tokens=16))
    with pytest.raises(CheckpointError, match=f"{folder}: weights missing: cls"):
        finetune(
            folder, "protein", proteins(), epochs, options, 0, CPU,
            tmp_path / "tuned", tmp_path / "metrics", tmp_path / "work",
        )  # fmt: skip
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_folder(tmp_path, capsys, fault):
    folder = write_folder(tmp_path / "bert", "bert")
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises((CheckpointError, VocabularyError)) as raised:
        load_model(folder, "protein", 1024)
    assert re.match(rf"{re.escape(str(folder))}[:/].*{message}", str(raised.value)), raised.value
    assert "executed" not in capsys.readouterr().out
