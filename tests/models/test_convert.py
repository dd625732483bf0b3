"""The authors' RNA-FM file -> a Hugging Face folder: the same logits, and what is refused."""

from argparse import Namespace

import pytest
import torch
from coresift.models.checkpoint import load_model
from coresift.models.convert import main
from torch.nn import functional as F

fm = pytest.importorskip("fm", reason="the package rna-fm (in requirements.lock) is not installed")

ARGS = {
    "arch": "roberta_large",
    "layers": 2,
    "embed_dim": 12,
    "ffn_embed_dim": 20,
    "attention_heads": 3,
    "max_positions": 30,
}


def random_model(args):
    """The authors' model, its alphabet, and seeded random weights of every tensor."""
    alphabet = fm.Alphabet.from_architecture("roberta_large", "rna")
    before = args.get("emb_layer_norm_before", True)
    model = fm.BioBertModel(Namespace(**args, emb_layer_norm_before=before), alphabet)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval(), alphabet


def release(path, args=ARGS, change=lambda weights: weights):
    """A file in the layout of RNA-FM_pretrained.pth."""
    model, _ = random_model(args)
    weights = {
        f"encoder.{name}"
        if name.startswith("lm_head")
        else f"encoder.sentence_encoder.{name}": tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith("contact_head")
    }
    saved = Namespace(**{f"encoder_{n}" if n in _PREFIXED else n: v for n, v in args.items()})
    torch.save({"args": saved, "model": change(weights)}, path)
    return path


_PREFIXED = {"layers", "embed_dim", "ffn_embed_dim", "attention_heads"}


@pytest.mark.parametrize("token_dropout", [False, True])
def test_logits_are_those_of_the_authors_code(tmp_path, token_dropout):
    path = release(tmp_path / "RNA-FM.pth", ARGS | {"token_dropout": token_dropout})
    data = torch.load(path, weights_only=False)
    own, alphabet = fm.pretrained.load_model_and_alphabet_core("RNA-FM", data, theme="rna")
    own.eval()
    main(["rna-fm", str(path), str(tmp_path / "out")])
    model, _, encoder = load_model(tmp_path / "out", "rna", 1024)
    assert encoder.max_tokens == ARGS["max_positions"]
    _, _, theirs = alphabet.get_batch_converter()([("a", "ACGUNRYA"), ("b", "GGC")])
    for row, text in zip(theirs, ["ACGUNRYA", "GGC"], strict=True):
        ids = torch.from_numpy(encoder.encode(text))
        assert torch.equal(F.pad(ids, (0, len(row) - len(ids)), value=encoder.pad_id), row)
    theirs[0, 3] = encoder.mask_id
    with torch.no_grad():
        expected = own(theirs)["logits"]
        found = model.eval()(input_ids=theirs, attention_mask=theirs.ne(encoder.pad_id)).logits
    inside = theirs.ne(encoder.pad_id)
    assert expected[inside].std() > 0.1
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-5)


def without(part):
    return lambda weights: {n: t for n, t in weights.items() if part not in n}


def with_(name, tensor):
    return lambda weights: weights | {name: tensor}


@pytest.mark.parametrize(
    ("args", "change", "cause"),
    [
        ({"arch": "ESM-1"}, dict, "architecture 'ESM-1'"),
        ({}, without("embed_positions"), "no embed_positions.weight"),
        ({}, without("layers.1.fc2"), "weights missing: esm.encoder.layer.1.output.dense"),
        ({}, with_("encoder.adapter.weight", torch.ones(2)), "does not have: adapter.weight"),
        (
            {},
            with_("encoder.sentence_encoder.embed_tokens.weight", torch.ones(69, 12)),
            "69 tokens, RNA-FM has 25",
        ),
        ({}, with_("encoder.lm_head.bias", torch.ones(3)), "do not fit"),
    ],
)
def test_another_file_is_refused_with_its_cause(tmp_path, capsys, args, change, cause):
    path = release(tmp_path / "f.pth", ARGS, change)
    data = torch.load(path, weights_only=False)
    vars(data["args"]).update(args)
    torch.save(data, path)
    with pytest.raises(SystemExit) as stop:
        main(["rna-fm", str(path), str(tmp_path / "out")])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert cause in message
    assert str(path) in message
    assert not (tmp_path / "out").exists()


class Bomb:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_of_the_file_is_executed(tmp_path, capsys):
    torch.save({"args": Bomb(), "model": {}}, tmp_path / "f.pth")
    with pytest.raises(SystemExit):
        main(["rna-fm", str(tmp_path / "f.pth"), str(tmp_path / "out")])
    captured = capsys.readouterr()
    assert "executed" not in captured.out
    assert "not readable as weights" in captured.err
    (tmp_path / "f.pth").write_bytes(b"no zip")
    with pytest.raises(SystemExit):
        main(["rna-fm", str(tmp_path / "f.pth"), str(tmp_path / "out")])
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit):
        main(["rna-fm", str(release(tmp_path / "g.pth")), str(tmp_path / "out")])
    assert "exists already" in capsys.readouterr().err
