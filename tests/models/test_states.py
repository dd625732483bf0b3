"""Stored states: what they hold, who shares them, and what a killed or parallel job leaves."""

import dataclasses

import numpy as np
import pytest
import torch
from coresift.models import states as module
from coresift.models.checkpoint import build_model, load_model, model_hash, save_model
from coresift.models.states import EncoderStates, StoredStates
from coresift.tasks.heads import form_of
from coresift.tasks.settings import Task

SEQUENCES = ["ACGU", "GGGAAACCC", "ACGU", "A" * 40]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, *build_model("tiny", "rna", 0))
    model, _, encoder = load_model(folder, "rna", 64)
    return model, encoder


def states_of(loaded, kind, **options):
    model, encoder = loaded
    task = Task(kind=kind, data={"path": "x"}, max_tokens=34, **options)
    return EncoderStates(model.base_model, encoder, form_of(task), task.max_tokens).eval()


def store(loaded, folder, sequences, kind="class", **options):
    digest = model_hash(loaded[0])
    return StoredStates(states_of(loaded, kind, **options), digest, folder, 64, sequences)


@pytest.mark.parametrize(
    ("kind", "options", "rows", "tolerance"),
    [
        ("class", {"pooling": "mean"}, lambda n: 1, 1e-5),
        ("class", {"pooling": "cls"}, lambda n: 1, 1e-5),
        ("token", {}, lambda n: n, 2e-3),  # stored in float16
        ("pairwise", {}, lambda n: n + 2, 2e-3),
    ],
)
def test_stored_is_what_the_encoder_gives(loaded, tmp_path, kind, options, rows, tolerance):
    stored = store(loaded, tmp_path, SEQUENCES, kind, **options)
    with torch.no_grad():
        for i, sequence in enumerate(SEQUENCES):
            (live,) = states_of(loaded, kind, **options)([sequence])
            assert len(stored[i]) == len(live) == rows(min(len(sequence), 32))
            torch.testing.assert_close(stored[i], live, rtol=tolerance, atol=tolerance)


def test_tasks_with_the_same_sequences_encode_once(loaded, tmp_path):
    assert store(loaded, tmp_path, SEQUENCES).n_encoded == 3
    files = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert store(loaded, tmp_path, SEQUENCES[::-1], pooling="cls").n_encoded == 0
    assert store(loaded, tmp_path, SEQUENCES, "token").n_encoded == 3
    assert store(loaded, tmp_path, SEQUENCES, "pairwise").n_encoded == 0
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_a_killed_job_keeps_its_whole_files(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILE_TOKENS", 12)
    assert store(loaded, tmp_path, SEQUENCES).n_encoded == 3
    first, *others = sorted(tmp_path.iterdir(), key=lambda f: f.stat().st_size)
    expected = [f.read_bytes() for f in others]
    for file in others:
        file.unlink()
    (tmp_path / f".{first.name}.1.tmp").write_bytes(b"half")  # what a killed writer leaves
    again = store(loaded, tmp_path, SEQUENCES)
    assert 0 < again.n_encoded < 3
    assert [f.read_bytes() for f in others] == expected


def test_another_model_or_crop_is_not_mixed_up(loaded, tmp_path):
    store(loaded, tmp_path, SEQUENCES)
    model, _ = build_model("tiny", "rna", 1)
    other = StoredStates(
        EncoderStates(model.base_model, loaded[1], "mean", 1024),
        model_hash(model), tmp_path, 64, SEQUENCES,
    )  # fmt: skip
    assert other.n_encoded == 3
    assert not np.allclose(other[0], store(loaded, tmp_path, SEQUENCES)[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[: len(d) // 2],
        lambda d: b"",
        lambda d: d[:-9] + bytes([d[-9] ^ 1]) + d[-8:],
        lambda d: d.replace(b"checksum", b"checksun"),
    ],
)
def test_a_damaged_file_is_made_again(loaded, tmp_path, caplog, damage):
    expected = store(loaded, tmp_path, SEQUENCES, "token")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    rows = [expected[i] for i in range(len(expected))]
    file.unlink()  # `expected` has it mapped
    file.write_bytes(damage(whole))
    again = store(loaded, tmp_path, SEQUENCES, "token")
    assert again.n_encoded == 3
    assert all(torch.equal(again[i], row) for i, row in enumerate(rows))
    assert file.read_bytes() == whole
    assert "made again" in caplog.text


def test_another_architecture_or_tokenizer_is_not_mixed_up(loaded, tmp_path, monkeypatch):
    assert store(loaded, tmp_path, SEQUENCES).n_encoded == 3
    model, encoder = loaded
    other = dataclasses.replace(encoder, table=np.roll(encoder.table, 1))
    assert store((model, other), tmp_path, SEQUENCES).n_encoded == 3
    monkeypatch.setattr(model.config, "layer_norm_eps", 1e-3)
    assert store(loaded, tmp_path, SEQUENCES).n_encoded == 3
