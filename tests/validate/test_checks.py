"""What is drawn, the decile curve, stability, settings and the page, on made-up numbers."""

import runpy
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from coresift.config import ConfigError, load_config
from coresift.corpus.subset import PoolError
from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.report.plots import save
from coresift.selection.names import Budget
from coresift.tables import write_table
from coresift.validate.agreement import AGREEMENT, Intervals
from coresift.validate.deciles import decile_order, decile_table
from coresift.validate.page import agreement_lines, decile_lines, render, stability_lines
from coresift.validate.plots import agreement, decile_curves, stability
from coresift.validate.settings import Setting, Stability, Validate, own_way
from coresift.validate.small import small_pool, target_set
from coresift.validate.stability import SCORES, stability_table
from coresift.validate.tables import SETTING_SCORE

HOW = Intervals(200, 0.95, 1)


def sequences(n):
    rows = {"seq_id": [f"{i:032x}" for i in range(n)], "sequence": ["ACGU"] * n, "length": 4,
            "block": 0, "n_copies": 1, "n_windows": 0, "source_ids": [["a"]] * n}  # fmt: skip
    return pl.DataFrame(rows, schema=dict(SEQUENCE))


def test_small_pools_are_independent_samples_whatever_the_buckets(tmp_path):
    rows = sequences(60)
    whole, parts = tmp_path / "whole", [tmp_path / "a", tmp_path / "b"]
    write_table(whole, rows, SEQUENCE)
    for path, part in zip(parts, (rows[:20], rows[20:]), strict=True):
        write_table(path, part, SEQUENCE)
    drawn = small_pool([whole], "lds", 20, 1)
    assert drawn.height == 20
    assert drawn["seq_id"].is_sorted()
    assert small_pool(parts, "lds", 20, 1).equals(drawn)
    for check, seed in (("loo", 1), ("lds", 2)):
        assert set(small_pool([whole], check, 20, seed)["seq_id"]) != set(drawn["seq_id"])
    with pytest.raises(PoolError, match=r"validate\.loo\.sequences is 61, .* only 60"):
        small_pool(parts, "loo", 61, 1)


def test_the_held_out_set_is_sampled_and_must_be_there(tmp_path):
    rows = sequences(9).with_columns(set=pl.lit("pool"), nearest=pl.lit(0.0))
    write_table(tmp_path / "sets", rows.select(*HELD_OUT), HELD_OUT)
    found = target_set(tmp_path / "sets", "pool", 5, 1)
    assert (found.height, found["seq_id"].is_sorted()) == (5, True)
    assert target_set(tmp_path / "sets", "pool", 50, 1).height == 9
    with pytest.raises(PoolError, match="no held-out set 'trna'; there is: pool"):
        target_set(tmp_path / "sets", "trna", 5, 1)


def decile_losses(tmp_path, slope):
    """Files of losses that rise by `slope` a tenth, a little apart between seeds."""
    names = {f"decile_{k}.influence-9-s{s}": 1 + slope * k + 0.01 * s for k in range(10)
             for s in (0, 1)}  # fmt: skip
    names |= {"random-9-s0": 1.2, "random-9-s1": 1.4, "unigram": 1.38}
    ids = [f"{i:032x}" for i in range(12)]
    for name, loss in names.items():
        rows = {"set": "pool", "seq_id": ids, "n_masked": 2, "loss": loss, "accuracy": 0.5}
        table = pl.DataFrame(rows, schema_overrides=HELD_OUT_LOSS)
        write_table(tmp_path / f"{name}.parquet", table, HELD_OUT_LOSS)
    groups = pl.DataFrame({"set": "pool", "seq_id": ids, "source": "a"})
    write_table(tmp_path / "groups", groups, dict.fromkeys(groups.columns, pl.String))
    return {name: tmp_path / f"{name}.parquet" for name in names}


