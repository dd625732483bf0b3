"""Held-out losses: fixed masks, exact values, rows that stay paired whatever the model or batch."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch
from coresift.corpus.tables import HELD_OUT
from coresift.heldout.losses import held_out_losses
from coresift.heldout.masks import HeldOutError, Masks
from coresift.heldout.reading import Reading, masked_losses
from coresift.heldout.unigram import unigram_losses
from coresift.models.checkpoint import build_model, load_model, save_model
from coresift.models.tokenizer import Encoder
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer, EsmConfig, EsmForMaskedLM

CPU = torch.device("cpu")
MASKS = Masks("rna", 0.15, 2, seed=3)


def table(sequences, sets=None, ids=None):
    frame = pl.DataFrame(
        {
            "set": sets or ["pool"] * len(sequences),
            "seq_id": ids or [f"{i:032x}" for i in range(len(sequences))],
            "sequence": sequences,
            "length": [len(s) for s in sequences],
            "nearest": [0.0] * len(sequences),
        }
    )
    return frame.cast(dict(HELD_OUT))


def corpus(n, longest=90, seed=0):
    rng = np.random.default_rng(seed)
    letters = list("ACGU" * 6 + "N")
    return ["".join(rng.choice(letters, rng.integers(20, longest))) for _ in range(n)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model with weights large enough to tell letters apart."""
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    save_model(folder, model, tokenizer)
    return folder


def test_losses_equal_brute_force(checkpoint):
    """Place by place in float64: one unpadded row, a softmax over A, C, G and U by hand."""
    sets = table(corpus(12))
    asked = MASKS.questions(sets)
    model, _, encoder = load_model(checkpoint, "rna", 1024)
    model = model.double().eval()
    sequences = asked.rows["sequence"].to_list()
    loss, accuracy = masked_losses(model, encoder, sequences, asked.places, Reading(1024, 300))
    for i, sequence in enumerate(sequences):
        losses, hits = [], []
        for pattern in asked.places[i]:
            ids = encoder.encode(sequence)
            ids[pattern + 1] = encoder.mask_id
            with torch.no_grad():
                logits = model(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()
            for place in pattern:
                four = {x: logits[place + 1, encoder.table[ord(x)]] for x in "ACGU"}
                total = sum(np.exp(value) for value in four.values())
                losses.append(-np.log(np.exp(four[sequence[place]]) / total))
                hits.append(max(four, key=four.get) == sequence[place])
        assert loss[i] == pytest.approx(np.mean(losses), rel=1e-12)
        assert accuracy[i] == pytest.approx(np.mean(hits), rel=1e-12)


def test_a_table_has_the_order_of_the_sets_and_is_the_same_in_any_batch_and_order(checkpoint):
    sets = table(corpus(30))
    tables = [
        held_out_losses(checkpoint, frame, MASKS, Reading(1024, budget), CPU)[0]
        for frame, budget in [(sets, 200), (sets, 20_000), (sets.reverse(), 700)]
    ]
    assert tables[0]["seq_id"].equals(sets["seq_id"])
    for other in (tables[1], tables[2].reverse()):
        assert other.select("seq_id", "n_masked").equals(tables[0].select("seq_id", "n_masked"))
        np.testing.assert_allclose(other["loss"], tables[0]["loss"], rtol=2e-5)
        np.testing.assert_array_equal(other["accuracy"], tables[0]["accuracy"])


def test_an_untrained_model_knows_nothing(tmp_path):
    for modality, letters in (("rna", 4), ("protein", 20)):
        save_model(tmp_path / modality, *build_model("tiny", modality, 0))
        sequence = {"rna": "ACGUUGCA" * 20, "protein": "ACDEFGHIKLMNPQRSTVWY" * 8}[modality]
        found, _ = held_out_losses(
            tmp_path / modality,
            table([sequence]),
            Masks(modality, 0.5, 4, 0),
            Reading(1024, 4096),
            CPU,
        )
        assert found["loss"][0] == pytest.approx(np.log(letters), abs=0.06)


def test_models_of_other_room_and_vocabulary_answer_the_same_questions(tmp_path, checkpoint):
    """A BERT vocabulary of DNA in another order, ten tokens, 40 positions; and the same weights."""
    sets = table(corpus(20))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "T", "G", "C", "A", "N"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    tokenizer = BertTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=False)
    wide, _, encoder = load_model(checkpoint, "rna", 1024)
    config = EsmConfig(
        **{
            **wide.config.to_dict(),
            "vocab_size": 10,
            "pad_token_id": 0,
            "mask_token_id": 4,
        }
    )
    narrow = EsmForMaskedLM(config)
    weights = wide.state_dict()
    own = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    # The same function: rows of the embedding and of the decoder in the other order.
    order = np.zeros(10, dtype=int)
    for letter in "ACGUN":
        order[own.table[ord(letter)]] = encoder.table[ord(letter)]
    for mine, theirs in (("cls_id", "cls_id"), ("eos_id", "eos_id"), ("mask_id", "mask_id"),
                         ("pad_id", "pad_id"), ("unk_id", "unk_id")):  # fmt: skip
        order[getattr(own, mine)] = getattr(encoder, theirs)
    for name, tensor in weights.items():
        if tensor.shape[:1] == (len(wide.get_input_embeddings().weight),):
            weights[name] = tensor[order]
    narrow.load_state_dict(weights)
    save_model(tmp_path / "narrow", narrow, tokenizer)
    first, _ = held_out_losses(checkpoint, sets, MASKS, Reading(1024, 900), CPU)
    second, _ = held_out_losses(tmp_path / "narrow", sets, MASKS, Reading(1024, 900), CPU)
    np.testing.assert_allclose(second["loss"], first["loss"], rtol=2e-5)
    assert second.drop("loss").equals(first.drop("loss"))
    # A smaller room: every place is predicted all the same, from a shorter context.
    short, counts = held_out_losses(checkpoint, sets, MASKS, Reading(32, 900), CPU)
    assert short.select("set", "seq_id", "n_masked").equals(
        first.select("set", "seq_id", "n_masked")
    )
    longer = (sets["length"] > 30).to_numpy()
    assert counts["cropped"]["sequences"] == longer.sum()
    assert counts["cropped"]["residues"] == 0
    changed = ~np.isclose(short["loss"], first["loss"], rtol=1e-4)
    assert (changed == longer).all()


