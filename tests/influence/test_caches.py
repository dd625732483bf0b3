"""The score cache and a part's checkpoint: two writers, a killed one, a damaged file."""

import dataclasses

import polars as pl
import pytest
import torch
from coresift.files import read_tensors
from coresift.influence import scoring
from coresift.influence.curvature import summing
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher, compute_part, inverse_curvature
from coresift.influence.scoring import score_key, score_shard
from coresift.influence.settings import Influence
from coresift.influence.tables import MEASURED
from coresift.models.checkpoint import build_model
from coresift.models.tokenizer import Encoder
from coresift.tables import write_table
from test_influence import sequences

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine():
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 64)
    settings = resolve_settings(Influence(tokens_per_batch=200), 0)
    return InfluenceEngine(model, encoder, settings, CPU)


@pytest.fixture(scope="module")
def pool():
    return sequences(30)


@pytest.fixture(scope="module")
def curvature(engine, pool):
    fisher = Fisher(engine.fisher_sums(pool), pool.height, {})
    return inverse_curvature(fisher, engine.settings, CPU)


@pytest.fixture(scope="module")
def fresh(engine, pool, curvature, tmp_path_factory):
    return score_shard(engine, {"x": curvature}, pool, tmp_path_factory.mktemp("c"))["x"]


def blocks(cache):
    return sorted(cache.glob("*/*.parquet"))


def unique(cache):
    return all(not pl.read_parquet(f)["seq_id"].is_duplicated().any() for f in blocks(cache))


@pytest.mark.parametrize("first", [12, 30])
def test_two_writers_at_once(engine, pool, curvature, fresh, tmp_path, monkeypatch, first):
    """Another run scores the same blocks of a pool as large, or not grown yet, in the meantime."""
    original, inside = scoring.score_frame, []

    def interleaved(*arguments):
        result = original(*arguments)
        if not inside:
            inside.append(True)
            other = score_shard(engine, {"x": curvature}, pool.head(first), tmp_path)["x"]
            inside.append(other)
        return result

    monkeypatch.setattr(scoring, "score_frame", interleaved)
    mine = score_shard(engine, {"x": curvature}, pool, tmp_path)["x"]
    assert inside[1]["seq_id"].equals(pool["seq_id"].head(first))
    assert mine["seq_id"].equals(pool["seq_id"])
    if first == pool.height:
        assert mine.equals(fresh)
        assert inside[1].equals(fresh)
    assert unique(tmp_path)
    again = score_shard(engine, {"x": curvature}, pool, tmp_path)["x"]
    assert again["seq_id"].equals(pool["seq_id"])


def test_rows_that_another_writer_drops_stay_in_the_result(
    engine, pool, curvature, fresh, tmp_path, monkeypatch
):
    """The block's file is replaced by one without this run's rows right after it was written."""
    original = scoring.ScoreCache.add

    def replaced(self, block, scores):
        original(self, block, scores)
        write_table(self._path(block), scores.head(0), MEASURED)

    monkeypatch.setattr(scoring.ScoreCache, "add", replaced)
    assert score_shard(engine, {"x": curvature}, pool, tmp_path)["x"].equals(fresh)


def flipped(data, at=None):
    at = len(data) // 2 if at is None else at
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[: len(d) // 2],
        lambda d: b"",
        lambda d: d[:90] + bytes(90) + d[180:],
        lambda d: b"x" * 99,
    ],
)
def test_a_damaged_block_is_computed_again(
    engine, pool, curvature, fresh, tmp_path, caplog, damage
):
    score_shard(engine, {"x": curvature}, pool, tmp_path)
    whole = {path: pl.read_parquet(path) for path in blocks(tmp_path)}
    for path in whole:
        path.write_bytes(damage(path.read_bytes()))
    (blocks(tmp_path)[0].parent / ".00000.parquet.host.1.tmp").write_bytes(b"killed")
    assert score_shard(engine, {"x": curvature}, pool, tmp_path)["x"].equals(fresh)
    assert blocks(tmp_path) == sorted(whole)
    assert all(pl.read_parquet(path).equals(rows) for path, rows in whole.items())
    assert "computed again" in caplog.text