@pytest.mark.parametrize(("slope", "says"), [(0.1, "rises"), (-0.1, "falls")])
def test_the_decile_curve_of_a_score_that_orders_data(tmp_path, slope, says):
    paths = decile_losses(tmp_path, slope)
    unigram = paths.pop("unigram")
    table = decile_table(paths, unigram, tmp_path / "groups", ["influence"], 9, [0, 1])
    assert table.height == 22
    third = table.filter((pl.col("decile") == 3) & (pl.col("seed") == 1))
    assert third["loss"][0] == pytest.approx(1.01 + 3 * slope)
    order = decile_order(table, HOW)
    found = order.row(0, named=True)
    assert found["spearman"] * slope > 0
    assert abs(found["spearman"]) > 0.98
    assert (found["best"], found["worst"]) == ((0, 9) if slope > 0 else (9, 0))
    assert found["range"] == pytest.approx(0.9)
    assert found["seeds"] == pytest.approx(0.01 / 2**0.5)
    assert (found["random"], found["unigram"]) == (pytest.approx(1.3), pytest.approx(1.38))
    assert found["below_random"] == (3 if slope > 0 else 10)
    (line,) = decile_lines(order, pl.DataFrame(schema={"score": pl.String, "decile": pl.Int32}))
    assert (
        f"Deciles of influence, loss of pool, as the set: the loss {says} with the score, Spearman"
        in line
    )
    assert "0.900 nats apart (0.007 between seeds of a tenth; p of alike tenths, adjusted, " in line
    assert found["p"] < 1e-10
    assert line.endswith(
        f"; {found['below_random']} of 10 means below random's (1.300, 2 models, 0.141 between "
        "them)."
    )
    noise = pl.Series(np.random.default_rng(2).normal(1, 0.1, table.height))
    alike = decile_order(table.with_columns(loss=noise), HOW)
    assert alike["p"][0] > 0.05
    (line,) = decile_lines(alike, pl.DataFrame(schema={"score": pl.String, "decile": pl.Int32}))
    assert "as the set: no difference between tenths is shown, Spearman" in line
    # Two scores of an outcome are one family: the smaller p counts twice.
    twice = pl.concat(
        [
            table,
            table.drop_nulls("decile").with_columns(score=pl.lit("residue"), loss=noise[:20]),
        ]
    )
    both = decile_order(twice, HOW).sort("score")
    first, second = both["p"]
    assert both["p_adjusted"].to_list() == pytest.approx([2 * first, max(second, 2 * first)])
    assert both["alike"].to_list() == [False, True]
    one = decile_order(table.filter(pl.col("seed") == 0), HOW)
    assert one.select("p", "alike", "seeds").row(0) == (None, None, None)
    for path in ("1.svg", "2.svg"):
        save(decile_curves(table), tmp_path / path)
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_seeds_of_a_tenth_are_no_evidence_of_an_order():
    """Tenths that differ without an order, and seeds that repeat them: 95 % of intervals say so."""
    generator = np.random.default_rng(0)
    trials, seeds = 200, 5
    frames = []
    for trial in range(trials):
        tenths = generator.normal(size=10)[:, None] + 0.3 * generator.normal(size=(10, seeds))
        rows = {"score": str(trial), "decile": np.repeat(np.arange(10), seeds)}
        frames.append(pl.DataFrame(rows).with_columns(loss=tenths.ravel(), seed=0, unigram=1.0))
    control = pl.DataFrame({"score": "random", "decile": None, "loss": 0.0, "seed": 0})
    frames.append(control.with_columns(unigram=1.0).cast({"decile": pl.Int64}))
    table = pl.concat(frames, how="diagonal_relaxed").with_columns(
        set=pl.lit("p"), outcome=pl.lit("loss")
    )
    order = decile_order(table, HOW)
    found = order.filter((pl.col("low") > 0) | (pl.col("high") < 0)).height
    assert found / trials < 0.11
    assert set(order["models"]) == {50}


