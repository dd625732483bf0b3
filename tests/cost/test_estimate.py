"""Operations against torch's counter, memory against tensors alive, and the table."""

import gc
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from coresift.config import load_config
from coresift.cost.calibration import (
    Calibration,
    EstimateError,
    Rate,
    Work,
    assumed,
    calibrate,
    load_calibration,
    measured,
    merged,
)
from coresift.cost.estimate import (
    Corpus,
    Estimator,
    main,
    needed_work,
    report,
    score_load,
    train_load,
)
from coresift.cost.operations import (
    Load,
    PeakMemory,
    batched_load,
    flops,
    make_model,
    scoring_bytes,
    training_bytes,
)
from coresift.influence.curvature import gradient_shapes
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.gradients import Basis, Curvature, Forms
from coresift.influence.kronecker import FactorSums
from coresift.influence.settings import Influence
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device("cpu")
RATE = Rate(model="m", path="head", precision="bf16", threads=1, linear=0, attention=0, sequence=0)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def make_config(**sections):
    return load_config(
        {
            "run": "r",
            "modality": "rna",
            "device": "cpu",
            "corpus": {"fasta": ["a.fa"], "blocks": 8, "buckets": 2},
            "subset": {"size": 100},
            "influence": {"shards": 4},
            "selection": {"budgets": [50, 80], "seeds": [0, 1]},
            **sections,
        }
    )


def run_score(path, model, encoder, rows, loss, kind):
    """Score sequences of equal length; returns the number of tokens that the LM head sees."""
    influence = Influence(parameters=path, loss=loss, n_masks=1, mask_fraction=0.25)
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)
    shapes = gradient_shapes(engine, [path], joint=True)
    bases = {k: Basis(torch.eye(shape[1]), torch.eye(shape[0])) for k, shape in shapes.items()}
    ones = {key: torch.ones(shape) for key, shape in shapes.items()}
    batch = engine.collate(rows, rows)
    if kind == "kronecker":
        visitor = FactorSums(shapes, CPU, torch.float32)
    else:
        curvatures = {"plain": [Curvature(ones)], "rotated": [Curvature(ones, bases)]}
        curvatures["both"] = [*curvatures["plain"], *curvatures["rotated"]]
        visitor = Forms(curvatures[kind], len(rows), CPU, torch.float32)
    engine.run(batch, visitor)
    return batch.labels.numel()


def run_model(model, ids, train):
    with torch.set_grad_enabled(train):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    if train:
        F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()


def eager_model(preset):
    model, encoder = make_model(preset, "rna" if preset == "tiny" else "protein")
    model.set_attn_implementation("eager")  # the counter sees the products of attention
    return model, encoder


@pytest.mark.parametrize("preset", ["tiny", "esm2-8m", "esmc-35m"])
@pytest.mark.parametrize("path", ["forward", "train"])
def test_flops_equal_the_counter(preset, path):
    model, _ = eager_model(preset)
    with FlopCounterMode(display=False) as counter:
        run_model(model, torch.randint(4, 8, (3, 40)), path == "train")
    load = Load(3, 120, 3 * 40**2)
    assert counter.get_total_flops() == flops(model.config, path, load).total


@pytest.mark.parametrize("preset", ["tiny", "esmc-35m"])
@pytest.mark.parametrize("path", ["head", "linear"])
@pytest.mark.parametrize("loss", ["unmasked", "masked"])
@pytest.mark.parametrize(
    ("kind", "products", "rotations"),
    # The counter does not see `addmm_`, which makes the Kronecker factors: (0, 1) without it.
    [("plain", 1, 0), ("rotated", 1, 1), ("both", 2, 1), ("kronecker", 0, 0)],
)
def test_flops_of_scores_equal_the_counter(preset, path, loss, kind, products, rotations):
    model, encoder = eager_model(preset)
    with FlopCounterMode(display=False) as counter:
        counted = run_score(path, model, encoder, ["A" * 38] * 3, loss, kind)
    load = Load(3, 120, 3 * 40**2, counted / 120)
    expected = flops(model.config, path, load, products, rotations)
    assert counter.get_total_flops() == expected.total