def test_a_long_sequence_is_read_in_equal_pieces(checkpoint):
    model, _, encoder = load_model(checkpoint, "rna", 1024)
    sequence = "ACGGUACGUUACGAUCGAUCGAUGG"
    halves = [sequence[:12], sequence[12:]]
    places = np.array([[2, 11, 12, 20]])
    whole = masked_losses(model, encoder, [sequence], [places], Reading(15, 900))
    parts = masked_losses(
        model, encoder, halves, [np.array([[2, 11]]), np.array([[0, 8]])], Reading(1024, 900)
    )
    assert whole[0][0] == pytest.approx(parts[0].mean(), rel=1e-5)
    assert whole[1][0] == parts[1].mean()


def test_sequences_without_letters_are_left_out_everywhere_and_counted(checkpoint):
    sets = table(["ACGU" * 9, "NNNNNNNNRY", "GGCC" * 5], sets=["pool", "pool", "mine"])
    losses, counts = held_out_losses(checkpoint, sets, MASKS, Reading(1024, 900), CPU)
    rest = unigram_losses(sets, MASKS)
    assert (
        losses["seq_id"].to_list()
        == rest["seq_id"].to_list()
        == [sets["seq_id"][0], sets["seq_id"][2]]
    )
    assert counts["left_out"] == 1
    with pytest.raises(HeldOutError, match="set mine: no held-out sequence with a canonical"):
        held_out_losses(
            checkpoint, table(["ACGU", "NN"], sets=["pool", "mine"]), MASKS, Reading(64, 64), CPU
        )
    with pytest.raises(HeldOutError, match="no set at all"):
        unigram_losses(table([]), MASKS)