def traits_of(tmp_path, root, monkeypatch):
    """The tables of rule validate_deciles, by its script, of a pool whose score is the length."""
    n = 100
    ids = pl.Series([f"{i:032x}" for i in range(n)])
    pool = pl.DataFrame(
        {
            "seq_id": ids,
            "length": np.arange(1, n + 1),
            "low_complexity": np.linspace(0, 1, n),
            "source": ["score"] * 95 + ["b"] * 5,  # a file may be called as a column is
            "cluster": ids,
        }
    )
    pool.select("seq_id", "length", "low_complexity").write_parquet(tmp_path / "features")
    pool.select("seq_id", "source", "cluster").write_parquet(tmp_path / "pool_groups")
    paths = decile_losses(tmp_path, 0.1)
    unigram = paths.pop("unigram")
    for name in paths:
        tenth, seed = int(name[7]) if name.startswith("decile") else None, int(name[-1])
        own = pool[seed::10] if tenth is None else pool[10 * tenth : 10 * tenth + 10]
        own.select("seq_id").write_parquet(tmp_path / f"{name}.coreset")
    job = SimpleNamespace(
        log=["log"],
        input=SimpleNamespace(
            losses=[*paths.values()], unigram=unigram, groups=tmp_path / "groups",
            coresets=[tmp_path / f"{name}.coreset" for name in paths],
            features=tmp_path / "features", pool_groups=tmp_path / "pool_groups",
        ),
        params=SimpleNamespace(
            names=[*paths], scores=["influence"], budget="9", seeds=[0, 1], seed=1,
            intervals={"n_resamples": 100, "confidence": 0.95},
        ),
        output=SimpleNamespace(
            **{name: tmp_path / f"{name}.csv" for name in ("table", "order", "traits")},
            plot=tmp_path / "plot.svg",
        ),
    )  # fmt: skip
    monkeypatch.setattr("coresift.dag.logs.start", lambda log: None)
    runpy.run_path(str(root / "workflow/scripts/validate_deciles.py"), {"snakemake": job})
    return pl.read_csv(tmp_path / "order.csv"), pl.read_csv(tmp_path / "traits.csv")


def test_what_the_tenths_differ_in(tmp_path, root, monkeypatch):
    order, table = traits_of(tmp_path, root, monkeypatch)
    assert order["spearman"].to_list() == [pytest.approx(1)]
    heads = ["score", "decile", "mean_length", "mean_low_complexity"]
    assert table.columns == [*heads, "residues_of_b", "residues_of_score"]
    last = table.filter(pl.col("decile") == 9).row(0, named=True)
    assert (last["mean_length"], last["residues_of_b"]) == (95.5, pytest.approx(490 / 955))
    assert table["score"].to_list()[-1] == "random"
    assert table["mean_length"][-1] == pytest.approx((46 + 47) / 2)
    (line,) = decile_lines(order.clear(), table)
    assert line == (
        "Tenths of influence differ in more than the score: mean length 6 (tenth 0) to 96 "
        "(tenth 9); low complexity 4.5% (tenth 0) to 95.5% (tenth 9); residues of score 48.7% "
        "(tenth 9) to 100.0% (tenth 8); residues of b 0.0% (tenth 0) to 51.3% (tenth 9)."
    )


def setting_score(n, seed, noise):
    generator = np.random.default_rng(0)
    length = generator.permutation(n) + 10
    own = np.random.default_rng(seed).normal(size=(3, n))
    base = -length / n
    rows = {"seq_id": [f"{i:032x}" for i in range(n)], "length": length}
    scores = dict(zip(SCORES, base + noise * own, strict=True))
    return pl.DataFrame({**rows, **scores}, schema_overrides=SETTING_SCORE)


def test_stability_with_and_without_length():
    reference, other = setting_score(500, 1, 0.1), setting_score(500, 2, 0.1)
    same = ("fine-tuning epochs", 3.0, reference)
    table = stability_table(reference, [("subset", 1.0, other), same], [0.1], 10)
    seed, equal = (
        table.filter((pl.col("factor") == f) & (pl.col("score") == "influence")).row(0, named=True)
        for f in ("subset", "fine-tuning epochs")
    )
    assert seed["spearman"] > 0.8  # both lean on length, and on nothing else that they share
    assert abs(seed["spearman_given_length"]) < 0.15
    assert seed["overlap"] > 0.3
    assert seed["overlap_within_length"] < 0.3
    exact = ("spearman", "spearman_given_length", "overlap", "overlap_within_length")
    assert [equal[name] for name in exact] == [pytest.approx(1)] * 4
    assert table["score"].to_list()[-2:] == ["influence and residue", "influence and other_loss"]
    lines = list(stability_lines(table))
    assert len(lines) == 3
    assert "seed of D_sub alone 1: 0." in lines[0]
    assert "epochs of fine-tuning 3: 1.00" in lines[0]
    with pytest.raises(ValueError, match="scores of other sequences"):
        stability_table(reference, [("seed", 1.0, other[1:])], [0.1], 10)