def test_dry_run_memory_is_that_of_a_real_run():
    influence = Influence(parameters="linear", tokens_per_batch=2048)
    model, encoder = make_model("tiny", "rna")
    gc.collect()
    with PeakMemory(model) as memory:
        run_score("linear", model, encoder, ["A" * 254] * 8, "unmasked", "plain")
    dry = scoring_bytes("tiny", "rna", influence, 256)
    assert dry == pytest.approx(memory.peak, rel=0.35)  # other kernels, other temporaries
    model, _ = make_model("tiny", "rna")
    with PeakMemory(model) as memory:
        run_model(model, torch.full((8, 256), 5), True)
    moments = 2 * 4 * sum(p.numel() for p in model.parameters())
    dry = training_bytes("tiny", "rna", "float32", 256, 2048) - moments
    assert dry == pytest.approx(memory.peak, rel=0.35)


def test_peak_memory_counts_what_is_alive():
    layer = torch.nn.Linear(10, 9)
    with PeakMemory(layer) as memory, torch.no_grad():
        layer.weight.t()  # a view of what is counted
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b.view(10, 100) * 2
        del b, c
        torch.zeros(10)
    assert memory.peak == 8000 + 4 * 99
    assert memory.now == 4 * 99


def test_memory_grows_with_the_token_budget_and_bf16_halves_activations():
    states = 3 * 4 * 99_521_546  # weights and moments
    small, large, half = (
        training_bytes("rna-fm", "rna", precision, 1024, budget) - states
        for precision, budget in (("float32", 2048), ("float32", 8192), ("bf16", 8192))
    )
    assert 3 < large / small < 4
    assert half < 0.7 * large
    head, masked = (
        scoring_bytes("rna-fm", "rna", Influence(tokens_per_batch=8192, loss=loss), 1024)
        for loss in ("unmasked", "masked")
    )
    assert masked < head < small + states


def test_load_is_that_of_the_batches():
    load = batched_load(np.array([10, 4, 9, 4]), 20)  # batches (10, 9), (4, 4)
    assert load == Load(4, 28, 2 * 100 + 2 * 16)


def test_corpus_from_summary_keeps_mean_and_range(tmp_path):
    path = tmp_path / "summary.json"
    quartiles = [30, 65, 170, 410, 1000]
    path.write_text(json.dumps({"pool": 800, "residues": 220_000, "length_quartiles": quartiles}))
    corpus = Corpus.from_summary(path)
    tokens = corpus.tokens(400, 1024)
    assert corpus.sequences == 800
    assert tokens.mean() - 2 == pytest.approx(275, rel=0.01)
    assert tokens.min() >= 30
    assert tokens.max() <= 1024


def test_loads_count_every_token_once():
    config = make_config()
    corpus = Corpus.given(1000, 98)
    assert score_load(config, corpus, 1000, "unmasked") == Load(1000, 100_000, 100_000 * 100)
    masked = score_load(make_config(influence={"n_masks": 3}), corpus, 1000, "masked")
    assert masked == Load(1000, 300_000, 300_000 * 100, 0.15)
    reference = make_config(influence={"preset": "reference"})
    assert score_load(reference, corpus, 1000, "unmasked").squares == 1000 * 1024**2
    trained = train_load(config.pretrain, corpus, 98_000)
    assert trained.tokens == pytest.approx(100_000)


def test_hours_are_operations_times_seconds():
    config = make_config(influence={"loss": "unmasked"})
    corpus = Corpus.given(1000, 98)
    rates = [
        Rate(model=w.model, path=w.path, precision=w.precision, threads=w.threads,
             linear=2e-9, attention=3e-9, sequence=1e-3)
        for w in needed_work(config)
    ]  # fmt: skip
    device = measured(Calibration(device="CPU x", kind="cpu", date="d", torch="t", rates=rates))
    stages = {s.name: s for s in Estimator(config, corpus, device).stages()}
    assert list(stages) == [
        *("base", "finetune", "fisher unmasked diagonal", "identity", "score"),
        *("pretrain 50", "pretrain 80", "heldout"),
    ]
    model, _ = make_model("tiny", "rna")
    score = flops(model.config, "head", Load(1000, 100_000, 100_000 * 100))
    expected = (2e-9 * score.linear + 3e-9 * score.attention + 1) / 3600
    assert stages["score"].jobs * stages["score"].hours == pytest.approx(expected)
    assert stages["fisher unmasked diagonal"].hours == pytest.approx(expected / 10)
    assert stages["identity"].hours == pytest.approx(expected / 10)
    assert stages["base"].hours == pytest.approx(2 * stages["finetune"].hours)
    n = len(config.selection.names)
    assert stages["pretrain 80"].jobs == n * 2
    # A fiftieth of the pool is tested, here also eight times in training: 20 sequences.
    forward = flops(model.config, "forward", Load(20, 2000, 2000 * 100))
    tested = (2e-9 * forward.linear + 3e-9 * forward.attention + 20 * 1e-3) / 3600
    assert stages["heldout"].hours == pytest.approx(tested)
    assert stages["heldout"].jobs == (n * 2 + 1) * 2
    trained = [stages[f"pretrain {budget}"].hours - 8 * tested for budget in (50, 80)]
    assert trained[1] == pytest.approx(1.6 * trained[0])