def test_bf16_takes_the_same_path(checkpoint):
    sets = table(corpus(10))
    full = held_out_losses(checkpoint, sets, MASKS, Reading(1024, 900), CPU)[0]
    half = held_out_losses(checkpoint, sets, MASKS, Reading(1024, 900, "bf16"), CPU)[0]
    assert not half["loss"].equals(full["loss"])
    np.testing.assert_allclose(half["loss"], full["loss"], rtol=0.1)


def test_a_model_without_a_head_has_rows_without_a_loss(checkpoint, tmp_path):
    model, tokenizer, _ = load_model(checkpoint, "rna", 1024)
    save_model(tmp_path / "encoder", model.base_model, tokenizer)
    sets = table(corpus(5))
    found, counts = held_out_losses(tmp_path / "encoder", sets, MASKS, Reading(1024, 900), CPU)
    keys = ["set", "seq_id", "n_masked"]
    assert found.select(keys).equals(unigram_losses(sets, MASKS).select(keys))
    assert found["loss"].null_count() == found["accuracy"].null_count() == 5
    assert counts["cropped"]["sequences"] == 0


def test_a_loss_that_is_no_number_names_its_sequence(checkpoint, monkeypatch):
    def infinite(model, encoder, sequences, places, reading):
        return np.array([0.0, np.inf]), np.zeros(2)

    monkeypatch.setattr("coresift.heldout.losses.masked_losses", infinite)
    with pytest.raises(HeldOutError, match=f"the loss of {1:032x} .set pool. is inf"):
        held_out_losses(checkpoint, table(["ACGU"] * 2), MASKS, Reading(64, 64), CPU)


@given(
    st.text("ACGURYN", max_size=80), st.text("abc", min_size=1), st.floats(0.01, 0.99),
    st.integers(1, 4), st.integers(0, 9),
)  # fmt: skip
def test_masks_are_canonical_and_of_one_count(sequence, seq_id, fraction, n_masks, seed):
    masks = Masks("rna", fraction, n_masks, seed)
    places = masks.places(sequence, seq_id)
    canonical = [i for i, letter in enumerate(sequence) if letter in "ACGU"]
    expected = max(1, round(fraction * len(canonical))) if canonical else 0
    assert places.shape == (n_masks, expected)
    assert set(places.ravel()) <= set(canonical)
    assert (np.diff(places, axis=1) > 0).all()
    np.testing.assert_array_equal(places, masks.places(sequence, seq_id))


def test_masks_differ_between_sequences_patterns_and_seeds():
    masks = Masks("rna", 0.2, 3, 0)
    sequence = "ACGU" * 50
    first = masks.places(sequence, "a")
    assert len(np.unique(first, axis=0)) == 3
    assert not np.array_equal(first, masks.places(sequence, "b"))
    assert not np.array_equal(first, dataclasses.replace(masks, seed=1).places(sequence, "a"))
    # each residue is as likely as any other
    counts = np.zeros(len(sequence))
    for i in range(2000):
        np.add.at(counts, masks.places(sequence, str(i)).ravel(), 1)
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()


def test_unigram_loss_by_hand():
    """Set `a`: 4 A, 3 C, 1 G and an N; set `b` has its own frequencies."""
    sets = table(["AAACCN", "ACG", "UUUU"], sets=["a", "a", "b"])
    masks = Masks("rna", 0.99, 1, 0)  # every canonical residue
    found = unigram_losses(sets, masks)
    cost = {"A": -np.log(4 / 8), "C": -np.log(3 / 8), "G": -np.log(1 / 8)}
    assert found["n_masked"].to_list() == [5, 3, 4]
    assert found["loss"].to_list() == pytest.approx(
        [(3 * cost["A"] + 2 * cost["C"]) / 5, (cost["A"] + cost["C"] + cost["G"]) / 3, 0]
    )
    assert found["accuracy"].to_list() == pytest.approx([3 / 5, 1 / 3, 1])
    # Gibbs: over all places the set's own frequencies cost its entropy.
    entropy = -sum(p * np.log(p) for p in (4 / 8, 3 / 8, 1 / 8))
    own = found.filter(pl.col("set") == "a")
    assert (own["loss"] * own["n_masked"]).sum() / 8 == pytest.approx(entropy)