def test_each_setting_changes_one_thing():
    own = Setting(42, 42, 1000, 1.0, 1.0)
    section = Stability(
        draws=[42, 7], seeds=[42, 1], sizes=[0.5, 1.0], epochs=[0, 1, 3], widths=[0.5, 1.0]
    )
    changes = section.changes(own, from_scratch=True)
    assert [(factor, value, setting.name) for factor, value, setting in changes] == [
        ("subset", 7, "s42-d7-n1000-w1-e1"),
        ("all seeds", 1, "s1-d1-n1000-w1-e1"),
        ("subset size", 0.5, "s42-d42-n500-w1-e2"),
        ("fine-tuning epochs", 0, "s42-d42-n1000-w1-e0"),
        ("fine-tuning epochs", 3, "s42-d42-n1000-w1-e3"),
        ("base width", 0.5, "s42-d42-n1000-w0.5-e1"),
    ]
    assert section.changes(own, from_scratch=False) == changes[:-1]


def agreement_rows():
    way = {"model": "pool", "loss": "masked", "parameters": "head"}
    noise = {"of": "V", "n": 40, "reliability": 0.6, "ceiling": 0.9, "best_by_chance": 0.3}
    rows = [
        {**way, "curvature": c, "damping": d, "score": s, "weights": w, **noise,
         "spearman": rho, "low": (rho or 0) - 0.2, "high": (rho or 0) + 0.2}
        for c, d, s, w, rho in [
            ("identity", None, "target", "residues", 0.5),
            ("identity", None, "self", "residues", -0.1),
            ("ekfac", 0.1, "target", "residues", 0.7),
            (None, None, "length", "sequences", -0.3),
            (None, None, "loss", "sequences", None),
        ]
    ]  # fmt: skip
    for row in rows:
        if row["spearman"] is None:
            row |= {"low": None, "high": None}
        if row["curvature"] is None:
            row["parameters"] = None
    return pl.DataFrame(rows, schema_overrides=AGREEMENT).select(*AGREEMENT)


def noise_rows():
    return pl.DataFrame(
        {"of": "V", "seeds": 2, "mean": 1.3, "letters": 1.38, "between_runs": 0.004,
         "between_seeds": 0.005, "reliability": 0.6}
    )  # fmt: skip


def test_sentences_of_an_agreement():
    way = {"loss": "masked", "parameters": "head", "curvature": "identity"}
    lines = list(agreement_lines("lds", agreement_rows(), noise_rows(), way, 0.1))
    assert [line.removeprefix("Linear datamodelling score, ") for line in lines] == [
        "V: losses of 1.3000 nats on average, 0.0040 between runs, 0.0050 between seeds; that is "
        "0.0800 below letter frequencies (1.3800).",
        "V: two retrainings agree by 0.60, so that a perfect prediction would reach about 0.90.",
        *(
            f"{score} against V, gradients of pool, the run's own loss, parameters and curvature, "
            f"by residues: {found}."
            for score, found in {
                "target": "0.50 [0.30, 0.70], subsets with more of it end with a lower loss",
                "self": "-0.10 [-0.30, 0.10], no order is shown",
            }.items()
        ),
        "best of 2 ways against V: 0.70 (by residues, pool, masked, head, ekfac, damping 0.1); the "
        "best of so many stays below 0.30 by chance.",
        "strongest control against V: length -0.30 [-0.50, -0.10].",
    ]


def test_the_page_of_ways_without_damping(tmp_path):
    rows = agreement_rows().filter(pl.col("damping").is_null())
    (tmp_path / "lds.csv").write_text(rows.write_csv())
    save(agreement(rows), tmp_path / "lds.svg")
    way = {"loss": "masked", "parameters": "head", "curvature": "identity"}
    (tmp_path / "lds_noise.csv").write_text(noise_rows().write_csv())
    tables = {name: tmp_path / f"{name}.csv" for name in ("lds", "lds_noise")}
    page = render("r", 0.95, way, 0.1, tables, {"lds": tmp_path / "lds.svg"})
    assert "curvature, by residues: 0.50 [0.30, 0.70], subsets with more" in page


