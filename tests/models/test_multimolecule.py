"""RNA-FM as multimolecule publishes it: its models and tokenizers are an optional package."""

import importlib.util
import json
import tomllib

import numpy as np
import polars as pl
import pytest
import torch
from coresift.corpus.blocks import sequence_id
from coresift.influence.curvature import summing
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import compute_part, merge_parts
from coresift.influence.scoring import score_all
from coresift.influence.settings import Influence
from coresift.models.checkpoint import INSTALL_MULTIMOLECULE, load_model
from coresift.models.weights import CheckpointError
from coresift.settings import plain
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.settings import Task
from coresift.training.runs import finetune
from coresift.training.settings import Finetune

CPU = torch.device("cpu")
installed = pytest.mark.skipif(
    importlib.util.find_spec("multimolecule") is None,
    reason="multimolecule is not installed (optional: AGPL)",
)
#: The two vocabularies that its RNA-FM checkpoints have had.
TOKENS = ["<pad>", "<cls>", "<eos>", "<unk>", "<mask>", "<null>", *"ACGUNRYSWKMBDHVIX|.*-?"]
VOCABULARIES = {28: TOKENS, 26: [t for t in TOKENS if t not in "|?"]}


def save_rnafm(folder, tokens):
    multimolecule = pytest.importorskip("multimolecule")
    vocabulary = VOCABULARIES[tokens]
    torch.manual_seed(0)
    config = multimolecule.RnaFmConfig(
        vocab_size=tokens, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=20, max_position_embeddings=34,
    )  # fmt: skip
    model = multimolecule.RnaFmForMaskedLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    multimolecule.RnaTokenizer(alphabet=vocabulary[6:]).save_pretrained(folder)
    assert (folder / "vocab.txt").read_text().split() == vocabulary
    return model.eval()


@installed
@pytest.mark.parametrize("tokens", [26, 28])
def test_its_rna_fm_goes_through_every_stage(tmp_path, tokens):
    own = save_rnafm(tmp_path / "base", tokens)
    rng = np.random.default_rng(0)
    rows = sorted(
        {"".join(rng.choice(list("ACGUN"), 20, p=[0.24] * 4 + [0.04])) for _ in range(24)}
    )
    frame = (
        pl.DataFrame(
            {"seq_id": [sequence_id(s) for s in rows], "sequence": rows, "length": 20, "block": 0}
        )
        .cast({"length": pl.Int32, "block": pl.Int32})
        .sort("seq_id")
    )

    model, _, encoder = load_model(tmp_path / "base", "rna", 1024)
    ids = torch.from_numpy(encoder.encode(rows[0]))[None]
    assert ids[0].tolist() == [1, *(VOCABULARIES[tokens].index(c) for c in rows[0]), 2]
    with torch.no_grad():
        arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        assert torch.equal(model.eval()(**arguments).logits, own(**arguments).logits)
    longest = "A" * (encoder.max_tokens - 2)
    ids = torch.from_numpy(encoder.encode(longest + "AA"))[None]
    assert model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()

    options = plain(Finetune(tokens_per_step=60, learning_rate=1e-2, max_tokens=24))
    finetune(
        tmp_path / "base", "rna", frame, 1.0, options, 0, CPU,
        tmp_path / "tuned", tmp_path / "metrics", tmp_path / "work",
    )  # fmt: skip
    model, _, encoder = load_model(tmp_path / "tuned", "rna", 1024)
    influence = Influence(parameters="head")
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)
    assert list(engine.shapes()) == ["lm_head.transform.dense.weight"]
    compute_part(
        engine, frame, summing(engine, "diagonal", ["head"]), 0, 1, {},
        tmp_path / "part", tmp_path / "checkpoint",
    )  # fmt: skip
    merge_parts([tmp_path / "part"]).save(tmp_path / "diagonal.safetensors")
    files = {"unmasked": {"diagonal": tmp_path / "diagonal.safetensors"}}
    scores = score_all(model, encoder, influence, 0, CPU, files, {}, frame, tmp_path / "cache")
    assert scores["influence"]["influence"].min() > 0

    lines = [f"{s},{'ab'[i % 2]},{('train', 'valid', 'test')[i % 3]}\n" for i, s in enumerate(rows)]
    (tmp_path / "task.csv").write_text("sequence,label,split\n" + "".join(lines))
    task = Task(kind="class", data={"path": str(tmp_path / "task.csv")}, epochs=1)
    _, predictions = evaluate_task(
        tmp_path / "tuned", task, "rna", [0], 256, CPU, tmp_path / "states"
    )
    assert predictions.height == 8


def test_the_extra_and_the_message_name_one_version(root):
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert extras == {"multimolecule": [INSTALL_MULTIMOLECULE.removeprefix("pip install ")]}


def test_without_the_package_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "multimolecule", None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rnafm"}))
    line = r"multimolecule.*pip install multimolecule=="
    with pytest.raises(CheckpointError, match=rf"model_type 'rnafm'.*{line}"):
        load_model(tmp_path, "rna", 1024)