def test_a_base_of_its_own_size_and_precision_costs_what_it_reads():
    corpus = Corpus.given(1000, 98)

    def stages(**base):
        config = make_config(base=base)
        rates = [
            Rate(model=w.model, path=w.path, precision=w.precision, threads=w.threads,
                 linear=2e-9 if w.precision == "float32" else 1e-9, attention=0, sequence=0)
            for w in needed_work(config)
        ]  # fmt: skip
        device = measured(Calibration(device="x", kind="cpu", date="d", torch="t", rates=rates))
        return {s.name: s for s in Estimator(config, corpus, device).stages()}

    usual, larger = stages(), stages(size=800, precision="bf16")
    n = make_config().subset.size
    assert larger["base"].hours == pytest.approx(usual["base"].hours * 800 / n / 2)
    assert larger["base"].host_gb > usual["base"].host_gb
    assert larger["finetune"] == usual["finetune"]


def test_a_budget_of_residues_costs_what_as_many_average_sequences_do():
    config = make_config(selection={"budgets": [50, "4.9k residues"]})
    found = Estimator(config, Corpus.given(1000, 98), assumed("h100", 1)).stages()
    one, other = (s for s in found if s.name.startswith("pretrain"))
    assert (one.name, other.name) == ("pretrain 50", "pretrain 4900r")
    assert replace(other, name=one.name) == one


def test_embeddings_cost_a_forward_pass_where_a_selection_reads_them():
    def stages(*strategies):
        selection = {"strategies": [*strategies], "controls": [], "budgets": [50]}
        found = Estimator(
            make_config(selection=selection), Corpus.given(1000, 98), assumed("h100", 1)
        ).stages()
        return {s.name: s for s in found}

    assert "embeddings" not in stages("random", "cci")
    found = stages("random", "d2")
    assert found["embeddings"].jobs == 4
    assert 0.3 < found["embeddings"].hours / found["score"].hours < 1.05


def test_variants_share_a_pass_and_kinds_of_sums_do_not():
    influence = {"loss": "unmasked", "n_masks": 4, "shards": 4, "fisher_shards": 2}
    influence["variants"] = {"k": {"curvature": "ekfac"}}
    device = assumed("h100", 1)
    corpus = Corpus.given(1000, 98)

    def stages(**options):
        config = make_config(influence={**influence, **options})
        return {s.name: s for s in Estimator(config, corpus, device).stages()}

    found = stages()
    names = [f"fisher unmasked {kind}" for kind in ("diagonal", "kronecker", "corrected")]
    assert [name for name in found if name.startswith("fisher")] == names
    assert {found[name].jobs for name in names} == {2}
    alone = stages(variants={})["score"].hours
    assert alone < found["score"].hours < 1.2 * alone
    targets = {"t": {"fasta": "x", "size": 2 * make_config().subset.size}}
    assert stages(targets=targets)["target t"].hours == pytest.approx(2 * found["identity"].hours)
    other = stages(variants={"m": {"loss": "masked"}})["score"].hours
    assert other > 4 * alone