def test_every_flipped_byte_of_a_block_is_noticed(engine, pool, curvature, fresh, tmp_path):
    """A changed byte leaves the same rows, or the block counts as absent."""
    score_shard(engine, {"x": curvature}, pool, tmp_path)
    path = blocks(tmp_path)[0]
    cache, block, data = scoring.ScoreCache(path.parent), int(path.stem), path.read_bytes()
    rows = cache.read(block)
    assert rows.height > 0
    for at in range(0, len(data), 5):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        found = cache.read(block)
        assert found.is_empty() or found.equals(rows)


def test_doubled_rows_of_an_older_version_are_computed_again(
    engine, pool, curvature, fresh, tmp_path
):
    score_shard(engine, {"x": curvature}, pool, tmp_path)
    for path in blocks(tmp_path):
        rows = pl.read_parquet(path)
        write_table(path, pl.concat([rows, rows]), MEASURED)
    assert score_shard(engine, {"x": curvature}, pool, tmp_path)["x"].equals(fresh)
    assert unique(tmp_path)


def test_scores_belong_to_tokenizer_architecture_and_machine(engine, curvature, monkeypatch):
    keys = [score_key(engine, curvature)]
    encoder = engine.encoder
    for changes in ({"mask_id": 20}, {"max_tokens": 20}):
        monkeypatch.setattr(engine, "encoder", dataclasses.replace(encoder, **changes))
        keys.append(score_key(engine, curvature))
    monkeypatch.undo()
    monkeypatch.setattr(engine.model.config, "layer_norm_eps", 1e-3)
    keys.append(score_key(engine, curvature))
    monkeypatch.undo()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    keys.append(score_key(engine, curvature))
    monkeypatch.undo()
    monkeypatch.setattr("coresift.models.checkpoint.code_digest", lambda module: "edited")
    keys.append(score_key(engine, curvature))
    monkeypatch.undo()
    assert len(set(keys)) == 6
    assert score_key(engine, curvature) == keys[0]


@pytest.fixture
def part(engine, pool, tmp_path, monkeypatch):
    """Computes a part in `tmp_path`; its checkpoint is written after every chunk and kept."""
    monkeypatch.setattr("coresift.influence.fisher.CHECKPOINT_SECONDS", -1.0)
    make = summing(engine, "diagonal", ["head"])

    def compute(number, n_parts, name, checkpoint, stop=None):
        done = []
        original = InfluenceEngine.sums

        def counting(self, rows, make):
            if len(done) == stop:
                raise KeyboardInterrupt
            done.append(rows.height)
            return original(self, rows, make)

        with monkeypatch.context() as patch:
            patch.setattr(InfluenceEngine, "sums", counting)
            arguments = (engine, pool, make, number, n_parts, {"model": "m"}, tmp_path / name)
            if stop is None:
                compute_part(*arguments, tmp_path / checkpoint)
            else:
                with pytest.raises(KeyboardInterrupt):
                    compute_part(*arguments, tmp_path / checkpoint)
        return len(done)

    return compute


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], flipped, lambda d: b""])
def test_a_damaged_checkpoint_of_a_part_is_not_used(part, tmp_path, caplog, damage):
    part(0, 4, "fresh", "c")
    part(0, 4, "cut", "c", stop=9)
    (tmp_path / "c").write_bytes(damage((tmp_path / "c").read_bytes()))
    assert part(0, 4, "again", "c") == 16
    assert (tmp_path / "again").read_bytes() == (tmp_path / "fresh").read_bytes()
    assert "starting afresh" in caplog.text


@pytest.mark.parametrize(("n_parts", "chunks"), [(2, 32 - 13), (8, 0)])
def test_a_checkpoint_serves_another_number_of_parts(part, tmp_path, n_parts, chunks):
    """Of its sums, those inside the part are used and no others are written."""
    part(0, n_parts, "fresh", "c")
    part(0, 4, "cut", "c", stop=13)
    assert part(0, n_parts, "again", "c") == chunks
    assert (tmp_path / "again").read_bytes() == (tmp_path / "fresh").read_bytes()


def test_a_part_s_checkpoint_belongs_to_its_machine(part, tmp_path, caplog, monkeypatch):
    part(0, 4, "cut", "c", stop=9)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert part(0, 4, "again", "c") == 16
    assert "of another run (threads)" in caplog.text
    assert read_tensors(tmp_path / "again")[1] == {"model": "m", "count": 30}
