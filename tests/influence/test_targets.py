"""Influence on a target set, against brute force; ambiguity codes; per residue; the identity."""

import gzip
import logging

import numpy as np
import polars as pl
import pytest
import torch
from coresift.config import check_paths, load_config
from coresift.corpus.fasta import CorpusError
from coresift.corpus.normalise import Limits
from coresift.corpus.tables import HELD_OUT
from coresift.influence.columns import per_residue
from coresift.influence.curvature import Fishers, curvature_of
from coresift.influence.engine import InfluenceEngine, mask_patterns, resolve_settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.gradients import Curvature, Direction
from coresift.influence.identity import check_identity
from coresift.influence.scoring import score_all, score_frame, score_key, score_shard
from coresift.influence.settings import Influence
from coresift.influence.targets import (
    TargetError,
    read_fasta_target,
    read_held_out_target,
    target_direction,
    target_sums,
)
from coresift.models.checkpoint import build_model
from coresift.models.tokenizer import Encoder
from coresift.settings import ConfigError
from coresift.tables import write_table
from coresift.tasks.data import write_split
from coresift.tasks.readers.settings import LabelledData
from scipy import stats
from test_influence import (
    CPU,
    brute_force,
    columns,
    engine_for,
    kronecker_files,
    score_rows,
    sequences,
    tiny,
)
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def with_codes(frame, share=0.3, seed=1):
    """The frame with ambiguity codes in every third sequence."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, sequence in enumerate(frame["sequence"]):
        codes = rng.random(len(sequence)) < (share if i % 3 == 0 else 0)
        codes[0] = False
        letters = zip(sequence, codes, strict=True)
        rows.append("".join("NRY"[j % 3] if c else a for j, (a, c) in enumerate(letters)))
    return frame.with_columns(sequence=pl.Series(rows))


def dense_inverse(engine, curvature, frame, files):
    """(F + damping)^-1 of the concatenated gradient matrices, from the files, densely."""
    settings, fishers = engine.settings, Fishers(files, CPU, torch.float64)
    blocks = []
    for layer in engine.layers:
        if curvature in ("kfac", "ekfac"):
            key = layer.matrix[0]
            basis = fishers.kronecker.bases[key]
            q = torch.kron(basis.outputs, basis.inputs)
            if curvature == "kfac":
                values = fishers.kronecker.eigenvalues.sums[key]
            else:
                values = fishers.corrected.sums[key] / fishers.corrected.count
            blocks.append((key, q @ torch.diag(values.flatten()) @ q.T))
        elif curvature == "diag_fisher":
            for name, _ in layer.tensors:
                total = fishers.diagonal.sums[name] / fishers.diagonal.count
                blocks.append((name, torch.diag(total.flatten())))
        else:
            for name, shape in layer.tensors:
                blocks.append((name, torch.eye(int(np.prod(shape))).double()))
    if curvature == "identity":
        return blocks
    mean = sum(m.diagonal().sum() for _, m in blocks) / sum(len(m) for _, m in blocks)
    damping = settings.damping * mean
    return [(k, torch.linalg.inv(m + damping * torch.eye(len(m)).double())) for k, m in blocks]


def flat(key, gradients):
    """The gradient matrix of a key, flat, from gradients by tensor name."""
    layer, _, kinds = key.rpartition(".")
    parts = [gradients[f"{layer}.{kind}"] for kind in kinds.split("+")]
    return torch.cat([p.view(len(p), -1) for p in parts], dim=1).flatten()


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
@pytest.mark.parametrize("ambiguous", ["skip", "count"])
@pytest.mark.parametrize(
    "parameters", ["head", "linear", ["*.0.attention*.query.*", "lm_head.dense.*"]]
)
def test_target_influence_equals_brute_force(tmp_path, loss, ambiguous, parameters):
    options = {"loss": loss, "parameters": parameters, "n_masks": 2, "damping": 0.3}
    options["ambiguous"] = ambiguous
    engine = engine_for(tiny("absolute", hidden=8), **options)
    frame, target = with_codes(sequences(6)), with_codes(sequences(5, seed=3))
    files = kronecker_files(engine, frame, tmp_path)
    names = list(engine.shapes())

    def gradients(rows):
        found = [brute_force(engine, s, i, names)[1] for s, i in zip(*columns(rows), strict=True)]
        return [dict(zip(names, g, strict=True)) for g in found]

    on_target, own = gradients(target), gradients(frame)
    mean = {name: sum(g[name] for g in on_target) / len(on_target) for name in names}
    target_sums(engine, target, {}, tmp_path / "target", tmp_path / "work")
    total = Fisher.load(tmp_path / "target")
    assert total.count == target.height
    for curvature in ("identity", "diag_fisher", "kfac", "ekfac"):
        settings = resolve_settings(
            Influence(curvature=curvature, precision="float64", **options), 7
        )
        form = curvature_of(engine, settings, Fishers(files, CPU, engine.dtype))
        direction = target_direction(form, total, CPU, engine.dtype)
        got = engine.score_batch(
            engine.collate(*columns(frame)), {"self": form, "target": direction}
        )
        dense = dense_inverse(engine, curvature, frame, files)
        for i, g in enumerate(own):
            expected = sum(flat(k, mean) @ m @ flat(k, g) for k, m in dense)
            assert got["target"]["influence"][i] == pytest.approx(float(expected), rel=1e-9)
            square = sum(flat(k, g) @ m @ flat(k, g) for k, m in dense)
            assert got["self"]["influence"][i] == pytest.approx(float(square), rel=1e-7)
        for name in ("loss", "grad_norm", "error_norm", "n_tokens"):
            np.testing.assert_allclose(got["target"][name], got["self"][name], rtol=1e-10)


def test_influence_on_oneself_is_self_influence(tmp_path):
    engine = engine_for(tiny(), parameters="linear")
    frame = sequences(4)
    fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
    target_sums(engine, frame[2:3], {}, tmp_path / "t", tmp_path / "w")
    curvature = inverse_curvature(fisher, engine.settings, CPU)
    direction = target_direction(curvature, Fisher.load(tmp_path / "t"), CPU, engine.dtype)
    itself = score_rows(engine, frame, curvature)["influence"]
    on_it = score_rows(engine, frame, direction)["influence"]
    assert on_it[2] == pytest.approx(itself[2], rel=1e-12)
    assert on_it[0] != pytest.approx(itself[0], rel=1e-3)


def test_a_killed_target_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("coresift.influence.fisher.CHECKPOINT_SECONDS", -1.0)
    engine, frame = engine_for(tiny(), precision="float32"), sequences(130)
    target_sums(engine, frame.sample(fraction=1, shuffle=True), {}, tmp_path / "a", tmp_path / "w")
    original, done = InfluenceEngine.sums, []

    def dies(self, rows, make):
        if len(done) == limit:
            raise KeyboardInterrupt
        done.append(rows.height)
        return original(self, rows, make)

    monkeypatch.setattr(InfluenceEngine, "sums", dies)
    limit = 20
    with pytest.raises(KeyboardInterrupt):
        target_sums(engine, frame, {}, tmp_path / "b", tmp_path / "w")
    limit, before = None, len(done)
    target_sums(engine, frame, {}, tmp_path / "b", tmp_path / "w")
    assert len(done) - before == 64 - 20
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def scored(tmp_path, influence, frame, target):
    """Every score of a config on the tiny model, the files made where they are absent."""
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    settings = resolve_settings(influence, 0)
    engine = InfluenceEngine(model, encoder, settings, CPU)
    path, fisher = tmp_path / "target", tmp_path / "fisher"
    if not path.exists():
        target_sums(engine, target, {}, path, tmp_path / "w")
        Fisher(engine.fisher_sums(frame[:10]), 10, {}).save(fisher)
    targets = dict.fromkeys(influence.target_columns(), path)
    fishers = {settings.loss: {"diagonal": fisher}}
    return score_all(model, encoder, influence, 0, CPU, fishers, targets, frame, tmp_path / "cache")


@pytest.mark.parametrize("parameters", ["head", "linear"])
def test_a_target_costs_its_own_part_only_and_changes_no_bit(tmp_path, monkeypatch, parameters):
    frame, target = sequences(40), sequences(9, seed=5)
    alone = scored(tmp_path, Influence(parameters=parameters), frame, target)["influence"]
    passes = []
    original = InfluenceEngine.score_batch

    def counting(self, batch, forms):
        passes.append(list(forms))
        return original(self, batch, forms)

    monkeypatch.setattr(InfluenceEngine, "score_batch", counting)
    influence = Influence(parameters=parameters, targets={"mine": {"fasta": "x"}})
    later = scored(tmp_path, influence, frame, target)
    assert later["influence"].equals(alone)
    assert set(map(tuple, passes)) == {("target_mine",)}
    (tmp_path / "fresh").mkdir()
    together = scored(tmp_path / "fresh", influence, frame, target)
    assert ["influence", "target_mine"] in passes
    assert together["influence"].equals(alone)
    assert together["target_mine"]["influence"].equals(later["target_mine"]["influence"])


def test_out_of_memory_and_shards_leave_a_target_s_scores(tmp_path, monkeypatch):
    engine = engine_for(tiny(), parameters="head", precision="float32", tokens_per_batch=1000)
    frame = sequences(40, low=30, high=31)
    target_sums(engine, frame[:7], {}, tmp_path / "t", tmp_path / "w")
    curvature = Curvature({"lm_head.dense.weight": None})
    total = Fisher.load(tmp_path / "t")
    form = {"t": target_direction(curvature, total, CPU, engine.dtype)}
    whole = score_shard(engine, form, frame, tmp_path / "one")["t"]
    pieces = [
        score_shard(engine, form, f, tmp_path / "four")["t"] for f in frame.partition_by("block")
    ]
    assert pl.concat(pieces).sort("seq_id").equals(whole)
    original, failures = InfluenceEngine.run, []

    def run(self, batch, visitor):
        result = original(self, batch, visitor)
        if batch.ids.numel() > 150:
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return result

    monkeypatch.setattr(InfluenceEngine, "run", run)
    got = score_shard(engine, form, frame, tmp_path / "scarce")["t"]
    assert failures
    np.testing.assert_allclose(got["influence"], whole["influence"], rtol=1e-4)


def test_a_direction_is_another_cache_than_a_curvature_of_the_same_numbers(tmp_path):
    engine = engine_for(tiny())
    matrix = torch.ones(16, 16, dtype=torch.float64)
    keys = [
        score_key(engine, form({"lm_head.dense.weight": m}))
        for form in (Curvature, Direction)
        for m in (matrix, 2 * matrix)
    ]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
def test_ambiguity_codes_are_no_target_of_the_loss(loss):
    frame = with_codes(sequences(9))
    rows = list(frame.iter_rows(named=True))
    for ambiguous in ("skip", "count"):
        engine = engine_for(tiny(), loss=loss, ambiguous=ambiguous, n_masks=2, curvature="identity")
        names = list(engine.shapes())
        got = score_rows(engine, frame, Curvature({names[0]: None}))
        for i, row in enumerate(rows):
            value, (gradient,) = brute_force(engine, row["sequence"], row["seq_id"], names)
            assert got["loss"][i] == pytest.approx(value, rel=1e-9)
            assert got["grad_norm"][i] == pytest.approx(float(gradient.norm()), rel=1e-9)
        if loss == "unmasked":
            letters = [sum(c in "ACGU" for c in s) for s in frame["sequence"]]
            expected = letters if ambiguous == "skip" else [len(s) + 2 for s in frame["sequence"]]
            assert got["n_tokens"].to_list() == expected


def test_masks_are_of_eligible_residues_and_the_same_where_all_are():
    settings = engine_for(tiny(), loss="masked", n_masks=3).settings
    eligible = np.ones(40, bool)
    plain = mask_patterns(eligible, "a", settings)
    assert (plain.sum(1) == 6).all()
    eligible[plain[0]] = False
    other = mask_patterns(eligible, "a", settings)
    assert (other.sum(1) == 5).all()
    assert not other[:, ~eligible].any()
    assert not mask_patterns(np.zeros(40, bool), "a", settings).any()


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
def test_a_sequence_without_a_counted_token_scores_nothing(tmp_path, caplog, loss):
    engine = engine_for(tiny(), loss=loss, n_masks=2, curvature="identity")
    frame = sequences(12)
    empty = frame["sequence"].str.replace_all(".", "N")
    frame = frame.with_columns(
        sequence=pl.when(pl.col("seq_id") == frame["seq_id"][3]).then(empty).otherwise("sequence")
    )
    form = {"x": Curvature({"lm_head.dense.weight": None})}
    with caplog.at_level(logging.WARNING):
        got = score_shard(engine, form, frame, tmp_path)["x"]
    row = got.row(3, named=True)
    assert [row[k] for k in ("influence", "loss", "grad_norm", "error_norm", "n_tokens")] == [0] * 5
    assert (got["influence"] > 0).sum() == frame.height - 1
    assert frame["seq_id"][3] in caplog.text
    alone = score_frame(engine, form, frame[3:4])["x"]
    assert alone["influence"][0] == 0


def test_self_influence_a_residue_does_not_depend_on_length():
    """Independent letters, a model without context: E[n g^T C g] is one number."""
    model = tiny(layers=1)
    rng = np.random.default_rng(0)
    lengths = np.repeat([20, 40, 80, 160, 320], 60)
    rows = ["".join(rng.choice(list("ACGU"), n)) for n in lengths]
    frame = pl.DataFrame({"seq_id": [f"{i:032x}" for i in range(len(rows))], "sequence": rows})
    engine = engine_for(model, loss="unmasked", tokens_per_batch=20_000, curvature="identity")
    _context_free(engine)
    scores = pl.concat(
        score_rows(
            engine, frame[b.tolist()], Curvature({"lm_head.dense.weight": None})
        ).with_columns(n=pl.Series(lengths[b]))
        for b in engine.batches(frame)
    )
    assert (scores["n_tokens"] == scores["n"]).all()
    residue = per_residue(scores)
    by_length = scores.with_columns(residue=residue).group_by("n").mean().sort("n")
    sequence, tokens = by_length["influence"].to_numpy(), by_length["residue"].to_numpy()
    np.testing.assert_allclose(sequence[0] / sequence, by_length["n"] / 20, rtol=0.35)
    np.testing.assert_allclose(tokens / tokens.mean(), 1, atol=0.25)
    assert stats.spearmanr(scores["influence"], scores["n"]).statistic < -0.5
    assert abs(stats.spearmanr(residue, scores["n"]).statistic) < 0.15


def _context_free(engine):
    """Make the model predict from nothing: its states are one vector, its output the letters' own
    frequencies, so that token gradients are independent and have mean 0."""
    model = engine.model
    state = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model.esm.encoder.register_forward_hook(
        lambda _, inputs, output: type(output)(
            last_hidden_state=state.expand_as(output.last_hidden_state).clone()
        )
    )
    bias = torch.full((25,), -1e4, dtype=torch.float64)
    bias[torch.as_tensor(engine.encoder.letter_ids)] = 0
    with torch.no_grad():
        model.lm_head.bias.copy_(bias)
        letters = model.lm_head.decoder.weight
        hidden = F.gelu(model.lm_head.dense(state))
        hidden = model.lm_head.layer_norm(hidden)
        own = letters @ hidden
        model.lm_head.bias.sub_(torch.where(bias == 0, own, 0))


@pytest.mark.parametrize("parameters", ["head", ["lm_head.dense.weight", "*.query.*"]])
def test_a_killed_target_goes_on(tmp_path, monkeypatch, parameters):
    monkeypatch.setattr("coresift.influence.fisher.CHECKPOINT_SECONDS", -1.0)
    engine, frame = engine_for(tiny(), parameters=parameters), sequences(70)
    metadata = {"parameters": engine.settings.parameters, "settings": engine.settings.of_pass()}
    original, done = InfluenceEngine.sums, []

    def counting(self, rows, make):
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(rows.height)
        return original(self, rows, make)

    monkeypatch.setattr(InfluenceEngine, "sums", counting)
    stop = None
    target_sums(engine, frame, metadata, tmp_path / "whole", tmp_path / "work")
    stop = len(done) + 13
    with pytest.raises(KeyboardInterrupt):
        target_sums(engine, frame, metadata, tmp_path / "sums", tmp_path / "work")
    stop = None
    target_sums(engine, frame, metadata, tmp_path / "sums", tmp_path / "work")
    assert len(done) == 2 * 64
    assert (tmp_path / "sums").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(("loss", "keys"), [("unmasked", 1), ("masked", 4)])
def test_unmasked_scores_belong_to_no_masks(loss, keys):
    changes = ({}, {"n_masks": 8}, {"mask_fraction": 0.3}, {"seed": 8})
    engines = [engine_for(tiny(), **{"loss": loss, **change}) for change in changes]
    curvature = Curvature({"lm_head.dense.weight": None})
    assert len({score_key(engine, curvature) for engine in engines}) == keys


@pytest.mark.parametrize("loss", ["unmasked", "masked"])
@pytest.mark.parametrize("parameters", ["head", "linear"])
def test_identity_of_fisher_and_scores_is_exact(tmp_path, caplog, loss, parameters):
    engine = engine_for(tiny(), loss=loss, parameters=parameters, n_masks=2)
    frame = with_codes(sequences(25))
    fisher = Fisher(engine.fisher_sums(frame), frame.height, {})
    with caplog.at_level(logging.INFO):
        found = check_identity(engine, fisher, frame, tmp_path / "a")
    count = sum(int((t > 0).sum()) for t in fisher.sums.values())
    assert found["parameters_with_fisher"] == count > 0
    assert found["mean_self_influence_at_zero_damping"] == pytest.approx(count, rel=1e-9)
    assert "equal, as they must be" in caplog.text


@pytest.mark.parametrize("wrong", ["masks", "sequences", "ambiguous"])
def test_identity_fails_where_fisher_and_scores_are_of_other_gradients(tmp_path, caplog, wrong):
    options = {"loss": "masked", "n_masks": 2}
    frame = with_codes(sequences(25))
    made, rows = engine_for(tiny(), **options), frame
    if wrong == "masks":
        made = engine_for(tiny(), seed=8, **options)
    elif wrong == "sequences":
        rows = sequences(25, seed=6)
    else:
        made = engine_for(tiny(), ambiguous="count", **options)
    fisher = Fisher(made.fisher_sums(rows), rows.height, {})
    found = check_identity(engine_for(tiny(), **options), fisher, frame, tmp_path)
    difference = found["mean_self_influence_at_zero_damping"] - found["parameters_with_fisher"]
    assert abs(difference) > 0.01 * found["parameters_with_fisher"]
    assert "do not trust the scores" in caplog.text


def test_identity_in_float32_and_with_parameters_without_a_gradient(tmp_path):
    engine = engine_for(tiny(), precision="float32")
    frame = sequences(20)
    sums = engine.fisher_sums(frame)
    engine.model.lm_head.decoder.weight.data[:, 3] = 0  # a state that nothing reads: row 3 is 0
    sums = engine.fisher_sums(frame)
    found = check_identity(engine, Fisher(sums, frame.height, {}), frame, tmp_path)
    assert found["parameters_with_fisher"] <= 16 * 16
    assert found["mean_self_influence_at_zero_damping"] == pytest.approx(
        found["parameters_with_fisher"], rel=1e-4
    )


LIMITS = Limits(1, 10**6, 0.1)


def test_a_fasta_target_is_read_as_the_corpus(tmp_path, caplog):
    path = tmp_path / "family.fasta"
    path.write_text(">a\nacgt\n>b\nACGU\n>c\nGG NN\n>d\nAC-GU\n>e\n" + "ACGUACGUAC" * 300 + "\n")
    with caplog.at_level(logging.INFO):
        rows = read_fasta_target(path, "mine", "rna", LIMITS, 100, 0)
    assert sorted(rows["sequence"], key=len) == ["ACGU", "ACGUACGUAC" * 300]
    assert "3 of 5 records accepted, rejected: 1 aligned, 1 ambiguous" in caplog.text
    assert rows["seq_id"].is_sorted()
    few = read_fasta_target(path, "mine", "rna", LIMITS, 1, 0)
    assert few["seq_id"][0] in rows["seq_id"]
    assert few.height == 1


def test_bad_fasta_targets(tmp_path):
    path = tmp_path / "x.fasta"
    path.write_text("")
    with pytest.raises(CorpusError, match="empty file"):
        read_fasta_target(path, "mine", "rna", LIMITS, 100, 0)
    path.write_text(">a\nNNNN\n")
    with pytest.raises(
        TargetError,
        match=r"targets.mine: .*x.fasta: 0 of 1 records accepted, rejected: 1 ambiguous",
    ):
        read_fasta_target(path, "mine", "rna", LIMITS, 100, 0)
    path.write_text("".join(f">{i}\n{'MKVLAAGWWYYEEDFP' * 5}\n" for i in range(30)))
    with pytest.raises(CorpusError, match="look like proteins; modality is rna"):
        read_fasta_target(path, "mine", "rna", LIMITS, 100, 0)


def test_a_held_out_target_is_its_set(tmp_path):
    rows = [("pool", "b", "AC", 2, None), ("pool", "a", "GG", 2, 0.5), ("mine", "c", "UU", 2, None)]
    path = tmp_path / "sets.parquet"
    write_table(path, pl.DataFrame(rows, schema=dict(HELD_OUT), orient="row"), HELD_OUT)
    assert read_held_out_target(path, "t", "pool", 9, 0)["seq_id"].to_list() == ["a", "b"]
    assert read_held_out_target(path, "t", "pool", 1, 0).height == 1
    with pytest.raises(TargetError, match=r"targets.t: .* no sequence of set other"):
        read_held_out_target(path, "t", "other", 9, 0)


def test_a_task_s_split_is_written_as_fasta(tmp_path):
    lines = ["sequence,label,split", "acgt,1,train", "ACGU,0,train", "GGCC,1,valid", "CCGG,0,test"]
    (tmp_path / "t.csv").write_text("\n".join([*lines, "CCGG,1,train", "AAUU,1,train"]))
    task = LabelledData(kind="class", data={"path": str(tmp_path / "t.csv")})
    write_split(task, "train", "rna", tmp_path / "train.fasta.gz")
    text = gzip.decompress((tmp_path / "train.fasta.gz").read_bytes()).decode()
    assert [line for line in text.splitlines() if line[0] != ">"] == ["ACGU", "AAUU"]
    rows = read_fasta_target(tmp_path / "train.fasta.gz", "t", "rna", LIMITS, 100, 0)
    assert set(rows["sequence"]) == {"ACGU", "AAUU"}


GOOD = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
TASK = {"kind": "class", "optional": True, "data": {"path": "absent.csv"}}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "needs one of fasta, task, heldout"),
        ({"fasta": "a", "task": "t"}, "needs one of fasta, task, heldout"),
        ({"fasta": "a", "split": "train"}, "split: goes with task"),
        ({"task": "u"}, r"influence.targets.x.task: no task 'u'; allowed: t"),
        ({"task": "t", "split": "test"}, "'train' or 'valid'"),
        ({"heldout": "mine"}, r"influence.targets.x.heldout: no set 'mine'; allowed: near, pool"),
        ({"path": "a"}, "unknown key; allowed: fasta, task, split, heldout, size"),
    ],
)
def test_bad_targets_fail_at_load_time(target, message):
    files = {"heldout": {"files": {"near": "a.fa"}}, "tasks": {"t": TASK}}
    with pytest.raises(ConfigError, match=message):
        load_config({**GOOD, **files, "influence": {"targets": {"x": target}}})


def test_selections_by_a_held_out_set_are_known_and_in_no_study():
    targets = {"x": {"heldout": "pool"}, "y": {"fasta": "a.fa"}}
    strategies = ["random", "target:x", "target:y", "cci.target_x"]
    values = {**GOOD, "influence": {"targets": targets}, "selection": {"strategies": strategies}}
    assert load_config(values).aimed() == {"target:x": "pool", "cci.target_x": "pool"}
    part = {"strategies": ["random", "cci.target_x"], "budgets": [9], "seeds": [0]}
    with pytest.raises(ConfigError, match=r"study.rounds.one: aimed at held-out .*: cci.target_x"):
        load_config({**values, "study": {"rounds": {"one": part}}})


@pytest.mark.parametrize("name", ["heldout_near", "coreset"])
def test_a_task_is_no_other_outcome(name):
    with pytest.raises(ConfigError, match=f"tasks.{name}: names of other outcomes"):
        load_config({**GOOD, "tasks": {name: TASK}})


@pytest.mark.parametrize("name", ["influence", "residue", "loss", "target_mine"])
def test_a_variant_is_no_other_column(name):
    influence = {"variants": {name: {"loss": "masked"}}, "targets": {"mine": {"fasta": "x"}}}
    with pytest.raises(
        ConfigError, match=f"other columns of the scores or features have names .'{name}'"
    ):
        load_config({**GOOD, "influence": influence})


def test_paths_of_targets_are_held_to_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fa").write_text(">a\nACGU\n")
    targets = {"x": {"fasta": "none.fa"}, "y": {"task": "t"}, "z": {"fasta": "folder"}}
    (tmp_path / "folder").mkdir()
    config = load_config({**GOOD, "tasks": {"t": TASK}, "influence": {"targets": targets}})
    with pytest.raises(ConfigError) as caught:
        check_paths(config)
    text = str(caught.value)
    assert "influence.targets.x.fasta: no such file" in text
    assert "tasks.t.data.path: no such file" in text
    assert "influence.targets.z.fasta: a folder, not a file" in text
