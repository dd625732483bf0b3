"""Exact steps, the MLM collator, and resume after a kill, bit for bit."""

import copy
import os
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from coresift.heldout.masks import Masks
from coresift.heldout.reading import Reading
from coresift.heldout.validation import held_out_validation
from coresift.models.checkpoint import (
    build_model,
    configure_torch,
    load_model,
    model_hash,
    save_model,
)
from coresift.models.tokenizer import Encoder, VocabularyError, build_tokenizer
from coresift.settings import plain
from coresift.training import mlm
from coresift.training.mlm import IGNORE, learning_rate, mask_tokens, records_text, train_mlm
from coresift.training.runs import finetune, training_residues
from coresift.training.settings import Optimisation
from coresift.training.stream import ResidueStream
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM, AutoTokenizer

CPU = torch.device("cpu")


def options(**values):
    defaults = {"tokens_per_step": 400, "tokens_per_batch": 300, "checkpoint_steps": 4}
    return plain(Optimisation(**{**defaults, **values}))


def corpus(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGU"), rng.integers(20, 60))) for _ in range(n)]


def train(
    tmp_path, sequences=None, total=4000, precision="float32", validation=None, device=CPU, **values
):
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    work = tmp_path / "work"
    records = train_mlm(
        model, encoder, sequences or corpus(), total, options(**values), 3, device, work, precision,
        validation,
    )  # fmt: skip
    return model, records


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 50),
    st.integers(1, 300),
    st.integers(1, 40),
)
def test_steps_hold_exactly_their_residues(lengths, per_step, total, longest):
    stream = ResidueStream(np.array(lengths), per_step, total, longest, seed=1)
    sizes = [sum(p.stop - p.start for p in stream.step(k)) for k in range(len(stream))]
    assert sizes[:-1] == [per_step] * (len(stream) - 1)
    assert sum(sizes) == total
    assert all(p.stop - p.start <= longest for k in range(len(stream)) for p in stream.step(k))
    # an epoch reads every residue once
    seen = Counter()
    read = 0
    for k in range(len(stream)):
        for p in stream.step(k):
            for i in range(p.start, p.stop):
                if read < sum(lengths):
                    seen[p.row, i] += 1
                read += 1
    assert set(seen.values()) <= {1}


def test_mask_tokens_follow_bert():
    encoder = Encoder.from_tokenizer(build_tokenizer("rna", 1024), "rna", 4096)
    ids = encoder.encode("ACGU" * 1000)
    inputs, labels = mask_tokens(ids, encoder, 0.15, np.random.default_rng(0))
    chosen = labels != IGNORE
    assert not chosen[[0, -1]].any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert chosen.mean() == pytest.approx(0.15, abs=0.02)
    assert (inputs[chosen] == encoder.mask_id).mean() == pytest.approx(0.8, abs=0.05)
    assert (inputs[chosen] == ids[chosen]).mean() == pytest.approx(0.125, abs=0.05)
    assert (
        mask_tokens(ids[[0, 1, -1]], encoder, 0.01, np.random.default_rng(0))[1] >= 0
    ).sum() == 1


def test_ambiguity_codes_are_no_targets():
    """Letters of a sequence with codes: the draws are those of the canonical residues alone."""
    encoder = Encoder.from_tokenizer(build_tokenizer("rna", 1024), "rna", 4096)
    ids = encoder.encode("NACGURYACGUN" * 100)
    inputs, labels = mask_tokens(ids, encoder, 0.5, np.random.default_rng(0))
    canonical = encoder.is_canonical(ids)
    assert (labels[~canonical] == IGNORE).all()
    assert (inputs[~canonical] == ids[~canonical]).all()
    assert (labels[canonical] != IGNORE).mean() == pytest.approx(0.5, abs=0.05)
    plain, _ = mask_tokens(encoder.encode("ACGUACGU" * 100), encoder, 0.5, np.random.default_rng(0))
    assert (inputs[canonical] == plain[1:-1]).all()
    inputs, labels = mask_tokens(encoder.encode("NNNN"), encoder, 0.5, np.random.default_rng(0))
    assert (labels == IGNORE).all()
    assert (inputs == encoder.encode("NNNN")).all()


def copier():
    """A model that gives its input back, about as often as BERT's masking rewards, and no more."""
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", 0)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight  # and the decoder's: they are tied
        embedding.copy_(0.1 * torch.eye(*embedding.shape))
        model.lm_head.dense.weight.copy_(torch.eye(model.config.hidden_size))
    return model, Encoder.from_tokenizer(tokenizer, "rna", 1024)


