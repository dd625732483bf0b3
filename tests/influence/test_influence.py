"""The engine against brute-force autograd, the reference code's literal method, and resume."""

import numpy as np
import polars as pl
import pytest
import torch
from coresift.config import Influence
from coresift.corpus.blocks import sequence_id
from coresift.influence.engine import (
    GradientError,
    InfluenceEngine,
    mask_patterns,
    resolve_settings,
)
from coresift.influence.fisher import Fisher, inverse_curvature, merge_fishers
from coresift.influence.parameters import resolve_layers
from coresift.influence.scoring import ScoreError, score_shard
from coresift.models.batching import padding_share
from coresift.models.checkpoint import build_model
from coresift.models.tokenizer import Encoder, build_tokenizer
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F
from transformers import EsmConfig, EsmForMaskedLM

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tiny(position="rotary", hidden=16, layers=2):
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=25, pad_token_id=1, mask_token_id=24, hidden_size=hidden,
        num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=1026, position_embedding_type=position,
        emb_layer_norm_before=True, token_dropout=False,
    )  # fmt: skip
    model = EsmForMaskedLM(config)
    for parameter in model.parameters():  # away from the symmetric start
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def sequences(n, seed=0, low=8, high=40):
    rng = np.random.default_rng(seed)
    rows = ["".join(rng.choice(list("ACGU"), rng.integers(low, high))) for _ in range(n)]
    ids = [sequence_id(s) for s in rows]
    frame = pl.DataFrame({"seq_id": ids, "sequence": rows}).unique("seq_id").sort("seq_id")
    return frame.with_columns(
        length=pl.col("sequence").str.len_bytes().cast(pl.Int32),
        block=(pl.col("seq_id").str.slice(0, 1).str.to_integer(base=16) // 4).cast(pl.Int32),
    )


def columns(frame):
    return frame["sequence"].to_list(), frame["seq_id"].to_list()


def engine_for(model, seed=7, **options):
    options = {"precision": "float64", "tokens_per_batch": 200, **options}
    encoder = Encoder.from_tokenizer(build_tokenizer("rna", 1024), "rna", 1024)
    return InfluenceEngine(model, encoder, resolve_settings(Influence(**options), seed), CPU)


def brute_force(engine, sequence, seq_id, names):
    """Gradient of one sequence's mean loss, alone and unpadded, by plain autograd."""
    model, settings = engine.model, engine.settings
    ids = torch.from_numpy(engine.encoder.encode(sequence))[None]
    parameters = [dict(model.named_parameters())[name] for name in names]
    model.requires_grad_(True)
    losses = []
    if settings.loss == "masked":
        for pattern in mask_patterns(len(sequence), seq_id, settings):
            masked = ids.clone()
            where = torch.from_numpy(np.concatenate([[False], pattern, [False]]))
            masked[0, where] = engine.encoder.mask_id
            losses.append(F.cross_entropy(model(input_ids=masked).logits[0, where], ids[0, where]))
    else:
        losses.append(F.cross_entropy(model(input_ids=ids).logits[0], ids[0]))
    loss = torch.stack(losses).mean()
    gradients = torch.autograd.grad(loss, parameters)
    model.requires_grad_(False)
    return loss.item(), gradients


@pytest.mark.parametrize("position", ["rotary", "absolute"])
@pytest.mark.parametrize("loss", ["unmasked", "masked"])
@pytest.mark.parametrize("parameters", ["head", "linear", ["*.query.*", "lm_head.dense.bias"]])
def test_scores_equal_brute_force_in_every_layer(position, loss, parameters):
    engine = engine_for(tiny(position), parameters=parameters, loss=loss, n_masks=3)
    frame = sequences(7)
    names = list(engine.shapes())
    rows = list(frame.iter_rows(named=True))
    expected = [brute_force(engine, r["sequence"], r["seq_id"], names) for r in rows]
    sums = engine.fisher_sums(frame)
    for i, name in enumerate(names):  # every layer on its own
        exact = sum(g[i].square() for _, g in expected)
        torch.testing.assert_close(sums[name], exact, rtol=1e-4, atol=1e-12)
        assert exact.abs().sum() > 0
    fisher = Fisher(sums, frame.height, {})
    inverse = inverse_curvature(fisher, engine.settings, CPU)
    order = np.concatenate(list(engine.batches(frame)))
    parts = [
        engine.score_rows(*columns(frame[rows.tolist()]), inverse) for rows in engine.batches(frame)
    ]
    scores = pl.concat(parts)[np.argsort(order).tolist()]
    quadratic = [
        sum(float((g.square() * inverse.inverse[n]).sum()) for n, g in zip(names, gs, strict=True))
        for _, gs in expected
    ]
    norms = [float(sum(g.square().sum() for g in gs)) ** 0.5 for _, gs in expected]
    np.testing.assert_allclose(scores["influence"], quadratic, rtol=1e-4)
    np.testing.assert_allclose(scores["grad_norm"], norms, rtol=1e-4)
    np.testing.assert_allclose(scores["loss"], [value for value, _ in expected], rtol=1e-6)


def test_error_norm_is_mean_norm_of_softmax_minus_onehot():
    engine = engine_for(tiny())
    frame = sequences(3)
    fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
    inverse = inverse_curvature(fisher, engine.settings, CPU)
    got = engine.score_rows(frame["sequence"].to_list(), frame["seq_id"].to_list(), inverse)
    for i, sequence in enumerate(frame["sequence"]):
        ids = torch.from_numpy(engine.encoder.encode(sequence))
        p = engine.model(input_ids=ids[None]).logits[0].softmax(-1)
        expected = (p - F.one_hot(ids, 25)).norm(dim=-1).mean()
        assert got["error_norm"][i] == pytest.approx(float(expected), rel=1e-6)
        assert got["n_tokens"][i] == len(sequence) + 2


def test_padding_does_not_matter():
    frame = sequences(6, low=5, high=120)
    scores = []
    for budget in (1, 100_000):  # every sequence alone; all in one padded batch
        engine = engine_for(tiny(), parameters="linear", loss="masked", tokens_per_batch=budget)
        fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
        inverse = inverse_curvature(fisher, engine.settings, CPU)
        rows = np.concatenate(list(engine.batches(frame)))
        parts = [
            engine.score_rows(*columns(frame[b.tolist()]), inverse) for b in engine.batches(frame)
        ]
        scores.append(pl.concat(parts)["influence"].to_numpy()[np.argsort(rows)])
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-9)


