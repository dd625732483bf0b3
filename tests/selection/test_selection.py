"""Properties of every strategy, and CCI against a literal water-filling."""

from typing import get_args

import numpy as np
import polars as pl
import pytest
from coresift.corpus.blocks import sequence_id
from coresift.selection.budgets import check_budgets
from coresift.selection.cci import PRUNED, assign_strata, water_fill
from coresift.selection.diagnostics import drift, overlap_matrix, stratum_coverage
from coresift.selection.errors import SelectionError
from coresift.selection.settings import Strategy
from coresift.selection.strategies import select
from hypothesis import given, settings
from hypothesis import strategies as st

ALL = get_args(Strategy)
CCI = {"prune_hard": 0.1, "n_strata": 5, "scale": "raw", "strata": "equal_width"}
HARD = CCI | {"prune_hard": 0.5}


def make_scores(n, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    influence = rng.lognormal(size=n)
    return pl.DataFrame(
        {
            "seq_id": sorted(sequence_id(f"{seed}-{i}") for i in range(n)),
            "length": rng.integers(30, 200, n).astype(np.int32),
            "influence": np.round(influence) + 1 if ties else influence,
            "loss": rng.random(n),
            "grad_norm": rng.random(n),
            "error_norm": rng.random(n),
            "n_tokens": np.full(n, 5, dtype=np.int32),
        }
    )


def draw(scores, strategy, budget, seed=0, cci=CCI):
    reference = select(scores, "top_influence", budget, seed)
    return select(scores, strategy, budget, seed, cci, reference)


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 120), st.floats(0.05, 0.85), st.integers(0, 99), st.booleans(), st.data())
@pytest.mark.parametrize("strategy", ALL)
def test_properties(strategy, n, share, seed, ties, data):
    scores = make_scores(n, seed, ties)
    budget = max(1, int(share * n))
    coreset = draw(scores, strategy, budget, seed)
    if strategy != "random_tokens":
        assert coreset.height == budget
    assert coreset["seq_id"].n_unique() == coreset.height
    assert set(coreset["seq_id"]) <= set(scores["seq_id"])
    assert coreset["rank"].to_list() == list(range(coreset.height))
    shuffled = scores.sample(fraction=1, shuffle=True, seed=data.draw(st.integers(0, 9)))
    assert draw(shuffled, strategy, budget, seed).equals(coreset)


@pytest.mark.parametrize("strategy", sorted(set(ALL) - {"cci", "random_tokens", "random_length"}))
def test_smaller_budgets_are_nested(strategy):
    scores = make_scores(100, ties=True)
    assert draw(scores, strategy, 60).head(20).equals(draw(scores, strategy, 20))


@pytest.mark.parametrize("strategy", ["random", "cci", "random_tokens", "random_length"])
def test_seeds_differ(strategy):
    scores = make_scores(200)
    assert set(draw(scores, strategy, 50, 0)["seq_id"]) != set(
        draw(scores, strategy, 50, 1)["seq_id"]
    )


@pytest.mark.parametrize(
    ("strategy", "column", "largest"),
    [
        ("top_influence", "influence", True),
        ("bottom_influence", "influence", False),
        ("loss", "loss", True),
        ("grad_norm", "grad_norm", True),
        ("error_norm", "error_norm", True),
    ],
)
def test_ranked_strategies_take_the_extreme_scores(strategy, column, largest):
    scores = make_scores(80)
    expected = scores.sort(column, descending=largest).head(10)["seq_id"]
    assert draw(scores, strategy, 10)["seq_id"].to_list() == expected.to_list()


def test_random_tokens_matches_tokens_within_half_a_sequence():
    scores = make_scores(300)
    lengths = dict(zip(scores["seq_id"], scores["length"], strict=True))
    target = sum(lengths[i] for i in draw(scores, "top_influence", 60)["seq_id"])
    total = sum(lengths[i] for i in draw(scores, "random_tokens", 60)["seq_id"])
    assert abs(total - target) <= scores["length"].max() / 2


def test_random_length_matches_the_histogram():
    scores = make_scores(2000)
    skewed = scores.with_columns(influence=pl.col("length") + 100 * pl.col("loss"))
    top, matched = (
        scores.join(draw(skewed, s, 300), on="seq_id")["length"].sort()
        for s in ("top_influence", "random_length")
    )
    assert (top - matched).abs().max() <= 10
    drawn, best = (set(draw(skewed, s, 300)["seq_id"]) for s in ("random_length", "top_influence"))
    assert drawn != best


def literal_fill(sizes, budget):
    """The reference code's loop: smallest stratum first, an equal share of what is left."""
    left, counts = sorted(range(len(sizes)), key=lambda i: sizes[i]), [0] * len(sizes)
    while left:
        share = budget // len(left)
        i = left.pop(0)
        counts[i] = min(sizes[i], share)
        budget -= counts[i]
    return counts


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(0, 500))
def test_water_fill(sizes, budget):
    counts = water_fill(np.array(sizes), budget)
    assert counts.tolist() == literal_fill(sizes, budget)
    assert counts.sum() == min(budget, sum(sizes))


