"""Small models trained anew, and what gradients say of them: on tiny models, the signs exact."""

import numpy as np
import polars as pl
import pytest
import torch
from coresift.heldout.masks import Masks
from coresift.influence.engine import InfluenceEngine, mask_patterns, resolve_settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.scoring import score_frame
from coresift.influence.settings import Influence
from coresift.models.checkpoint import build_model, model_hash
from coresift.models.settings import architecture, widened
from coresift.models.tokenizer import Encoder
from coresift.training.mlm import train_mlm
from coresift.training.settings import Optimisation
from coresift.validate import retrain
from coresift.validate.predict import Ways, averaged, predict
from coresift.validate.retrain import (
    Bench,
    asked_of,
    datamodel_runs,
    leave_one_out_runs,
    part_of_runs,
    runs_of,
)
from coresift.validate.scoring import setting_scores
from coresift.validate.settings import Retraining
from coresift.validate.small import residues_of, subsets_of

CPU = torch.device("cpu")
SMALL = {**architecture("tiny"), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
OPTIONS = Retraining(tokens_per_step=64, tokens_per_batch=128, learning_rate=0.01).model_dump()
WAYS = {
    "losses": ["unmasked"],
    "parameters": ["linear"],
    "curvatures": ["identity", "diag_fisher", "kfac", "ekfac"],
    "damping": [0.1],
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_preset(monkeypatch):
    """Retrain a model that is smaller than the smallest preset."""

    def build(preset, *rest):
        return build_model(SMALL if preset == "tiny" else preset, *rest)

    monkeypatch.setattr(retrain, "build_model", build)


def model_and_encoder(seed=0):
    model, tokenizer = build_model(SMALL, "rna", seed)
    return model, Encoder.from_tokenizer(tokenizer, "rna", 1024)


def pool(n, seed=0, low=12, high=40):
    generator = np.random.default_rng(seed)
    rows = [
        "".join(generator.choice(list("ACGU"), generator.integers(low, high))) for _ in range(n)
    ]
    frame = pl.DataFrame({"seq_id": [f"{seed}{i:031d}" for i in range(n)], "sequence": rows})
    return frame.with_columns(
        length=pl.col("sequence").str.len_bytes().cast(pl.Int32), block=pl.lit(0, pl.Int32)
    )


def train(tmp_path, left_out=(), rows=None, residues=400):
    model, encoder = model_and_encoder()
    rows = rows or pool(6)["sequence"].to_list()
    options = Optimisation(tokens_per_step=64, tokens_per_batch=128, learning_rate=0.01)
    records = train_mlm(
        model, encoder, rows, residues, options.model_dump(), 3, CPU, tmp_path, left_out=left_out
    )
    return model, records


def test_what_is_left_out_changes_only_the_steps_it_was_in(tmp_path):
    whole_model, whole = train(tmp_path)
    model, records = train(tmp_path, left_out=[2])
    assert model_hash(model) != model_hash(whole_model)
    residues = [(a["residues"], b["residues"]) for a, b in zip(whole, records, strict=True)]
    gone = [a - b for a, b in residues]
    length = len(pool(6)["sequence"][2])
    passes = 400 / pool(6)["length"].sum()
    assert sum(gone) == pytest.approx(passes * length, abs=length)
    first = next(i for i, n in enumerate(gone) if n)
    assert first > 0  # else nothing is said of what stays as it was
    assert records[:first] == whole[:first]
    same = [(a["targets"], a["learning_rate"]) for a, n in zip(whole, gone, strict=True) if not n]
    kept = [(b["targets"], b["learning_rate"]) for b, n in zip(records, gone, strict=True) if not n]
    assert same == kept


def test_nothing_is_learnt_where_all_is_left_out(tmp_path):
    untrained, _ = model_and_encoder()
    model, records = train(tmp_path, left_out=range(6))
    assert model_hash(model) == model_hash(untrained)
    assert {record["targets"] for record in records} == {0}


def bench(n=5, residues=300, **changes):
    values = {
        "modality": "rna",
        "pool": pool(n),
        "tested": asked_of("loo", pool(3, seed=1), pool(n)),
        "masks": Masks("rna", 0.2, 1, 7),
        "options": OPTIONS,
        "residues": residues,
        "device": CPU,
    }
    return Bench(**(values | changes))


def test_finished_retrainings_are_not_trained_again(tmp_path, monkeypatch):
    runs = leave_one_out_runs(5, [0, 1])
    assert len(runs) == 12
    assert [run.left_out for run in runs[:3]] == [(), (0,), (1,)]
    first = bench().retrain(part_of_runs(runs, 0, 2), tmp_path)
    second = bench().retrain(part_of_runs(runs, 1, 2), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"] * 12
    assert first.height + second.height == 12 * (3 + 5)
    assert first["loss"].is_finite().all()

    def refuse(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(retrain, "train_mlm", refuse)
        again = bench().retrain(runs, tmp_path)
        assert again.equals(pl.concat([first, second]))
        for changed in (
            {"residues": 301},
            {"masks": Masks("rna", 0.2, 1, 8)},
            {"pool": pool(5, 2)},
        ):
            with pytest.raises(AssertionError, match="trained again"):
                bench(**changed).retrain(runs[:1], tmp_path)
    damaged = sorted(tmp_path.glob("*.parquet"))
    for path in damaged:
        path.write_bytes(b"")
    assert bench().retrain(runs[:2], tmp_path).equals(first.filter(pl.col("run") < 1))


def test_subsets_are_of_one_size_and_do_not_depend_on_their_number():
    options = {"share": 0.5, "subsets": 8}
    subsets = subsets_of(15, options, 3)
    assert subsets.sum(1).tolist() == [8] * 8
    assert (subsets_of(15, {**options, "subsets": 3}, 3) == subsets[:3]).all()
    assert len(np.unique(subsets, axis=0)) == 8
    assert (subsets_of(15, options, 4) != subsets).any()
    runs = runs_of("lds", 15, {**options, "seeds": [0, 5]}, 3)
    assert runs == datamodel_runs(subsets, [0, 5])
    assert [run.seed for run in runs] == [0] * 8 + [5] * 8
    assert runs[8].rows == tuple(np.flatnonzero(subsets[0]))
    rows = pool(4)
    assert residues_of(rows, 3, 0.5) == round(1.5 * rows["length"].sum())


def predictions(model, encoder, of, rows, target, influence=None, **ways):
    influence = Influence(precision="float64", tokens_per_batch=200, **(influence or {}))
    return predict(model, encoder, influence, Ways(**(WAYS | ways)), 7, CPU, of, rows, target)


def loss_of(model, encoder, rows):
    """Mean over sequences of the mean loss of their letters, the plain input."""
    losses = []
    for sequence in rows["sequence"]:
        ids = torch.from_numpy(encoder.encode(sequence))[None]
        logits = model(input_ids=ids).logits[0, 1:-1]
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:-1]))
    return torch.stack(losses).mean()


def test_a_step_on_a_helpful_sequence_lowers_the_loss_of_the_target():
    """L_V(w - e g_z) = L_V(w) - e I(z; V) to first order, C = 1: sign and size."""
    model, encoder = model_and_encoder()
    rows, target = pool(6), pool(4, seed=1)
    found = predictions(model, encoder, rows, rows, target, curvatures=["identity"])
    assert found["damping"].null_count() == found.height == 6
    layers = [m.weight for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)
              and "contact" not in n and "decoder" not in n]  # fmt: skip
    model.double().requires_grad_(True)
    step = 1e-4
    before = loss_of(model, encoder, target).item()
    for i in range(6):
        gradients = torch.autograd.grad(loss_of(model, encoder, rows[i : i + 1]), layers)
        with torch.no_grad():
            for weight, gradient in zip(layers, gradients, strict=True):
                weight -= step * gradient
            fall = (before - loss_of(model, encoder, target).item()) / step
            for weight, gradient in zip(layers, gradients, strict=True):
                weight += step * gradient
        assert found["target"][i] == pytest.approx(fall, rel=0.01, abs=1e-6)
        assert found["self"][i] == pytest.approx(
            float(sum(g.square().sum() for g in gradients)), rel=1e-6
        )