def reference_scores(model, encoder, rows, width=1024):
    """The published code's method, literally: vmap(jacrev) of the head weight, padded to 1024."""
    ids = torch.full((len(rows), width), encoder.pad_id)
    for i, sequence in enumerate(rows):
        tokens = torch.from_numpy(encoder.encode(sequence))[:width]
        ids[i, : len(tokens)] = tokens
    name = "lm_head.dense.weight"
    weights = dict(model.named_parameters())
    rest = {k: v.detach() for k, v in weights.items() if k != name}

    def loss(weight, row):
        arguments = {"input_ids": row[None]}  # no attention mask: padding is attended to
        logits = functional_call(model, {**rest, name: weight}, (), arguments).logits
        return F.cross_entropy(logits[0], row)  # padding is counted

    gradients = vmap(jacrev(loss), in_dims=(None, 0), chunk_size=1)(weights[name].detach(), ids)
    fisher = gradients.square().mean(0)
    return -(gradients.square() / (fisher + 1e-8)).sum((1, 2))


def test_reference_preset_reproduces_the_published_method():
    model = tiny("absolute")
    model.set_attn_implementation("eager")
    engine = engine_for(model, preset="reference", tokens_per_batch=4096)
    frame = sequences(6)
    expected = -reference_scores(engine.model, engine.encoder, frame["sequence"].to_list())
    fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
    inverse = inverse_curvature(fisher, engine.settings, CPU)
    got = engine.score_rows(frame["sequence"].to_list(), frame["seq_id"].to_list(), inverse)
    np.testing.assert_allclose(got["influence"], expected.numpy(), rtol=1e-4)
    assert set(got["n_tokens"]) == {1024}


