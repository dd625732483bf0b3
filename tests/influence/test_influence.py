"""The engine against brute-force autograd, the reference code's literal method, and resume."""

from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from coresift.corpus.blocks import bounds, sequence_id
from coresift.files import write_tensors
from coresift.influence.columns import score_table
from coresift.influence.curvature import Fishers, curvature_of, summing
from coresift.influence.engine import (
    GradientError,
    InfluenceEngine,
    mask_patterns,
    resolve_settings,
)
from coresift.influence.errors import ScoreError
from coresift.influence.fisher import (
    CHUNKS,
    Fisher,
    compute_part,
    inverse_curvature,
    merge_parts,
    subtrees,
)
from coresift.influence.gradients import Curvature, GradientSums
from coresift.influence.kronecker import Kronecker, eigenbases
from coresift.influence.merge import merge_scores
from coresift.influence.parameters import resolve_layers
from coresift.influence.scoring import score_all, score_frame, score_shard
from coresift.influence.settings import Influence
from coresift.influence.tables import score_schema
from coresift.models.checkpoint import build_model
from coresift.models.tokenizer import Encoder, build_tokenizer
from coresift.tables import read_table, write_table
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F
from transformers import AlbertConfig, AlbertForMaskedLM, EsmConfig, EsmForMaskedLM

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


def score_rows(engine, frame, curvature):
    """Scores of a frame as one batch."""
    return engine.score_batch(engine.collate(*columns(frame)), {"": curvature})[""]


def engine_for(model, seed=7, **options):
    options = {"precision": "float64", "tokens_per_batch": 200, **options}
    encoder = Encoder.from_tokenizer(build_tokenizer("rna", 1024), "rna", 1024)
    return InfluenceEngine(model, encoder, resolve_settings(Influence(**options), seed), CPU)


def eligible(engine, sequence):
    """Residues that may be masked."""
    return np.array([engine.settings.count_ambiguous or c in "ACGU" for c in sequence])


def counted(engine, sequence):
    """Tokens in the unmasked loss: special tokens are no residues."""
    ends = [engine.settings.count_ambiguous]
    return torch.from_numpy(np.concatenate([ends, eligible(engine, sequence), ends]))


def brute_force(engine, sequence, seq_id, names):
    """Gradient of one sequence's mean loss, alone and unpadded, by plain autograd."""
    model, settings = engine.model, engine.settings
    ids = torch.from_numpy(engine.encoder.encode(sequence))[None]
    parameters = [dict(model.named_parameters())[name] for name in names]
    model.requires_grad_(True)
    losses = []
    if settings.loss == "masked":
        for pattern in mask_patterns(eligible(engine, sequence), seq_id, settings):
            masked = ids.clone()
            where = torch.from_numpy(np.concatenate([[False], pattern, [False]]))
            masked[0, where] = engine.encoder.mask_id
            losses.append(F.cross_entropy(model(input_ids=masked).logits[0, where], ids[0, where]))
    else:
        where = counted(engine, sequence)
        losses.append(F.cross_entropy(model(input_ids=ids).logits[0, where], ids[0, where]))
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
    parts = [score_rows(engine, frame[rows.tolist()], inverse) for rows in engine.batches(frame)]
    scores = pl.concat(parts)[np.argsort(order).tolist()]
    quadratic = [
        sum(float((g.square() * inverse.inverse[n]).sum()) for n, g in zip(names, gs, strict=True))
        for _, gs in expected
    ]
    norms = [float(sum(g.square().sum() for g in gs)) ** 0.5 for _, gs in expected]
    np.testing.assert_allclose(scores["influence"], quadratic, rtol=1e-4)
    np.testing.assert_allclose(scores["grad_norm"], norms, rtol=1e-4)
    np.testing.assert_allclose(scores["loss"], [value for value, _ in expected], rtol=1e-6)