@pytest.mark.parametrize(
    ("reliability", "ceiling", "says"),
    [
        (-0.1, 0.0, "V: too noisy to judge any prediction, reliability -0.10."),
        (None, None, "V: one retraining; how noisy it is nobody knows."),
    ],
)
def test_noise_is_said_first(reliability, ceiling, says):
    way = {"loss": "masked", "parameters": "head", "curvature": "identity"}
    rows = agreement_rows().with_columns(
        reliability=pl.lit(reliability, pl.Float64), ceiling=pl.lit(ceiling, pl.Float64)
    )
    assert [*agreement_lines("lds", rows, noise_rows(), way, 0.1)][1].endswith(f"score, {says}")


def test_of_several_dampings_the_run_s_own_is_told():
    way = {"loss": "masked", "parameters": "head", "curvature": "ekfac"}
    rows = agreement_rows().filter(pl.col("curvature") == "ekfac")
    rows = pl.concat([rows.with_columns(damping=pl.lit(d)) for d in (0.01, 0.1, 1.0)])
    (own,) = [
        line
        for line in agreement_lines("lds", rows, noise_rows(), way, 0.08)
        if "at damping" in line
    ]
    assert "curvature at damping 0.1, by residues" in own


def test_the_page_has_every_check_and_fixed_bytes(tmp_path):
    rows = agreement_rows()
    (tmp_path / "lds.csv").write_text(rows.write_csv())
    save(agreement(rows), tmp_path / "lds.svg")
    (tmp_path / "lds_noise.csv").write_text(noise_rows().write_csv())
    reference, other = setting_score(50, 1, 0.1), setting_score(50, 2, 0.1)
    table = stability_table(reference, [("subset", 1.0, other)], [0.1], 5)
    (tmp_path / "stability.csv").write_text(table.write_csv())
    save(stability(table, SCORES), tmp_path / "stability.svg")
    names = ("lds", "stability")
    page, again = (
        render("r & d", 0.95, {}, 0.1, {n: tmp_path / f"{n}.csv" for n in (*names, "lds_noise")},
               {n: tmp_path / f"{n}.svg" for n in names})
        for _ in range(2)
    )  # fmt: skip
    assert page == again
    assert page.count("<svg") == 2
    assert "r &amp; d" in page
    assert "Assumption 1, influence of a sequence, least Spearman" in page
    assert "ekfac" in page


def config(**validate):
    return {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}, "validate": validate}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"scores": ["inflence"]}, r"validate\.scores: no score inflence; allowed: influence, "),
        ({"scores": ["influence", "influence"]}, r"validate\.scores: a value twice"),
        ({"loo": {"seeds": [1, 1]}}, r"validate\.loo\.seeds: a value twice"),
        ({"lds": {"subset": 3}}, r"validate\.lds\.subset: unknown key"),
        ({"ldz": None}, r"validate\.ldz: unknown key; allowed: .*lds"),
        ({"curvatures": ["kfca"]}, r"validate\.curvatures\.0: .*'kfac'"),
        ({"damping": [0]}, r"validate\.damping\.0: "),
        ({"budget": "25 proteins"}, r"validate\.budget: "),
    ],
)
def test_a_wrong_config_is_refused_with_the_key(section, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config(**section))


def test_defaults_and_what_is_left_out():
    loaded = load_config(config(scores=["residue", "loss"], loo=None))
    section = loaded.validation
    assert section.lds.subsets >= 40
    assert (list(section.retrained()), list(section.samples())) == (["lds"], ["lds", "stability"])
    names = section.deciles()
    assert (len(names), names[0], names[-1]) == (21, "decile_0.residue", "random")
    assert Validate(scores=[]).deciles() == []
    few, many, residues = Budget(20), Budget(30), Budget(5, "residues")
    assert section.decile_budget([many, residues, few]) == few
    assert section.decile_budget([residues, Budget(9, "residues")]) == residues
    assert Validate(budget=7).decile_budget([many]) == Budget(7)
    assert str(Validate(budget="25k residues").decile_budget([many])) == "25kr"
    assert own_way(loaded.influence) == {
        "loss": "masked", "parameters": "head", "curvature": "diag_fisher"
    }  # fmt: skip
