"""Checkpoint folders with damaged bytes: what a plain reader reads, or an error with the folder."""

import json
import os
import shutil

import numpy as np
import pytest
import safetensors.torch
import tokenizers
import torch
import transformers
from coresift.alphabet import ALPHABETS
from coresift.models.checkpoint import load_model
from coresift.models.tokenizer import VocabularyError
from coresift.models.weights import CheckpointError, is_benign
from folders import write_folder

EXAMPLES = int(os.environ.get("CORESIFT_EXAMPLES", "200"))
LETTERS = ALPHABETS["protein"].letters
#: Architecture, layout of the weights, and the files that are damaged in turn.
FOLDERS = [
    ("modernbert", "safetensors", ("config.json", "tokenizer.json", "model.safetensors")),
    ("esm", "bin", ("config.json", "vocab.txt", "tokenizer_config.json", "pytorch_model.bin")),
    ("roberta", "safetensors-shards", ("model.safetensors.index.json", "vocab.json")),
]


def damage(data, rng):
    """Bytes cut off, flipped, repeated, or a stretch of zeros."""
    data = bytearray(data)
    kind = rng.choice(["cut", "flip", "flips", "twice", "zeros"])
    at = int(rng.integers(len(data)))
    if kind == "cut":
        del data[at:]
    elif kind == "twice":
        end = at + int(rng.integers(1, 20))
        data[at:at] = data[at:end]
    elif kind == "zeros":
        data[at : at + 8] = bytes(len(data[at : at + 8]))
    else:
        # most of the bytes of a file of weights are data: half of the flips are in its header
        bound = len(data) if rng.random() < 0.5 else min(len(data), 400)
        for _ in range(1 if kind == "flip" else 4):
            data[int(rng.integers(bound))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def plain_reader(folder):
    """State dict in float32 and vocabulary of a folder, by the libraries' simplest calls."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= safetensors.torch.load_file(path)
    for path in folder.glob("*.bin"):
        tensors |= torch.load(path, map_location="cpu", weights_only=True)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.MODEL_FOR_MASKED_LM_MAPPING[type(config)](config)
    missing, unexpected = model.load_state_dict(
        {name: tensor.float() for name, tensor in tensors.items()}, strict=False
    )
    tied = {"decoder.weight", "lm_head.decoder.weight", "lm_head.decoder.bias"}
    assert all(map(is_benign, unexpected)), unexpected
    assert all(is_benign(name) or name in tied for name in missing), missing
    model.tie_weights()
    return model.eval(), vocabulary(folder)


def vocabulary(folder):
    if (folder / "tokenizer.json").is_file():
        return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    if (folder / "vocab.json").is_file():
        return json.loads((folder / "vocab.json").read_text())
    lines = (folder / "vocab.txt").read_text().splitlines()
    return {line.strip(): i for i, line in enumerate(lines)}


def check(folder):
    """Whether the folder loads; raises where what is loaded is not the plain reader's."""
    refused = None
    try:
        model, _, encoder = load_model(folder, "protein", 64)
    except (CheckpointError, VocabularyError) as error:
        refused = str(error)
    if refused is not None:
        assert str(folder) in refused
        return False
    expected, known = plain_reader(folder)
    weights = expected.state_dict()
    assert set(weights) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        if not is_benign(name):
            assert torch.equal(tensor, weights[name]), name
            assert tensor.isfinite().all()
    assert model.config.to_diff_dict() == {
        **expected.config.to_diff_dict(),
        "dtype": "float32",
    }
    ids = [known.get(letter, encoder.unk_id) for letter in LETTERS]
    assert encoder.table[[ord(letter) for letter in LETTERS]].tolist() == ids
    return True


@pytest.mark.parametrize(("name", "form", "files"), FOLDERS, ids=[f[0] for f in FOLDERS])
def test_damaged_bytes_give_a_plain_reader_s_model_or_a_named_error(tmp_path, name, form, files):
    good = write_folder(tmp_path / "good", name, form)
    assert check(good)
    rng = np.random.default_rng(0)
    loaded = 0
    n = EXAMPLES // len(FOLDERS)
    for i in range(n):
        folder = tmp_path / f"damaged-{i}"
        shutil.copytree(good, folder)
        path = folder / files[i % len(files)]
        path.write_bytes(damage(path.read_bytes(), rng))
        loaded += check(folder)
        shutil.rmtree(folder)
    assert 0 < loaded < n