def test_cci_by_hand():
    influence = [100.0, 1, 2, 3, 4, 10, 11, 21, 30, 31]  # 100 is dropped; width 10 over 1..31
    scores = make_scores(10).with_columns(influence=pl.Series(influence))
    options = {**CCI, "n_strata": 3}
    coreset = draw(scores, "cci", 6, cci=options)
    counts = coreset.group_by("stratum").len().sort("stratum").rows()
    # strata hold {1,2,3,4,10}, {11}, {21,30,31}: 1 from the smallest, then 5 // 2 = 2, then 3
    assert counts == [(0, 3), (1, 1), (2, 2)]
    assert dict(coreset.select("stratum", "weight").unique().rows()) == {0: 5 / 3, 1: 1, 2: 1.5}
    dropped = scores.filter(pl.col("influence") == 100)["seq_id"][0]
    assert dropped not in set(coreset["seq_id"])


def test_strata_scales():
    values = np.array([1.0, 10.0, 100.0, 1000.0])
    assert assign_strata(values, 4, "raw", "equal_width").tolist() == [0, 0, 0, 3]
    assert assign_strata(values, 4, "log", "equal_width").tolist() == [0, 1, 2, 3]
    assert assign_strata(values, 4, "rank", "equal_width").tolist() == [0, 1, 2, 3]
    assert assign_strata(values, 2, "raw", "equal_mass").tolist() == [0, 0, 1, 1]
    assert assign_strata(np.ones(3), 4, "raw", "equal_width").tolist() == [0, 0, 0]
    with pytest.raises(SelectionError, match="positive"):
        assign_strata(np.array([0.0, 1.0]), 2, "log", "equal_width")


def test_every_budget_above_the_pool_is_named():
    selections = {"random": ("random", {}), "cci": ("cci", CCI), "hard": ("cci", HARD)}
    assert check_budgets(20, [1, 10], selections) == {"random": 20, "cci": 18, "hard": 10}
    with pytest.raises(SelectionError) as caught:
        check_budgets(20, [10, 11, 19, 21], selections)
    lines = str(caught.value).splitlines()
    assert [line.split(";")[0].removeprefix("selection.budgets: ") for line in lines] == [
        "21 is larger than the pool of 20 sequences",
        "19 is larger than the 18 sequences that cci leaves after dropping prune_hard = 0.1 of 20",
        "11 is larger than the 10 sequences that hard leaves after dropping prune_hard = 0.5 of 20",
        "19 is larger than the 10 sequences that hard leaves after dropping prune_hard = 0.5 of 20",
    ]


def test_errors():
    scores = make_scores(20)
    with pytest.raises(SelectionError, match="21 is larger than the pool of 20"):
        select(scores, "random", 21, 0)
    with pytest.raises(SelectionError, match="19 is larger than the 18 sequences"):
        select(scores, "cci", 19, 0, CCI)
    with pytest.raises(SelectionError, match="unknown strategy 'best'; allowed: top_influence"):
        select(scores, "best", 1, 0)
    with pytest.raises(SelectionError, match="needs a reference"):
        select(scores, "random_tokens", 1, 0)
    with pytest.raises(SelectionError, match="twice"):
        select(pl.concat([scores, scores]), "random", 1, 0)
    for bad in (float("nan"), float("inf"), None):
        value = pl.when(pl.int_range(pl.len()) == 3).then(bad).otherwise(pl.col("influence"))
        broken = scores.with_columns(influence=value)
        with pytest.raises(SelectionError, match=f"1 scores are NaN.*{scores['seq_id'][3]}"):
            select(broken, "random", 1, 0)


def test_diagnostics():
    scores = make_scores(50)
    coresets = {"a": draw(scores, "random", 10), "b": draw(scores, "top_influence", 10)}
    matrix = overlap_matrix(coresets)
    assert matrix.filter(pl.col("a") == pl.col("b"))["jaccard"].to_list() == [1, 1]
    gc = scores.select("seq_id", composition=-pl.col("length") / 1000)
    row = drift(scores, coresets["a"], gc)
    assert row["sequences"] == 10
    chosen = scores.filter(pl.col("seq_id").is_in(coresets["a"]["seq_id"].to_list()))
    assert row["mean_length"] == pytest.approx(chosen["length"].mean())
    assert row["mean_composition"] == pytest.approx(-row["mean_length"] / 1000)
    assert row["length_ks"] == pytest.approx(row["composition_ks"])


def test_stratum_coverage_adds_up():
    scores = make_scores(200)
    coresets = {s: draw(scores, s, 40) for s in ("cci", "top_influence")}
    table = stratum_coverage(scores, coresets, CCI)
    totals = table.group_by("coreset").agg(pl.col("pool", "taken").sum())
    assert set(totals.rows()) == {("cci", 200, 40), ("top_influence", 200, 40)}
    pruned = table.filter(pl.col("stratum") == PRUNED)
    assert dict(pruned.select("coreset", "taken").rows()) == {"cci": 0, "top_influence": 20}
    assert set(pruned["pool"]) == {20}  # prune_hard = 0.1
    taken = table.filter(pl.col("coreset") == "cci", pl.col("stratum") != PRUNED)
    assert dict(taken.select("stratum", "taken").rows()) == dict(
        coresets["cci"].group_by("stratum").len().rows()
    )