def test_the_loss_is_that_of_masked_places_and_the_objective_is_berts(tmp_path):
    """By hand in float64; the first step sees the untrained weights."""
    model, encoder = copier()
    exact = copy.deepcopy(model).double().eval()
    sequences = corpus(40)
    (record,) = train_mlm(
        model, encoder, sequences, 1600, options(tokens_per_step=1600), 3, CPU, tmp_path
    )
    stream = ResidueStream(np.array([len(s) for s in sequences]), 1600, 1600, 1022, 3)
    letters = encoder.letter_ids.tolist()
    whole, every, hidden = [], [], []
    for ids, labels in mlm._step_rows(stream, 0, sequences, encoder, 0.15, 3):
        with torch.no_grad():
            logits = exact(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()
        for place in np.flatnonzero(labels != IGNORE):
            row, target = logits[place], labels[place]
            whole.append(np.log(np.exp(row).sum()) - row[target])
            every.append(np.log(np.exp(row[letters]).sum()) - row[target])
            if ids[place] == encoder.mask_id:
                hidden.append(every[-1])
    assert record["targets"] == len(whole)
    assert record["masked"] == len(hidden)
    assert record["loss"] == pytest.approx(np.mean(hidden), rel=1e-5)
    assert record["objective"] == pytest.approx(np.mean(whole), rel=1e-5)
    # Over all targets a model that knows nothing looks trained, for it sees some of them.
    assert np.mean(hidden) == pytest.approx(np.log(4), abs=1e-3)
    assert np.mean(every) == pytest.approx(1.32, abs=0.01)


def test_a_step_without_a_masked_place_has_no_loss(tmp_path):
    """The last step is one residue: an N, which is no target."""
    sequences = ["ACGUACGUN"]
    records = train(tmp_path, sequences, total=9, tokens_per_step=8)[1]
    assert len(records) == 2
    assert records[1]["targets"] == records[1]["masked"] == 0
    assert records[1]["loss"] is None
    assert records[1]["objective"] == 0
    assert '"loss": null' in records_text(records)


def validation(points=3):
    sequences = pl.DataFrame({"seq_id": ["a", "b"], "sequence": ["ACGU" * 9, "GGCAN" * 5]})
    masks = Masks("rna", 0.3, 1, 0)
    return held_out_validation(sequences, masks, Reading(1024, 300), points)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_validation_points_change_no_weight(tmp_path, precision):
    plain, records = train(tmp_path / "a", precision=precision)
    validated, more = train(tmp_path / "b", precision=precision, validation=validation())
    states = [model.state_dict() for model in (plain, validated)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert [r["step"] for r in more if "validation_loss" in r] == [3, 6, 9]
    values = [r.pop("validation_loss", None) for r in more]
    assert more == records
    encoder = Encoder.from_tokenizer(build_tokenizer("rna", 1024), "rna", 1024)
    assert values[-1] == validation().loss(validated, encoder)


def test_equal_tokens_or_equal_epochs():
    lengths = pl.Series([100, 30, 20], dtype=pl.Int32)
    assert training_residues(lengths, 200.5, 2, "equal_epochs") == 300
    assert training_residues(lengths, 200.5, 2, "equal_tokens") == 401
    assert training_residues(lengths * 1000, 200.5, 2, "equal_tokens") == 401


def test_points_are_even_and_the_last_step_is_one():
    assert validation(4).steps(10) == {2, 4, 7, 9}
    assert validation(1).steps(10) == {9}
    assert validation(0).steps(10) == set()
    assert validation(20).steps(3) == {0, 1, 2}


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(k, 100, 1.0, 0.1) for k in range(100)]
    assert rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_training_lowers_the_loss_and_is_deterministic(tmp_path):
    sequences = ["AAAAAAAC" * 6] * 30
    first, records = train(tmp_path / "a", sequences, total=12_000, learning_rate=3e-3)
    second, again = train(tmp_path / "b", sequences, total=12_000, learning_rate=3e-3)
    assert records == again
    assert model_hash(first) == model_hash(second)
    for name in ("loss", "objective"):
        assert records[-1][name] < 0.5 * records[0][name]
    assert {r["residues"] for r in records} == {400}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_gpu_gives_the_same_bits_twice(tmp_path, precision):
    configure_torch(1)
    gpu = torch.device("cuda")
    runs = [train(tmp_path / name, precision=precision, device=gpu) for name in "ab"]
    assert model_hash(runs[0][0]) == model_hash(runs[1][0])
    assert runs[0][1] == runs[1][1]


def test_kernels_that_are_not_deterministic_are_an_error():
    configure_torch(1)
    assert torch.are_deterministic_algorithms_enabled()
    # Warnings alone leave attention on a GPU without the kernels that it has.
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")


def test_micro_batches_do_not_change_the_gradient(tmp_path):
    _, small = train(tmp_path / "a", tokens_per_batch=100)
    _, large = train(tmp_path / "b", tokens_per_batch=100_000)
    np.testing.assert_allclose([r["loss"] for r in small], [r["loss"] for r in large], rtol=1e-4)


def test_a_killed_run_resumes_bit_for_bit(tmp_path, monkeypatch):
    points = validation()
    whole, records = train(tmp_path / "whole", validation=points)
    original = mlm.learning_rate

    def killed(step, *arguments):
        if step == 7:
            raise KeyboardInterrupt
        return original(step, *arguments)

    monkeypatch.setattr(mlm, "learning_rate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", validation=points)
    steps = []
    monkeypatch.setattr(mlm, "learning_rate", lambda k, *a: steps.append(k) or original(k, *a))
    resumed, again = train(tmp_path / "cut", validation=points)
    assert steps == [4, 5, 6, 7, 8, 9]
    assert again == records
    assert model_hash(resumed) == model_hash(whole)


def test_a_broken_or_foreign_checkpoint_is_not_used(tmp_path):
    whole, _ = train(tmp_path / "a")
    (tmp_path / "b/work").mkdir(parents=True)
    (tmp_path / "b/work/checkpoint.safetensors").write_bytes(b"half a file")
    assert model_hash(train(tmp_path / "b")[0]) == model_hash(whole)
    train(tmp_path / "c", total=8000)  # leaves the checkpoint of step 16
    assert model_hash(train(tmp_path / "c")[0]) == model_hash(whole)


def test_a_process_trains_in_either_precision(tmp_path):
    full = train(tmp_path / "a")[1]
    half = train(tmp_path / "b", precision="bf16")[1]
    again = train(tmp_path / "c")[1]
    assert again == full
    assert half != full
    assert [r["loss"] for r in half] == pytest.approx([r["loss"] for r in full], rel=0.02)


def test_fine_tuning_is_in_its_precision(tmp_path):
    model, tokenizer = build_model("tiny", "rna", 0)
    save_model(tmp_path / "base", model, tokenizer)
    rows = pl.DataFrame({"seq_id": [f"{i:02d}" for i in range(60)], "sequence": corpus()})
    rows = rows.with_columns(length=pl.col("sequence").str.len_bytes())
    texts = []
    for precision in ("float32", "bf16"):
        out, metrics = tmp_path / precision, tmp_path / f"{precision}.jsonl"
        finetune(
            tmp_path / "base", "rna", rows, 1, options(), 3, CPU, out, metrics, tmp_path / "work",
            precision,
        )  # fmt: skip
        texts.append(metrics.read_text())
    expected = train_mlm(
        model, Encoder.from_tokenizer(tokenizer, "rna", 1024), rows["sequence"].to_list(),
        int(rows["length"].sum()), options(), 3, CPU, tmp_path / "work", "bf16",
    )  # fmt: skip
    assert texts[1] == records_text(expected)
    assert texts[0] != texts[1]


def test_divergence_is_an_error(tmp_path):
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train(tmp_path, learning_rate=1e30, clip_norm=1e30)


@pytest.mark.parametrize("modality", ["rna", "protein"])
def test_saved_directory_loads_with_auto_classes(tmp_path, modality):
    model, tokenizer = build_model("tiny", modality, 0)
    save_model(tmp_path / "m", model, tokenizer)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "m")
    assert model_hash(loaded) == model_hash(model)
    auto = AutoTokenizer.from_pretrained(tmp_path / "m")
    encoder = load_model(tmp_path / "m", modality, 1024)[2]
    text = {"rna": "ACGUNRYKZ", "protein": "MKVLXBUOJ"}[modality]
    assert auto(text)["input_ids"] == encoder.encode(text).tolist()
    with pytest.raises(VocabularyError, match=r"is it a|looks like"):
        load_model(tmp_path / "m", {"rna": "protein", "protein": "rna"}[modality], 1024)


def test_wrong_letters_are_found(tmp_path):
    encoder = Encoder.from_tokenizer(build_tokenizer("rna", 1024), "rna", 1024)
    with pytest.raises(VocabularyError, match=r"25\.0% of residues.*most: T"):
        encoder.check_unknown(["ACGT"])
    with pytest.raises(ValueError, match=r"not a Hugging Face checkpoint"):
        load_model(tmp_path, "rna", 1024)
    with pytest.raises(ValueError, match=r"no model preset 'huge'; allowed: .*tiny"):
        build_model("huge", "rna", 0)
