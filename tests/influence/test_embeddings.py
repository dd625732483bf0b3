"""Embeddings of a pool: what they are, and what neither shards, batches nor kills can change."""

import numpy as np
import pytest
import torch
from coresift.corpus.blocks import blocks_of, bounds, sequence_id
from coresift.files import read_json, write_digest, write_rows, write_tensors
from coresift.influence import embeddings as module
from coresift.influence.embeddings import embed_shard
from coresift.influence.errors import ScoreError
from coresift.models.checkpoint import build_model
from coresift.models.states import EncoderStates
from coresift.models.tokenizer import Encoder
from polars import DataFrame, col

BLOCKS = 8


@pytest.fixture(scope="module")
def states():
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 64)
    return EncoderStates(model.base_model.eval(), encoder, "mean", 40)


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGU"), rng.integers(10, 60))) for _ in range(60)]
    ids = [sequence_id(text) for text in texts]
    high = np.array([int(seq_id[:16], 16) for seq_id in ids], dtype=np.uint64)
    blocks = blocks_of(high, BLOCKS)
    rows = {"seq_id": ids, "sequence": texts, "length": list(map(len, texts)), "block": blocks}
    return DataFrame(rows).sort("seq_id")


def shards_of(pool, n):
    for i in range(n):
        low, high = bounds(i, n, BLOCKS)
        yield pool.filter(col("block").is_between(low, high, closed="left"))


def test_an_embedding_is_the_mean_over_the_residues_that_are_read(states, pool, tmp_path):
    found = embed_shard(states, pool, 200, tmp_path)
    assert found.dtype == torch.float16
    for row, sequence in zip(found, pool["sequence"], strict=True):
        ids = torch.from_numpy(states.encoder.encode(sequence[:38]))[None]
        with torch.no_grad():
            hidden = states.model(input_ids=ids).last_hidden_state[0, 1:-1]
        torch.testing.assert_close(row.float(), hidden.mean(0), rtol=1e-3, atol=1e-3)


def test_the_number_of_shards_changes_no_bit(states, pool, tmp_path):
    whole = embed_shard(states, pool, 200, tmp_path / "a")
    for n in (3, 8):
        parts = [embed_shard(states, p, 200, tmp_path / str(n)) for p in shards_of(pool, n)]
        assert torch.equal(torch.cat(parts), whole)
    empty = embed_shard(states, pool.head(0), 200, tmp_path / "a")
    assert empty.shape == (0, whole.shape[1])


def test_finished_rows_are_not_computed_again(states, pool, tmp_path, monkeypatch):
    computed = []
    original = module.embed_frame

    def counting(states, frame, tokens_per_batch):
        computed.append(frame.height)
        return original(states, frame, tokens_per_batch)

    monkeypatch.setattr(module, "embed_frame", counting)
    embed_shard(states, pool.head(25), 200, tmp_path)  # killed, or a pool that grew since
    assert sum(computed) == 25
    grown = embed_shard(states, pool, 200, tmp_path)
    assert sum(computed) == 60
    assert torch.equal(embed_shard(states, pool, 200, tmp_path), grown)
    assert sum(computed) == 60
    path = min(tmp_path.glob("*/*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    assert torch.equal(embed_shard(states, pool, 200, tmp_path)[30:], grown[30:])
    assert 60 < sum(computed) < 75
    embed_shard(states, pool, 300, tmp_path)  # other batches are other bits
    assert sum(computed) > 120


def test_an_embedding_that_float16_cannot_hold_is_an_error(states, pool, tmp_path, monkeypatch):
    overflow = torch.full((1, 64), 1e6)
    monkeypatch.setattr(EncoderStates, "forward", lambda self, batch: [overflow] * len(batch))
    with pytest.raises(ScoreError, match="NaN or infinite embedding"):
        embed_shard(states, pool, 200, tmp_path)


def test_shards_are_laid_end_to_end_whatever_their_number(tmp_path):
    values = torch.randn(7, 3).half()
    for i, (start, end) in enumerate([(0, 2), (2, 2), (2, 7)]):
        write_tensors(tmp_path / f"{i}", {"states": values[start:end]}, {"form": "mean"})
    write_tensors(tmp_path / "all", {"states": values}, {})
    write_rows(tmp_path / "a.npy", [tmp_path / f"{i}" for i in range(3)], "states")
    write_rows(tmp_path / "b.npy", [tmp_path / "all"], "states")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert mapped.dtype == np.float16
    assert np.array_equal(mapped, values.numpy())
    for name in "ab":
        write_digest(tmp_path / f"{name}.json", "states", tmp_path / f"{name}.npy")
    assert len(read_json(tmp_path / "a.json")["states"]) == 64
    assert read_json(tmp_path / "a.json") == read_json(tmp_path / "b.json")


def test_a_damaged_shard_is_not_merged(tmp_path):
    write_tensors(tmp_path / "a", {"states": torch.randn(7, 3).half()}, {})
    whole = bytearray((tmp_path / "a").read_bytes())
    whole[-1] ^= 1
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(ValueError, match="a: damaged"):
        write_rows(tmp_path / "b.npy", [tmp_path / "a"], "states")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