def test_fisher_merges_exactly(tmp_path):
    engine = engine_for(tiny(), parameters="linear", tokens_per_batch=1)
    frame = sequences(9)
    whole = Fisher(engine.fisher_sums(frame), frame.height, {"model": "m"})
    parts = [
        Fisher(engine.fisher_sums(f), f.height, {"model": "m"}) for f in (frame[:4], frame[4:])
    ]
    merged = merge_fishers(parts)
    assert merged.count == whole.count
    for name, total in whole.sums.items():
        torch.testing.assert_close(merged.sums[name], total, rtol=1e-12, atol=0)
    whole.save(tmp_path / "f.safetensors")
    loaded = Fisher.load(tmp_path / "f.safetensors")
    assert loaded.metadata == {"model": "m"}
    assert all(torch.equal(loaded.sums[n], whole.sums[n]) for n in whole.sums)
    with pytest.raises(ValueError, match="cannot be merged"):
        merge_fishers([parts[0], Fisher(parts[1].sums, 1, {"model": "other"})])


def test_identity_is_the_squared_gradient_norm():
    engine = engine_for(tiny(), curvature="identity")
    frame = sequences(4)
    fisher = Fisher(engine.fisher_sums(frame), 4, {})
    inverse = inverse_curvature(fisher, engine.settings, CPU)
    got = engine.score_rows(frame["sequence"].to_list(), frame["seq_id"].to_list(), inverse)
    np.testing.assert_allclose(got["influence"], got["grad_norm"] ** 2, rtol=1e-12)


def test_damping_modes():
    sums = {"a": torch.tensor([2.0, 6.0], dtype=torch.float64)}
    fisher = Fisher(sums, 2, {})
    for mode, expected in (("absolute", [1 / 1.5, 1 / 3.5]), ("relative", [1 / 2, 1 / 4])):
        settings = resolve_settings(
            Influence(damping=0.5, damping_mode=mode, precision="float64"), 0
        )
        got = inverse_curvature(fisher, settings, CPU).inverse["a"]
        np.testing.assert_allclose(got, expected)
    zero = Fisher({"a": torch.zeros(2, dtype=torch.float64)}, 2, {})
    with pytest.raises(ValueError, match="no gradient signal"):
        inverse_curvature(zero, settings, CPU)


def test_parameter_sets():
    model = tiny()
    assert [layer.name for layer in resolve_layers(model, "head")] == ["lm_head.dense"]
    names = [layer.name for layer in resolve_layers(model, "linear")]
    assert len(names) == 2 * 6 + 1
    assert not any("contact" in name or "decoder" in name for name in names)
    with pytest.raises(ValueError, match=r"'nothing\*' matches no parameter"):
        resolve_layers(model, ["nothing*"])
    with pytest.raises(ValueError, match="only linear layers"):
        resolve_layers(model, ["*layer_norm*"])


def shard_setup(**options):
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    options = {"tokens_per_batch": 300, **options}
    engine = InfluenceEngine(model, encoder, resolve_settings(Influence(**options), 0), CPU)
    frame = sequences(40)
    fisher = Fisher(engine.fisher_sums(frame[:10]), 10, {})
    return engine, frame, {"influence": inverse_curvature(fisher, engine.settings, CPU)}


def test_scores_do_not_depend_on_shards(tmp_path):
    engine, frame, curvature = shard_setup()
    whole = score_shard(engine, curvature, frame, tmp_path / "one")["influence"]
    pieces = [
        score_shard(engine, curvature, f, tmp_path / "four")["influence"]
        for f in frame.partition_by("block")
    ]
    assert len(pieces) == 4
    assert pl.concat(pieces).sort("seq_id").equals(whole)
    assert whole["seq_id"].equals(frame["seq_id"])


def test_finished_rows_are_never_recomputed(tmp_path, monkeypatch):
    engine, frame, curvature = shard_setup()
    computed = []
    original = InfluenceEngine.score_batch

    def counting(self, batch, curvatures):
        computed.extend(batch.labels)
        if len(computed) > limit:
            raise KeyboardInterrupt  # a kill between two batches
        return original(self, batch, curvatures)

    monkeypatch.setattr(InfluenceEngine, "score_batch", counting)
    limit = 25
    with pytest.raises(KeyboardInterrupt):
        score_shard(engine, curvature, frame, tmp_path)
    kept = sum(pl.read_parquet(p).height for p in tmp_path.rglob("*.parquet"))
    assert 0 < kept <= 25
    limit, computed = 10**9, []
    resumed = score_shard(engine, curvature, frame, tmp_path)["influence"]
    assert len(computed) == frame.height - kept
    fresh = score_shard(engine, curvature, frame, tmp_path / "fresh")["influence"]
    assert resumed.equals(fresh)
    computed.clear()
    more = pl.concat([frame, sequences(50, seed=9)]).unique("seq_id").sort("seq_id")
    grown = score_shard(engine, curvature, more, tmp_path)["influence"]
    assert len(computed) == more.height - frame.height
    assert grown.join(resumed, on="seq_id", how="semi").equals(resumed)