def test_influence_on_oneself_is_self_influence_by_every_way():
    model, encoder = model_and_encoder()
    rows = pool(5)
    found = predictions(
        model, encoder, rows, rows, rows[2:3], parameters=["head", "linear"],
        losses=["masked", "unmasked"], damping=[0.1, 1.0],
    )  # fmt: skip
    assert found.height == 5 * 2 * 2 * (1 + 3 * 2)
    own = found.filter(pl.col("seq_id") == rows["seq_id"][2])
    np.testing.assert_allclose(own["self"], own["target"], rtol=1e-8)
    assert own["self"].n_unique() == own.height
    both = averaged("pool", [found, found.with_columns(pl.col("self") * 3)])
    np.testing.assert_allclose(both["self"], 2 * found["self"])
    np.testing.assert_allclose(both["target"], found["target"])


def test_an_encoder_is_compiled_where_every_way_is_of_the_head(monkeypatch):
    model, encoder = model_and_encoder()
    rows, compiled, original = pool(4), [], torch.nn.Module.compile

    def traced(self, **options):  # without the minute that code generation takes
        compiled.append(type(self).__name__)
        original(self, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    ways = {"curvatures": ["identity"], "parameters": ["head", "linear"]}
    plain = predictions(model, encoder, rows, rows, rows, **ways)
    asked = predictions(model, encoder, rows, rows, rows, {"compile": True}, **ways)
    assert asked.equals(plain)
    assert not compiled
    ways["parameters"] = ["head"]
    predictions(model, encoder, rows, rows, rows, {"compile": True}, **ways)
    assert compiled == ["EsmModel"]


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
def test_scores_of_a_setting_are_the_engines(tmp_path, loss):
    model, encoder = model_and_encoder()
    rows = pool(6)
    influence = Influence(loss=loss, precision="float64", tokens_per_batch=200, per="residue")
    scores = setting_scores(model, encoder, influence, 7, CPU, rows[:4], rows, tmp_path)
    ways = {"losses": ["unmasked", "masked"], "parameters": ["head"], "curvatures": ["diag_fisher"]}
    found = predictions(model, encoder, rows[:4], rows, rows, **ways)
    own, other = found.filter(pl.col("loss") == loss), found.filter(pl.col("loss") != loss)
    np.testing.assert_allclose(scores["influence"], own["self"])
    np.testing.assert_allclose(scores["residue"], own["self"] * own["n_tokens"])
    np.testing.assert_allclose(scores["other_loss"], other["self"])
    assert scores["length"].equals(rows["length"])


def test_the_run_s_own_scores_under_the_reference_preset_are_its_own(tmp_path):
    model, encoder = model_and_encoder()
    rows = pool(4)
    influence = Influence(preset="reference", precision="float64", tokens_per_batch=8192)
    settings = resolve_settings(influence, 7)
    engine = InfluenceEngine(model, encoder, settings, CPU)
    sums = Fisher(engine.fisher_sums(rows[:3]), 3, {})
    own = score_frame(engine, {"": inverse_curvature(sums, settings, CPU)}, rows)[""]
    scores = setting_scores(model, encoder, influence, 7, CPU, rows[:3], rows, tmp_path)
    np.testing.assert_allclose(scores["influence"], own["influence"], rtol=1e-9)
    np.testing.assert_allclose(scores["residue"], own["influence"] * 1024, rtol=1e-9)


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
def test_every_way_pads_as_the_reference_preset_does(loss):
    model, encoder = model_and_encoder()
    rows, own = pool(2), {"preset": "reference", "n_masks": 2}
    ways = {"losses": [loss], "curvatures": ["identity"], "parameters": ["head"]}
    found = predictions(model, encoder, rows, rows, rows, own, **ways)
    settings = resolve_settings(Influence(**own).model_copy(update={"loss": loss}), 7)
    weight = model.double().lm_head.dense.weight.requires_grad_()
    for row, (seq_id, sequence) in zip(
        found.iter_rows(named=True), rows.select("seq_id", "sequence").rows(), strict=True
    ):
        tokens = torch.from_numpy(encoder.encode(sequence))
        ids = torch.full((1024,), encoder.pad_id)
        ids[: len(tokens)] = tokens
        patterns = [np.zeros(len(sequence), dtype=bool)]
        if loss == "masked":
            patterns = mask_patterns(np.ones(len(sequence), dtype=bool), seq_id, settings)
        losses = []
        for pattern in patterns:
            masked = torch.zeros(1024, dtype=torch.bool)
            masked[1 : len(sequence) + 1] = torch.from_numpy(pattern)
            given = ids.masked_fill(masked, encoder.mask_id)
            asked = masked if loss == "masked" else torch.ones_like(masked)  # padding counts
            logits = model(input_ids=given[None], attention_mask=torch.ones(1, 1024)).logits[0]
            losses.append(torch.nn.functional.cross_entropy(logits[asked], ids[asked]))
        (gradient,) = torch.autograd.grad(torch.stack(losses).mean(), weight)
        assert row["self"] == pytest.approx(float(gradient.square().sum()), rel=1e-9)


@pytest.mark.parametrize(("preset", "factor", "width"), [("tiny", 0.5, 32), ("rna-fm", 2, 1280)])
def test_widened_bases_keep_their_heads(preset, factor, width):
    own = architecture(preset)
    values = widened(own, factor)
    assert (values["hidden_size"], values["num_attention_heads"]) == (
        width,
        own["num_attention_heads"],
    )
    assert values["intermediate_size"] == factor * own["intermediate_size"]
    assert values["hidden_size"] % (2 * values["num_attention_heads"]) == 0
    assert widened(own, 1) == own
    assert widened(own, 1e-9)["hidden_size"] == 2 * own["num_attention_heads"]


def test_what_cannot_be_widened_is_named():
    odd = {"hidden_size": 100, "num_attention_heads": 4, "intermediate_size": 200}
    assert widened(odd, 1.0) == odd
    other = {"model_type": "distilbert", "dim": 64, "n_heads": 4, "hidden_dim": 128}
    assert widened(other, 1.0) == other
    missing = "hidden_size, intermediate_size, num_attention_heads"
    with pytest.raises(ValueError, match=rf"validate\.stability\.widths: .*distilbert.*{missing}"):
        widened(other, 0.5)