def albert():
    """Three depths of one shared layer."""
    config = AlbertConfig(
        vocab_size=25, embedding_size=16, hidden_size=16, num_hidden_layers=3,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=128,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AlbertForMaskedLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
@pytest.mark.parametrize(
    "parameters", ["head", "linear", ["*query.weight", "*ffn.*", "*mapping_in.weight"]]
)
def test_a_layer_that_is_called_several_times_has_one_gradient(loss, parameters):
    engine = engine_for(albert(), parameters=parameters, loss=loss, n_masks=2)
    frame = sequences(4)
    names = list(engine.shapes())
    expected = [brute_force(engine, *row, names)[1] for row in zip(*columns(frame), strict=True)]
    sums = engine.fisher_sums(frame)
    total = engine.sums(frame, lambda: GradientSums(engine.shapes(), CPU, engine.dtype))
    for i, name in enumerate(names):
        torch.testing.assert_close(
            sums[name], sum(g[i].square() for g in expected), rtol=1e-9, atol=1e-12
        )
        exact = sum(g[i] for g in expected)
        torch.testing.assert_close(total[name], exact, rtol=1e-9, atol=1e-12)
    got = score_rows(engine, frame, Curvature(dict.fromkeys(names)))["influence"]
    norms = [float(sum(g.square().sum() for g in gradients)) for gradients in expected]
    np.testing.assert_allclose(got, norms, rtol=1e-9)


def test_error_norm_is_mean_norm_of_softmax_minus_onehot():
    engine = engine_for(tiny(), loss="unmasked")
    frame = sequences(3)
    fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
    inverse = inverse_curvature(fisher, engine.settings, CPU)
    got = score_rows(engine, frame, inverse)
    for i, sequence in enumerate(frame["sequence"]):
        ids = torch.from_numpy(engine.encoder.encode(sequence))
        p = engine.model(input_ids=ids[None]).logits[0].softmax(-1)
        expected = (p - F.one_hot(ids, 25)).norm(dim=-1)[counted(engine, sequence)].mean()
        assert got["error_norm"][i] == pytest.approx(float(expected), rel=1e-6)
        assert got["n_tokens"][i] == len(sequence)


def test_padding_does_not_matter():
    frame = sequences(6, low=5, high=120)
    scores = []
    for budget in (1, 100_000):  # every sequence alone; all in one padded batch
        engine = engine_for(tiny(), parameters="linear", loss="masked", tokens_per_batch=budget)
        fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
        inverse = inverse_curvature(fisher, engine.settings, CPU)
        rows = np.concatenate(list(engine.batches(frame)))
        parts = [score_rows(engine, frame[b.tolist()], inverse) for b in engine.batches(frame)]
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
    got = score_rows(engine, frame, inverse)
    np.testing.assert_allclose(got["influence"], expected.numpy(), rtol=1e-4)
    assert set(got["n_tokens"]) == {1024}


def fisher_part(engine, frame, part, n_parts, path, make=None, **options):
    make = make or summing(engine, "diagonal", [engine.settings.parameters])
    metadata = {"model": "m", "kind": "diagonal", **options}
    compute_part(engine, frame, make, part, n_parts, metadata, path, f"{path}.checkpoint")


@pytest.mark.parametrize("kind", ["diagonal", "kronecker"])
@pytest.mark.parametrize("rows", [150, 9])
def test_fisher_has_the_same_bytes_whatever_the_parts(tmp_path, kind, rows):
    engine = engine_for(tiny(), parameters="linear", precision="float32")
    frame = sequences(rows)
    make = summing(engine, kind, ["linear"])
    written = []
    for n_parts in (1, 2, 5, 64):
        paths = [tmp_path / f"{n_parts}-{i}.safetensors" for i in range(n_parts)]
        for i, path in enumerate(paths):
            fisher_part(engine, frame.sample(fraction=1, shuffle=True), i, n_parts, path, make)
        merge_parts(paths[::-1]).save(tmp_path / "merged.safetensors")
        written.append((tmp_path / "merged.safetensors").read_bytes())
    assert written[0] == written[1] == written[2] == written[3]
    merged = Fisher.load(tmp_path / "merged.safetensors")
    assert merged.count == frame.height
    for name, total in engine.sums(frame, make).items():
        torch.testing.assert_close(merged.sums[name], total, rtol=1e-4, atol=1e-10)


@given(n_parts=st.integers(1, CHUNKS))
def test_subtrees_of_the_parts_are_the_tree(n_parts):
    nodes = [n for i in range(n_parts) for n in subtrees(*bounds(i, n_parts, CHUNKS))]
    assert [c for start, stop in nodes for c in range(start, stop)] == list(range(CHUNKS))
    for start, stop in nodes:  # aligned runs of a power of two: nodes of the binary tree
        size = stop - start
        assert size & (size - 1) == 0
        assert start % size == 0


def test_a_killed_fisher_part_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr("coresift.influence.fisher.CHECKPOINT_SECONDS", 0.0)
    engine, frame = engine_for(tiny()), sequences(150)
    fisher_part(engine, frame, 0, 2, tmp_path / "whole")
    original, chunks = InfluenceEngine.sums, []

    def counting(self, rows, make):
        if len(chunks) == limit:
            raise KeyboardInterrupt
        chunks.append(rows.height)
        return original(self, rows, make)

    monkeypatch.setattr(InfluenceEngine, "sums", counting)
    limit = 13
    with pytest.raises(KeyboardInterrupt):
        fisher_part(engine, frame, 0, 2, tmp_path / "part")
    assert not (tmp_path / "part").exists()
    checkpoint = (tmp_path / "part.checkpoint").read_bytes()
    limit, chunks = None, []
    fisher_part(engine, frame, 0, 2, tmp_path / "part")
    assert len(chunks) == 32 - 13
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not (tmp_path / "part.checkpoint").exists()
    (tmp_path / "part.checkpoint").write_bytes(checkpoint)
    chunks.clear()
    fisher_part(engine, frame, 0, 2, tmp_path / "other", seed=1)  # another origin: not used
    assert len(chunks) == 32


def test_parts_that_do_not_fit_are_refused(tmp_path):
    engine, frame = engine_for(tiny()), sequences(5)
    fisher_part(engine, frame, 0, 2, tmp_path / "a")
    fisher_part(engine, frame, 1, 2, tmp_path / "b", seed=1)
    with pytest.raises(ValueError, match="cannot be merged"):
        merge_parts([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(ValueError, match="no part has chunk 32"):
        merge_parts([tmp_path / "a"])
    write_tensors(tmp_path / "c", {"x": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="not a Fisher file"):
        Fisher.load(tmp_path / "c")


def test_identity_is_the_squared_gradient_norm():
    engine = engine_for(tiny(), curvature="identity")
    frame = sequences(4)
    fisher = Fisher(engine.fisher_sums(frame), 4, {})
    inverse = inverse_curvature(fisher, engine.settings, CPU)
    got = score_rows(engine, frame, inverse)
    np.testing.assert_allclose(got["influence"], got["grad_norm"] ** 2, rtol=1e-12)


def kronecker_files(engine, frame, folder):
    """The files that the rules would make, in one part."""
    files = {}
    for kind, count in (("kronecker", 3), ("corrected", 2), ("diagonal", 1)):
        bases = None
        if kind == "corrected":
            bases = Kronecker.load(files["kronecker"], CPU, engine.dtype).bases
        make = summing(engine, kind, [engine.settings.parameters], bases)
        paths = [folder / f"{kind}-{i}" for i in range(count)]
        for i, path in enumerate(paths):
            fisher_part(engine, frame, i, count, path, make, kind=kind)
        merged = merge_parts(paths)
        files[kind] = folder / kind
        (eigenbases(merged) if kind == "kronecker" else merged).save(files[kind])
    return files


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
@pytest.mark.parametrize("damping_mode", ["relative", "absolute"])
@pytest.mark.parametrize("parameters", ["linear", ["*.0.attention*.query.*", "lm_head.dense.*"]])
def test_kfac_and_ekfac_equal_a_dense_kronecker_inverse(tmp_path, loss, damping_mode, parameters):
    model = tiny(hidden=8)
    options = {"loss": loss, "damping_mode": damping_mode, "parameters": parameters, "n_masks": 2}
    engine = engine_for(model, **options)
    frame = sequences(9)
    fishers = Fishers(kronecker_files(engine, frame, tmp_path), CPU, engine.dtype)
    seen = layer_tokens(engine, frame)
    layers = engine.layers
    products, gradients, corrected = {}, {}, {}
    for layer in layers:
        x, dy = seen[layer.name]  # lists, a (T, d) a sequence
        if layer.bias:
            x = [torch.cat([rows, rows.new_ones(len(rows), 1)], 1) for rows in x]
        a = sum(rows.T @ rows for rows in x) / sum(map(len, x))
        s = sum(rows.T @ rows for rows in dy) / frame.height
        products[layer] = torch.kron(s, a)
        gradients[layer] = [(d.T @ r).flatten() for d, r in zip(dy, x, strict=True)]
        q = torch.kron(torch.linalg.eigh(s)[1], torch.linalg.eigh(a)[1])
        means = torch.stack([(q.T @ g).square() for g in gradients[layer]]).mean(0)
        corrected[layer] = q @ torch.diag(means) @ q.T
    for curvature, dense in (("kfac", products), ("ekfac", corrected)):
        settings = resolve_settings(
            Influence(curvature=curvature, damping=0.3, precision="float64", **options), 7
        )
        mean = sum(m.diagonal().sum() for m in dense.values())
        mean = mean / sum(len(m) for m in dense.values())
        damping = 0.3 * mean if damping_mode == "relative" else 0.3
        whole = curvature_of(engine, settings, fishers)
        alone = {
            layer: Curvature({k: whole.inverse[k]}, {k: whole.bases[k]})
            for layer in layers
            for k in [layer.matrix[0]]
        }
        for i, row in enumerate(frame.iter_rows(named=True)):
            batch = engine.collate([row["sequence"]], [row["seq_id"]])
            got = engine.score_batch(batch, {**alone, "all": whole})
            total = 0
            for layer in layers:
                g, m = gradients[layer][i], dense[layer]
                expected = g @ torch.linalg.solve(m + damping * torch.eye(len(m)).double(), g)
                assert got[layer]["influence"][0] == pytest.approx(float(expected), rel=1e-6)
                assert got[layer]["grad_norm"][0] == pytest.approx(float(g.norm()), rel=1e-6)
                total += float(expected)
            assert got["all"]["influence"][0] == pytest.approx(total, rel=1e-6)


def keep_tokens(kept, name, _, inputs, output):
    output.retain_grad()
    kept[name] = (inputs[0].detach(), output)


def layer_tokens(engine, frame):
    """Inputs and output gradients of every linear layer, by plain autograd, unpadded.

    One (tokens, d) matrix a sequence; the LM head's has only the tokens in the loss.
    """
    model, settings = engine.model, engine.settings
    model.requires_grad_(True)
    seen = {layer.name: ([], []) for layer in engine.layers}
    for row in frame.iter_rows(named=True):
        ids = torch.from_numpy(engine.encoder.encode(row["sequence"]))
        where = counted(engine, row["sequence"])[None]
        if settings.loss == "masked":
            residues = eligible(engine, row["sequence"])
            where = np.pad(mask_patterns(residues, row["seq_id"], settings), ((0, 0), (1, 1)))
            where = torch.from_numpy(where)
        inputs = ids.repeat(len(where), 1)
        if settings.loss == "masked":
            inputs[where] = engine.encoder.mask_id
        kept = {}
        handles = [
            model.get_submodule(name).register_forward_hook(partial(keep_tokens, kept, name))
            for name in seen
        ]
        logits = model(input_ids=inputs).logits
        F.cross_entropy(logits[where], ids.repeat(len(where), 1)[where]).backward()
        for handle in handles:
            handle.remove()
        for name, (x, y) in kept.items():
            chosen = where if name.startswith("lm_head") else torch.ones_like(where)
            seen[name][0].append(x[chosen])
            seen[name][1].append(y.grad[chosen])
    model.requires_grad_(False)
    return seen


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
    first, second = model.esm.encoder.layer[0].attention.self, model.esm.encoder.layer[1].attention
    second.self.query.weight = first.key.weight
    with pytest.raises(
        ValueError, match=r"layer\.0\..*key and .*layer\.1\..*query share one weight"
    ):
        resolve_layers(model, "linear")


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


@pytest.mark.parametrize("parameters", ["head", "linear"])
def test_bf16_accumulates_in_float32(parameters):
    frame = sequences(40)
    engines = {p: shard_setup(parameters=parameters, precision=p)[0] for p in ("float32", "bf16")}
    fisher = Fisher(engines["float32"].fisher_sums(frame), frame.height, {})
    curvature = {"": inverse_curvature(fisher, engines["float32"].settings, CPU)}
    exact, got = (score_frame(engine, curvature, frame)[""] for engine in engines.values())
    np.testing.assert_allclose(got["influence"], exact["influence"], rtol=0.05)
    assert not got["influence"].equals(exact["influence"])
    sums = engines["bf16"].fisher_sums(frame)
    for name, total in sums.items():
        assert float(total.sum()) == pytest.approx(float(fisher.sums[name].sum()), rel=0.02)


def test_a_compiled_encoder_gives_the_same_scores(monkeypatch):
    engine, frame, curvatures = shard_setup()
    expected = score_frame(engine, curvatures, frame)["influence"]
    compiled = []
    original = torch.nn.Module.compile

    def traced(self, **options):  # without the minute that code generation takes
        compiled.append(type(self).__name__)
        original(self, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    engine = shard_setup(compile=True)[0]
    got = score_frame(engine, curvatures, frame)["influence"]
    assert compiled == ["EsmModel"]
    np.testing.assert_allclose(got["influence"], expected["influence"], rtol=1e-4)
    with pytest.raises(ValueError, match="compile: needs parameters: head"):
        Influence(compile=True, variants={"all": {"parameters": "linear"}})


def test_padding_waste_is_below_5_percent():
    lengths = np.clip(np.random.default_rng(0).lognormal(np.log(150), 1, 500), 30, 1000).astype(int)
    frame = pl.DataFrame({"sequence": ["A" * n for n in lengths]})
    engine = engine_for(tiny(), tokens_per_batch=16384)
    batches = list(engine.batches(frame))
    assert sorted(np.concatenate(batches)) == list(range(500))
    tokens = engine.token_counts(frame)
    padded = sum(len(rows) * tokens[rows].max() for rows in batches)
    assert 1 - tokens.sum() / padded < 0.05
    assert len(batches) < 60


VARIANTS = {
    "strong_damping": {"damping": 0.5},
    "all_layers": {"parameters": "linear"},
    "norm": {"curvature": "identity"},
    "kronecker": {"curvature": "ekfac"},
    "eigen": {"curvature": "kfac", "damping_mode": "absolute"},
    "asked": {"loss": "unmasked"},
}


def score_with(influence, frame, folder, passes=None):
    """Fishers and scores as the rules would make them."""
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    files = {}
    for loss, kinds in influence.fishers().items():
        files[loss] = {}
        section = influence.model_copy(update={"loss": loss})
        engine = InfluenceEngine(model, encoder, resolve_settings(section, 0), CPU)
        for kind in ("diagonal", "kronecker", "corrected"):
            if kind not in kinds:
                continue
            bases = None
            if kind == "corrected":
                bases = Kronecker.load(files[loss]["kronecker"], CPU, engine.dtype).bases
            make = summing(engine, kind, kinds[kind], bases)
            part, path = folder / f"{loss}-{kind}-part", folder / f"{loss}-{kind}"
            fisher_part(engine, frame[:10], 0, 1, part, make, kind=kind)
            merged = merge_parts([part])
            (eigenbases(merged) if kind == "kronecker" else merged).save(path)
            files[loss][kind] = path
    return score_all(model, encoder, influence, 0, CPU, files, {}, frame, folder / "cache")


def test_variants_share_a_pass_and_change_no_bit(tmp_path, monkeypatch):
    frame = sequences(40)
    alone = score_with(Influence(), frame, tmp_path)["influence"]
    passes = []
    original = InfluenceEngine.score_batch

    def counting(self, batch, curvatures):
        passes.append((self.settings.loss, list(curvatures), len(batch.labels)))
        return original(self, batch, curvatures)

    monkeypatch.setattr(InfluenceEngine, "score_batch", counting)
    scores = score_with(Influence(variants=VARIANTS), frame, tmp_path)
    assert scores["influence"].equals(alone)
    masked = [name for name in VARIANTS if name != "asked"]
    assert {tuple(names) for loss, names, _ in passes if loss == "masked"} == {tuple(masked)}
    for loss in ("masked", "unmasked"):  # the main score is not computed again
        assert sum(n for found, _, n in passes if found == loss) == frame.height
    passes.clear()
    main = Influence(**VARIANTS["all_layers"])
    assert score_with(main, frame, tmp_path)["influence"].equals(scores["all_layers"])
    assert not passes  # a variant that becomes the main score is known
    for name in VARIANTS:
        (tmp_path / name).mkdir()
        section = Influence(**VARIANTS[name])
        expected = score_with(section, frame, tmp_path / name)["influence"]
        assert scores[name].equals(expected), name


def test_the_score_table_is_wide_and_the_same_whatever_the_shards(tmp_path):
    frame = sequences(30)
    influence = Influence(variants={"norm": {"curvature": "identity", "per": "residue"}})
    measured = score_with(influence, frame, tmp_path)
    table = score_table(influence, measured)
    assert table.columns == list(score_schema(["norm"]))
    main, norm = measured["influence"], measured["norm"]
    assert table["influence"].equals(main["influence"])
    assert table["residue"].equals(main["influence"] * main["n_tokens"])
    assert table["norm"].equals(norm["influence"] * norm["n_tokens"])
    residue = influence.model_copy(update={"per": "residue"})
    table_by_residue = score_table(residue, measured)
    assert table_by_residue["influence"].equals(table["residue"])
    frame.select("seq_id").write_parquet(tmp_path / "pool")
    written = []
    for cuts in ([0, 30], [0, 11, 12, 30]):
        paths = []
        for start, stop in pairwise(cuts):
            paths.append(tmp_path / f"{start}-{stop}")
            write_table(paths[-1], table[start:stop], score_schema(["norm"]))
        merge_scores(paths, [tmp_path / "pool"], ["norm"], tmp_path / "all")
        written.append((tmp_path / "all").read_bytes())
    assert written[0] == written[1]
    assert read_table(tmp_path / "all", score_schema(["norm"])).equals(table)
    with pytest.raises(ScoreError, match="30 sequences in the pool, 11 scores"):
        merge_scores(paths[:1], [tmp_path / "pool"], ["norm"], tmp_path / "short")
    assert not (tmp_path / "short").exists()
    with pytest.raises(ValueError, match="columns missing"):
        merge_scores(paths, [tmp_path / "pool"], ["norm", "other"], tmp_path / "short")