def test_another_damping_is_another_cache(tmp_path):
    engine, frame, curvature = shard_setup()
    first = score_shard(engine, curvature, frame, tmp_path)["influence"]
    other = shard_setup(damping=0.3)[2]
    second = score_shard(engine, other, frame, tmp_path)["influence"]
    assert not first["influence"].equals(second["influence"])
    assert len(list(tmp_path.iterdir())) == 2


def test_nan_is_reported_by_sequence(tmp_path):
    engine, frame, curvature = shard_setup()
    engine.model.esm.embeddings.word_embeddings.weight.data[6] = float("nan")  # the letter G
    bad = frame.filter(pl.col("sequence").str.contains("G"))
    with pytest.raises(ScoreError, match=r"NaN or infinite") as caught:
        score_shard(engine, curvature, frame, tmp_path)
    assert any(seq_id in str(caught.value) for seq_id in bad["seq_id"])


def test_nan_in_the_fisher_is_reported_by_sequence():
    engine, frame, _ = shard_setup()
    frame = pl.concat([frame[:20], frame[20:25].with_columns(pl.col("sequence") + "N")])
    letter = engine.encoder.table[ord("N")]

    def poison(_, inputs, named, states):
        return states.masked_fill((named["input_ids"] == letter)[..., None], float("inf"))

    engine.model.esm.embeddings.register_forward_hook(poison, with_kwargs=True)
    with pytest.raises(GradientError, match=r"^5 sequences have a NaN or infinite") as caught:
        engine.fisher_sums(frame)
    assert set(str(caught.value).split(": ")[1].split(", ")) == set(frame["seq_id"][20:])


def test_out_of_memory_halves_the_budget_for_the_rest(tmp_path, monkeypatch):
    engine, _, curvature = shard_setup(tokens_per_batch=1000)
    frame = sequences(40, low=30, high=31)
    expected = score_shard(engine, curvature, frame, tmp_path / "ample")["influence"]
    sums = engine.fisher_sums(frame)
    original = InfluenceEngine.run
    failures, limit = [], 150

    def run(self, batch, visitor):
        result = original(self, batch, visitor)  # memory runs out at the very end of a batch
        if batch.ids.numel() > limit:
            failures.append(batch.ids.numel())
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return result

    monkeypatch.setattr(InfluenceEngine, "run", run)
    got = score_shard(engine, curvature, frame, tmp_path / "scarce")["influence"]
    assert engine.tokens_per_batch == 125  # 1000, 500, 250, 125
    assert len(failures) <= 3
    np.testing.assert_allclose(got["influence"], expected["influence"], rtol=1e-4)
    failures.clear()
    for name, total in engine.fisher_sums(frame).items():
        torch.testing.assert_close(total, sums[name], rtol=1e-4, atol=1e-12)
    assert not failures
    engine.tokens_per_batch = 1000
    for name, total in engine.fisher_sums(frame).items():
        torch.testing.assert_close(total, sums[name], rtol=1e-4, atol=1e-12)
    assert failures
    limit = 0
    with pytest.raises(torch.OutOfMemoryError):  # not even one sequence fits
        engine.fisher_sums(frame)


def test_padding_waste_is_below_5_percent():
    lengths = np.clip(np.random.default_rng(0).lognormal(np.log(150), 1, 500), 30, 1000).astype(int)
    frame = pl.DataFrame({"sequence": ["A" * n for n in lengths]})
    engine = engine_for(tiny(), tokens_per_batch=16384)
    batches = list(engine.batches(frame))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert padding_share(engine.token_counts(frame), batches) < 0.05
    assert len(batches) < 60