def test_report_says_what_is_assumed_and_what_does_not_fit():
    config = make_config(
        pretrain={"preset": "rna-fm", "tokens_per_batch": 10**6},
        tasks={"t": {"kind": "class", "data": {"train": "no.fa", "test": "no.fa"}}},
    )
    text = report(config, Corpus.given(10**6, 500), assumed("a100", 0.25))
    assert "ASSUMED and not measured" in text
    assert "x utilisation 0.25" in text
    assert "over 80 GB: lower its tokens_per_batch" in text.split("pretrain 50")[1]
    assert "over" not in text.split("score")[1].split("\n")[0]
    assert "tasks without files here, nor of published size: t.\nMost of it: pretrain 80," in text


def test_an_evaluation_is_a_job_a_seed(root, monkeypatch):
    monkeypatch.chdir(root)
    data = {"path": "resources/demo/rna_tasks.fasta.gz", "label_regex": r"type=(\S+)",
            "split_regex": r"split=(\S+)"}  # fmt: skip

    def stage(**evaluate):
        task = {"kind": "class", "mode": "finetune", "data": data}
        config = make_config(tasks={"t": task}, evaluate=evaluate)
        stages = Estimator(config, Corpus.given(10**4, 100), assumed("a100", 0.3)).stages()
        return next(s for s in stages if s.name == "evaluate t")

    one, all_three = stage(), stage(seeds_per_job=3)
    assert one.jobs == 3 * all_three.jobs
    assert 3 * one.hours == pytest.approx(all_three.hours)
    assert stage(seeds_per_job=2).jobs == 2 * all_three.jobs


def test_calibration_measures_the_passes_a_config_needs(tmp_path):
    config = make_config(pretrain={"precision": "bf16"})
    calibration = calibrate(config, needed_work(config), 64)
    assert [(r.model, r.path, r.precision) for r in calibration.rates] == [
        ("tiny", "head", "float32"), ("tiny", "train", "float32"), ("tiny", "train", "bf16")
    ]  # fmt: skip
    assert all(r.linear + r.attention + r.sequence > 0 for r in calibration.rates)
    path = tmp_path / "c.json"
    path.write_text(calibration.model_dump_json())
    assert load_calibration(path) == calibration
    faster = calibration.model_copy(update={"rates": [calibration.rates[0], RATE]})
    both = merged(calibration, faster)
    assert both.rates == [*calibration.rates, RATE]
    with pytest.raises(EstimateError, match="is of CPU x, this is"):
        merged(calibration.model_copy(update={"device": "CPU x"}), calibration)
    other = Work("rna-fm", "head", "float32", 1)
    with pytest.raises(EstimateError, match=r"rna-fm/head/float32/1; known: tiny/head/float32/1"):
        measured(calibration).rate(other)


def test_demo_on_the_shipped_calibration(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    arguments = ["--configfile", "config/demo.yaml", "--sequences", "8000", "--mean-length", "270"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "run demo: 8,000 sequences, mean length 270 (given" in text
    for stage in (
        "base",
        "finetune",
        "fisher unmasked diagonal",
        "score",
        "pretrain 1000",
        "evaluate read_errors",
    ):
        assert f"\n{stage} " in text


def test_errors_name_the_cause(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
    path = tmp_path / "c.yaml"

    def error(values, *arguments):
        path.write_text(json.dumps(values))
        assert main(["--configfile", str(path), *arguments]) == 2
        return capsys.readouterr().err

    assert "results/r/corpus/summary.json" in error(config)
    assert "both --sequences and --mean-length" in error(config, "--sequences", "10")
    assert "influense: unknown key" in error({**config, "influense": {}})
    size = ("--sequences", "10", "--mean-length", "50")
    assert "absent.json" in error(config, *size, "--calibration", "absent.json")
    (tmp_path / "bad.json").write_text('{"device": "x", "speed": 3}')
    text = error(config, *size, "--calibration", "bad.json")
    assert "speed: Extra inputs are not permitted" in text
    assert "rates: Field required" in text
    wrong = {**config, "base": {"preset": "huge"}}
    assert "base.preset: no model preset 'huge'; allowed: demo, demo-8m, esm2-150m" in error(
        wrong, *size
    )
    wrong = {**config, "base": {"checkpoint": "huge"}}
    text = error(wrong, *size, "--gpu", "h100")
    assert "huge: no config.json; not a Hugging Face checkpoint directory, nor a preset (d" in text
