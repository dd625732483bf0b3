"""A resumable state belongs to its run; what is damaged or another's is not used, and said so."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from coresift.files import read_tensors, write_tensors
from coresift.models.checkpoint import build_model, model_hash
from coresift.models.tokenizer import Encoder
from coresift.settings import plain
from coresift.training import mlm
from coresift.training.mlm import packed, records_text, train_mlm, unpacked
from coresift.training.settings import Optimisation
from transformers import EsmForMaskedLM

CPU = torch.device("cpu")
OPTIONS = plain(Optimisation(tokens_per_step=60, checkpoint_steps=2))
SEQUENCES = ["ACGU" * n for n in range(3, 9)]


def parts(**changes):
    """Arguments of a run; `config`, `weights` and `encoder` change those of the model."""
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", changes.get("weights", 0))
    if "config" in changes:
        config = model.config
        for name, value in changes["config"].items():
            setattr(config, name, value)
        weights = model.state_dict()
        model = EsmForMaskedLM(config)
        model.load_state_dict({k: weights.get(k, t)[tuple(map(slice, t.shape))]
                               for k, t in model.state_dict().items()})  # fmt: skip
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    encoder = dataclasses.replace(encoder, **changes.get("encoder", {}))
    options = {**OPTIONS, **changes.get("options", {})}
    return (
        model, encoder, changes.get("sequences", SEQUENCES), changes.get("total", 300), options,
        changes.get("seed", 0), CPU,
    )  # fmt: skip


def train(work, **changes):
    arguments = parts(**changes)
    records = train_mlm(*arguments, work)
    return model_hash(arguments[0]), records


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """The state that a killed run left, at step 4 of 5, and its path."""
    work = tmp_path_factory.mktemp("work")
    train(work)
    return (work / "checkpoint.safetensors").read_bytes()


def put(work, data):
    work.mkdir()
    (work / "checkpoint.safetensors").write_bytes(data)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Result of the run from its start."""
    return train(tmp_path_factory.mktemp("fresh"))


TABLE = np.where(np.arange(256) == ord("A"), 4, 5)
OTHER_RUNS = {
    "weights": ({"weights": 1}, "model"),
    "activation": ({"config": {"hidden_dropout_prob": 0.5}}, "architecture"),
    "size": ({"config": {"intermediate_size": 64}}, "architecture, model"),
    "layers": ({"config": {"num_hidden_layers": 1}}, "architecture, model"),
    "table": ({"encoder": {"table": TABLE}}, "tokenizer"),
    "mask": ({"encoder": {"mask_id": 20}}, "tokenizer"),
    "crop": ({"encoder": {"max_tokens": 9}}, "tokenizer"),
    "data": ({"sequences": [*SEQUENCES, "GG"]}, "sequences"),
    "length": ({"total": 360}, "options"),
    "option": ({"options": {"learning_rate": 1e-3}}, "options"),
    "seed": ({"seed": 1}, "seed"),
}


@pytest.mark.parametrize("name", OTHER_RUNS)
def test_a_state_of_another_run_is_not_used(tmp_path, state, caplog, name):
    changes, differs = OTHER_RUNS[name]
    put(tmp_path / "work", state)
    expected = train(tmp_path / "fresh", **changes)
    assert train(tmp_path / "work", **changes) == expected
    assert f"of another run ({differs})" in caplog.text


def test_a_state_of_other_threads_is_not_used(tmp_path, state, caplog, monkeypatch):
    put(tmp_path / "work", state)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    train(tmp_path / "work")
    assert "of another run (threads)" in caplog.text


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    return data[:-100] + bytes([data[-100] ^ 4]) + data[-99:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda data: b"", lambda data: data[:300]])
def test_a_damaged_state_is_not_used(tmp_path, state, expected, caplog, damage):
    put(tmp_path / "work", damage(state))
    assert train(tmp_path / "work") == expected
    assert "starting afresh" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(max(t)), "weights|optimizer state"),
        (lambda t: t.pop(min(n for n in t if n.startswith("model"))), "weights do not fit"),
        (lambda t: t.update({"optimizer.0.exp_avg": torch.zeros(3)}), "optimizer state"),
        (lambda t: t.update({"optimizer.999.step": torch.zeros(())}), "optimizer state"),
        (lambda t: t.pop("optimizer.0.exp_avg_sq"), "optimizer state"),
        (lambda t: t.update({"other": torch.zeros(3)}), "starting afresh"),
    ],
)
def test_a_state_that_does_not_fit_is_not_used(tmp_path, state, expected, caplog, change, message):
    """As another version of the code would leave it: whole, of the same run, of another form."""
    put(tmp_path / "work", state)
    path = tmp_path / "work/checkpoint.safetensors"
    tensors, metadata = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors, metadata)
    assert train(tmp_path / "work") == expected
    assert caplog.records[0].levelname == "WARNING"
    assert any(part in caplog.text for part in message.split("|"))


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda m: m["run"].update(precision="bf16"), "precision"),
        (lambda m: m["run"].update(device="cuda"), "device"),
        (lambda m: m["run"].update(torch="1.0"), "torch"),
        (lambda m: m["run"].update(new=1), "new"),
        (lambda m: m["run"].update(validation="0"), "validation"),
        (lambda m: m.update(run=None), "architecture, code, device, left_out, model, .*"),
        (lambda m: m.pop("run"), "architecture, code, device, left_out, model, .*"),
    ],
)
def test_a_state_of_another_machine_or_version_is_not_used(
    tmp_path, state, expected, caplog, change, differs
):
    put(tmp_path / "work", state)
    path = tmp_path / "work/checkpoint.safetensors"
    tensors, metadata = read_tensors(path)
    change(metadata)
    write_tensors(path, tensors, metadata)
    assert train(tmp_path / "work") == expected
    assert re.search(rf"of another run \({differs}\)", caplog.text)


def test_its_own_run_goes_on_from_it(tmp_path, state, expected, monkeypatch):
    steps = []
    original = mlm.learning_rate
    monkeypatch.setattr(mlm, "learning_rate", lambda k, *a: steps.append(k) or original(k, *a))
    put(tmp_path / "work", state)
    assert train(tmp_path / "work") == expected
    assert steps == [4]


def test_a_state_of_other_code_is_not_used(tmp_path, state, caplog, monkeypatch):
    put(tmp_path / "work", state)
    monkeypatch.setattr("coresift.models.checkpoint.code_digest", lambda module: "edited")
    train(tmp_path / "work")
    assert "of another run (code)" in caplog.text


def test_states_may_be_written_more_often(tmp_path, state, expected, caplog):
    put(tmp_path / "work", state)
    assert train(tmp_path / "work", options={"checkpoint_steps": 1}) == expected
    assert "starting afresh" not in caplog.text


def test_records_are_the_same_packed():
    known = {"step": 3, "loss": None, "objective": 0.1, "learning_rate": 1e-4, "residues": 2**40}
    records = [
        {**known, "targets": 7, "masked": 0},
        {**known, "loss": 1 / 3, "targets": 7, "masked": 1, "validation_loss": 0.7},
    ]
    back = unpacked(packed(records))
    assert records_text(back) == records_text(records)
