"""Properties of every strategy, and their counts against literal references."""

import functools
import itertools
import operator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from coresift.corpus.blocks import sequence_id
from coresift.selection.budgets import (
    LENGTH_BINS,
    check_budgets,
    least_residues,
    length_counts,
    n_pruned,
)
from coresift.selection.cci import PRUNED, kept_by, pool_strata, scaled
from coresift.selection.diagnostics import (
    distances,
    drift,
    overlap_matrix,
    stratum_coverage,
    taken,
    total_variation,
)
from coresift.selection.draw import draw_pool, group_codes, prefix
from coresift.selection.errors import SelectionError
from coresift.selection.names import (
    DECILES,
    STRATEGIES,
    Budget,
    budget_of,
    coreset_name,
    parse,
    parse_coreset,
    read_budget,
    without_seed,
)
from coresift.selection.request import Request
from coresift.selection.settings import Selection
from coresift.selection.strategies import DRAWS, select
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

CCI = {"prune_hard": 0.1, "n_strata": 5, "scale": "raw", "strata": "equal_width"}
ARGS = {"selection": ":cci", "target": ":t", "cci": "", None: ""}
#: Every strategy that reads no embeddings, as a selection's name; of the tenths, two.
NAMES = [
    name + ARGS[needs.arg]
    for name, needs in STRATEGIES.items()
    if not needs.states and name not in [*DECILES][1:9]
]
SELECTION = Selection(strategies=NAMES, cci=CCI, controls=[])
#: Those that have the counts of their reference; all others are a prefix of one order.
COUNTED = ("random_length:cci", "random_complexity:cci", "random_groups:cci")


def make_scores(n, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    influence = rng.lognormal(size=n)
    return pl.DataFrame(
        {
            "seq_id": sorted(sequence_id(f"{seed}-{i}") for i in range(n)),
            "length": rng.integers(30, 200, n).astype(np.int32),
            "influence": np.round(influence) + 1 if ties else influence,
            "residue": 5 * influence,
            "loss": rng.random(n),
            "grad_norm": rng.random(n),
            "error_norm": rng.random(n),
            "n_tokens": np.full(n, 5, dtype=np.int32),
            "target_t": rng.normal(size=n),
            "low_complexity": rng.random(n) * (rng.random(n) < 0.3),
        }
    )


def make_groups(scores, seed=0):
    """Sources of unequal size, some without, and clusters whose first member names them."""
    rng = np.random.default_rng(seed)
    n = scores.height
    sizes = rng.zipf(1.7, n).clip(1, n)
    first = np.repeat(np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)[:n]
    return pl.DataFrame(
        {
            "seq_id": scores["seq_id"],
            "source": pl.Series(["a", "b", "c", None]).gather(
                rng.choice(4, n, p=[0.6, 0.3, 0.05, 0.05])
            ),
            "cluster": scores["seq_id"].gather(first),
        }
    )


def request(name, **options):
    """The request of a selection's name, with options laid over its own."""
    found = SELECTION.request(name)
    if found.strategy == "pool":
        options = {"epochs": 2.5, **options}
    return replace(found, options={**found.options, **options})


def draw(scores, name, budget, seed=0, groups=None, **options):
    """A coreset of a selection; an integer is a budget in sequences."""
    budget = Budget(budget) if isinstance(budget, int) else budget
    groups = make_groups(scores) if groups is None else groups
    asked = request(name, **options)
    reference = None
    if asked.reference is not None:
        reference = draw(scores, asked.reference, budget, seed, groups)
    return select(scores, asked, budget, seed, groups, reference)


def ids(coreset):
    return set(coreset["seq_id"])


def test_the_pool_is_what_a_training_of_given_residues_sees():
    scores = make_scores(40)
    order = draw(scores, "pool", 1, residues=10**9)["seq_id"].to_list()
    lengths = dict(scores.select("seq_id", "length").rows())
    for residues in (1, 500, 10**9):
        taken = draw(scores, "pool", 3, residues=residues)["seq_id"].to_list()
        n = shortest_prefix([lengths[i] for i in order], residues)
        assert taken == order[:n]


def test_every_strategy_draws():
    assert set(DRAWS) == set(STRATEGIES)


def shortest_prefix(lengths, residues):
    """How many of the sequences it takes to have so many residues, or all."""
    totals = itertools.accumulate(lengths)
    return 1 + sum(total < residues for total in [*totals][:-1])


def is_spent(lengths, n, budget):
    """Whether the first n of an order come nearest to a budget, or are all."""
    if budget.unit == "sequences":
        return n == min(budget.amount, len(lengths))
    residues = sum(lengths[:n])
    if residues < budget.amount:
        return n == len(lengths) or budget.amount - residues <= lengths[n] / 2
    return n == 1 or residues - budget.amount < lengths[n - 1] / 2 or residues == budget.amount


def scaled_budget(budget, factor):
    return replace(budget, amount=max(1, int(factor * budget.amount)))


@settings(max_examples=12)
@given(st.integers(5, 120), st.floats(0.05, 1), st.integers(0, 99), st.booleans(), st.data())
@pytest.mark.parametrize("unit", ["sequences", "residues"])
@pytest.mark.parametrize("name", NAMES)
def test_properties(name, unit, n, share, seed, ties, data):
    strategy = parse(name).strategy
    scores = make_scores(10 * n if strategy in DECILES else n, seed, ties)
    groups = make_groups(scores, seed)
    asked = {found: request(found) for found in (name, parse(name).arg or "cci") if found != "t"}
    most = check_budgets(np.bincount(scores["length"]), [], asked)[name][unit]
    largest = Budget(most, unit)
    budget = scaled_budget(largest, share)
    coreset = draw(scores, name, budget, seed, groups)
    lengths = scores.join(coreset, on="seq_id").sort("rank")["length"].to_list()
    assert len(lengths) == coreset["seq_id"].n_unique() == coreset.height
    assert coreset["rank"].to_list() == list(range(coreset.height))
    assert (coreset["weight"] >= 1).all()
    if name in COUNTED:
        assert coreset.height == draw(scores, "cci", budget, seed, groups).height
    else:
        whole = draw(scores, name, largest, seed, groups)
        assert whole.head(coreset.height)["seq_id"].equals(coreset["seq_id"])
        order = whole.join(scores, on="seq_id", maintain_order="left")["length"].to_list()
        if strategy == "pool":
            residues = 2.5 * budget.residues(scores["length"].mean())
            assert coreset.height == shortest_prefix(order, residues)
        elif strategy == "random_tokens":
            reference = draw(scores, "cci", budget, seed, groups)
            residues = scores.join(reference, on="seq_id")["length"].sum()
            assert is_spent(order, coreset.height, Budget(residues, "residues"))
        else:
            spent = scaled_budget(budget, 10) if strategy == "random_x10" else budget
            assert is_spent(order, coreset.height, spent)
    order = data.draw(st.integers(0, 9))
    shuffled, regrouped = (f.sample(fraction=1, shuffle=True, seed=order) for f in (scores, groups))
    assert draw(shuffled, name, budget, seed, regrouped).equals(coreset)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 700))
def test_a_budget_of_residues_ends_at_the_nearest_sequence(lengths, residues):
    found = prefix(Budget(residues, "residues"), np.array(lengths))
    away = [abs(sum(lengths[:n]) - residues) for n in range(1, len(lengths) + 1)]
    assert found == 1 + int(np.argmin(away))
    assert is_spent(lengths, found, Budget(residues, "residues"))
    assert prefix(Budget(residues), np.array(lengths)) == min(residues, len(lengths))


RANDOM = [n for n in NAMES if STRATEGIES[parse(n).strategy].random]


@pytest.mark.parametrize("name", [*RANDOM, "cci", "group_cci", "cluster_sqrt", "decile_0"])
def test_seeds_differ(name):
    scores = make_scores(1000)
    assert ids(draw(scores, name, 50, 0)) != ids(draw(scores, name, 50, 1))


def test_draws_of_different_selections_are_independent_unless_shared():
    scores = make_scores(4000)
    n = 400

    def shared(a, b):
        one, other = (select(scores, x, Budget(n), 0, None, reference) for x in (a, b))
        return len(ids(one) & ids(other))

    reference = select(scores, request("cci"), Budget(n), 0)
    pairs = [("cci", "random"), ("random", "random_length:cci"), ("random", "random_kept")]
    pairs += [("cci", "cci.loss"), ("random_tokens:cci", "random_length:cci")]
    for a, b in pairs:
        # The hypergeometric's mean is n^2 / N = 40, its standard deviation below 6.
        assert abs(shared(request(a), request(b)) - n * n / scores.height) < 24, (a, b)
    paired = Selection(strategies=["random"], draws="shared", cci=CCI)
    assert shared(paired.request("cci"), paired.request("random")) > 100


@pytest.mark.parametrize(
    ("name", "column", "largest"),
    [
        ("top_influence", "influence", True),
        ("bottom_influence", "influence", False),
        ("top_influence.loss", "loss", True),
        ("bottom_influence.target_t", "target_t", False),
        ("target:t", "target_t", True),
        ("loss", "loss", True),
        ("loss_low", "loss", False),
        ("grad_norm", "grad_norm", True),
        ("error_norm", "error_norm", True),
    ],
)
def test_ranked_strategies_take_the_extreme_scores(name, column, largest):
    scores = make_scores(80)
    expected = scores.sort(column, descending=largest).head(10)["seq_id"]
    assert draw(scores, name, 10)["seq_id"].to_list() == expected.to_list()


@given(st.integers(1, 60), st.data())
@settings(max_examples=30)
def test_loss_mid_is_a_stretch_around_the_median(n, data):
    budget = data.draw(st.integers(1, n))
    scores = make_scores(n)
    ranks = scores.with_columns(place=pl.col("loss").rank("ordinal") - 1)
    places = sorted(
        ranks.filter(pl.col("seq_id").is_in(ids(draw(scores, "loss_mid", budget))))["place"]
    )
    assert places == list(range(places[0], places[0] + budget))
    assert abs(places[0] - (n - 1 - places[-1])) <= 1  # as many below as above


@given(st.integers(10, 99), st.booleans(), st.integers(0, 9))
@settings(max_examples=15)
def test_deciles_are_a_partition_in_the_scores_order(n, ties, seed):
    scores = make_scores(n, seed, ties)
    value = dict(scores.select("seq_id", "influence").iter_rows())
    found = []
    for tenth in range(10):
        size = n * (tenth + 1) // 10 - n * tenth // 10
        found.append(draw(scores, f"decile_{tenth}", size)["seq_id"].to_list())
    assert sorted(functools.reduce(operator.iadd, found, [])) == scores["seq_id"].to_list()
    for low, high in itertools.pairwise(found):
        assert max(value[i] for i in low) <= min(value[i] for i in high)
    small = [ids(draw(scores, f"decile_{tenth}", 1)) for tenth in range(10)]
    assert all(a <= set(b) for a, b in zip(small, found, strict=True))


def test_top_length_rank_takes_the_highest_of_every_length():
    scores = make_scores(5000).with_columns(influence=pl.col("loss") / pl.col("length"))
    pool = scores.with_columns(bin=(pl.col("length").rank("max") - 1) * LENGTH_BINS // pl.len())
    share = pool.with_columns(rank=pl.col("influence").rank().over("bin") / pl.len().over("bin"))
    chosen = share.filter(pl.col("seq_id").is_in(ids(draw(scores, "top_length_rank", 500))))
    assert chosen["rank"].min() > 0.89
    assert abs(chosen["length"].mean() - pool["length"].mean()) < 3
    assert distances(pool["length"].to_numpy(), taken(pool["seq_id"], {"a": chosen}))["a"] < 0.02
    top = pool.filter(pl.col("seq_id").is_in(ids(draw(scores, "top_influence", 500))))
    assert top["length"].mean() < pool["length"].mean() - 30


def test_random_tokens_matches_tokens_within_half_a_sequence():
    scores = make_scores(300)
    lengths = dict(zip(scores["seq_id"], scores["length"], strict=True))
    target = sum(lengths[i] for i in ids(draw(scores, "top_influence", 60)))
    total = sum(lengths[i] for i in ids(draw(scores, "random_tokens:top_influence", 60)))
    assert abs(total - target) <= scores["length"].max() / 2


def test_random_length_matches_the_histogram():
    scores = make_scores(2000)
    skewed = scores.with_columns(influence=pl.col("length") + 100 * pl.col("loss"))
    names = ("top_influence", "random_length:top_influence")
    drawn = [draw(skewed, name, 300) for name in names]
    top, matched = (scores.join(coreset, on="seq_id")["length"].sort() for coreset in drawn)
    assert (top - matched).abs().max() <= 10
    assert ids(drawn[0]) != ids(drawn[1])


def test_random_complexity_has_the_low_complexity_of_its_reference():
    """Most of a pool has none at all: ties of a bin are drawn at random."""
    scores = make_scores(2000)
    repetitive = scores.with_columns(influence=pl.col("low_complexity") + pl.col("loss") / 10)
    names = ("top_influence", "random_complexity:top_influence", "random")
    top, matched, random = (
        scores.join(draw(repetitive, name, 500), on="seq_id")["low_complexity"].sort()
        for name in names
    )
    assert matched.len() == top.len()
    assert (top == 0).sum() == (matched == 0).sum() == 0
    assert (top - matched).abs().max() < 0.1
    assert random.mean() < matched.mean() / 2
    # Of a reference without any, as random as random.
    plain = scores.with_columns(influence=pl.col("loss") - 10 * (pl.col("low_complexity") > 0))
    drawn = scores.join(draw(plain, names[1], 500), on="seq_id")
    assert (drawn["low_complexity"] == 0).all()
    assert abs(drawn["loss"].mean() - scores["loss"].mean()) < 0.05
    with pytest.raises(SelectionError, match="1 scores low_complexity are NaN, infinite or miss"):
        draw(repetitive.with_columns(low_complexity=pl.Series([None, *[0.1] * 1999])), names[1], 9)


@pytest.mark.parametrize("by", ["source", "cluster"])
def test_random_groups_has_the_counts_of_its_reference(by):
    scores = make_scores(500)
    groups = make_groups(scores)
    selection = Selection(strategies=["random"], group=by)
    reference = draw(scores, "top_influence", 80)
    asked = selection.request("random_groups:top_influence")
    matched = select(scores, asked, Budget(80), 0, groups, reference)
    counts = [groups.join(c, on="seq_id").group_by(by).len().sort(by) for c in (reference, matched)]
    assert counts[0].equals(counts[1])
    if by == "source":
        assert ids(reference) != ids(matched)


def test_random_kept_is_spread_over_what_cci_keeps():
    scores = make_scores(1000)
    everything = draw(scores, "random_kept", 900)
    top = draw(scores, "top_influence", 100)
    assert not ids(everything) & ids(top)
    some = select(scores, SELECTION.request("random_kept:cci.loss"), Budget(300), 0)
    assert not ids(some) & ids(draw(scores, "loss", 100))


def literal_fill(sizes, budget):
    """The reference code's loop: smallest stratum first, an equal share of what is left."""
    left, counts = sorted(range(len(sizes)), key=lambda i: sizes[i]), [0] * len(sizes)
    while left:
        share = budget // len(left)
        i = left.pop(0)
        counts[i] = min(sizes[i], share)
        budget -= counts[i]
    return counts


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_cci_fills_strata_as_the_reference_does(sizes, data):
    values = np.repeat(np.arange(len(sizes)), sizes).astype(float)
    scores = make_scores(sum(sizes)).with_columns(influence=pl.Series(values))
    budget = data.draw(st.integers(1, sum(sizes)))
    coreset = draw(scores, "cci", budget, prune_hard=0.0, n_strata=max(1, len(sizes)))
    found = np.bincount(coreset["stratum"].to_numpy(), minlength=len(sizes))
    assert found.tolist() == literal_fill(sizes, budget)
    weights = coreset.group_by("stratum").agg(pl.col("weight").sum()).sort("stratum")
    drawn = [float(n) for n, m in zip(sizes, found, strict=True) if m]
    assert weights["weight"].to_list() == pytest.approx(drawn)


def test_cci_by_hand():
    influence = [100.0, 1, 2, 3, 4, 10, 11, 21, 30, 31]  # 100 is dropped; width 10 over 1..31
    scores = make_scores(10).with_columns(influence=pl.Series(influence))
    coreset = draw(scores, "cci", 6, n_strata=3)
    counts = coreset.group_by("stratum").len().sort("stratum").rows()
    # strata hold {1,2,3,4,10}, {11}, {21,30,31}: 1 from the smallest, then 5 // 2 = 2, then 3
    assert counts == [(0, 3), (1, 1), (2, 2)]
    assert dict(coreset.select("stratum", "weight").unique().rows()) == {0: 5 / 3, 1: 1, 2: 1.5}
    dropped = scores.filter(pl.col("influence") == 100)["seq_id"][0]
    assert dropped not in ids(coreset)


def strata_of(values, n_strata, scale, strata, lengths=None, groups=None, prune_hard=0.0):
    n = len(values)
    pool = pl.DataFrame(
        {
            "seq_id": [f"{i:03}" for i in range(n)],
            "length": [50] * n if lengths is None else lengths,
            "score": pl.Series(values, dtype=pl.Float64),
            "hash_rank": np.arange(n, dtype=np.uint64),
            **({} if groups is None else {"group": groups}),
        }
    )
    return (
        pool_strata(pool, prune_hard, n_strata, scale, strata).sort("seq_id")["stratum"].to_list()
    )


@given(st.integers(0, 999), st.integers(1, 3 * 10**7))
@example(290, 100)
@settings(max_examples=300)
def test_a_share_is_pruned_exactly(thousandths, n):
    assert n_pruned(n, thousandths / 1000) == thousandths * n // 1000


@pytest.mark.parametrize("groups", [None, [0] * 100 + [1] * 50])
@pytest.mark.parametrize("hundredths", [7, 28, 29, 57, 58])
def test_strata_drop_what_budgets_expect(hundredths, groups):
    sizes = [150] if groups is None else [100, 50]
    strata = strata_of(range(150), 3, "raw", "equal_width", None, groups, hundredths / 100)
    assert strata.count(PRUNED) == sum(hundredths * n // 100 for n in sizes)
    assert strata.count(PRUNED) == sum(n_pruned(n, hundredths / 100) for n in sizes)


def test_strata_scales():
    values = [1.0, 10.0, 100.0, 1000.0]
    assert strata_of(values, 4, "raw", "equal_width") == [0, 0, 0, 3]
    assert strata_of(values, 4, "log", "equal_width") == [0, 1, 2, 3]
    assert strata_of(values, 4, "rank", "equal_width") == [0, 1, 2, 3]
    assert strata_of(values, 2, "raw", "equal_mass") == [0, 0, 1, 1]
    assert strata_of(np.ones(3), 4, "raw", "equal_width") == [0, 0, 0]
    assert strata_of(np.ones(3), 4, "raw", "equal_mass") == [0, 0, 0]
    with pytest.raises(SelectionError, match="positive"):
        strata_of([0.0, 1.0], 2, "log", "equal_width")


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(1, 9))
def test_equal_mass_cuts_at_the_quantiles(values, n_strata):
    # Exactly: quantile j/K lies at place (n - 1) j/K, between two values by linear interpolation.
    ordered, n = sorted(values), len(values)

    def quantile(j):
        place = Fraction((n - 1) * j, n_strata)
        low = int(place)
        high = min(low + 1, n - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    expected = [sum(quantile(j) <= v for j in range(1, n_strata)) for v in values]
    if len(set(values)) == 1:
        expected = [0] * n
    assert strata_of(values, n_strata, "raw", "equal_mass") == expected


def test_length_rank_compares_sequences_of_one_length():
    values, lengths = [1.0, 2, 3, 101, 102, 103], [80, 80, 80, 30, 30, 30]
    assert strata_of(values, 3, "length_rank", "equal_width", lengths) == [0, 1, 2, 0, 1, 2]
    dropped = strata_of(values, 1, "length_rank", "equal_width", lengths, prune_hard=1 / 3)
    assert dropped == [0, 0, PRUNED, 0, 0, PRUNED]
    pool = draw_pool(make_scores(1000), None, request("cci"), 0)
    rank = pool.select(scaled(pool, "length_rank")).to_series()
    assert 0 < rank.min() < rank.max() < 1
    assert abs(stats.spearmanr(rank, pool["length"]).statistic) < 0.1


@pytest.mark.parametrize("strata", ["equal_width", "equal_mass"])
@pytest.mark.parametrize("scale", ["raw", "log", "rank", "length_rank"])
@pytest.mark.parametrize("name", ["cci", "group_cci", "cluster_cci", "random_kept"])
def test_all_that_cci_keeps_can_be_drawn(name, scale, strata):
    scores = make_scores(90, ties=True)
    options = {"prune_hard": 0.3, "scale": scale, "strata": strata}
    whole = draw(scores, name, 63, **options)
    assert whole["seq_id"].n_unique() == 63
    if name == "cci":
        assert set(whole["weight"]) == {1}
        if scale != "length_rank":
            left = scores.filter(~pl.col("seq_id").is_in(ids(whole)))["influence"]
            kept = scores.filter(pl.col("seq_id").is_in(ids(whole)))["influence"]
            assert left.min() >= kept.max()


def test_strata_inside_groups_are_those_of_each_group_alone():
    values, groups = [1.0, 2, 3, 4, 10, 20, 30, 40], [0, 0, 0, 0, 1, 1, 1, 1]
    for strata in ("equal_width", "equal_mass"):
        alone = [strata_of(v, 3, "raw", strata, prune_hard=0.25) for v in (values[:4], values[4:])]
        both = strata_of(values, 3, "raw", strata, groups=groups, prune_hard=0.25)
        assert both == alone[0] + alone[1]
        assert both.count(PRUNED) == 2


def test_group_cci_shares_the_budget_in_proportion_and_fills_strata_inside():
    scores = make_scores(400)
    groups = pl.DataFrame({"seq_id": scores["seq_id"], "source": ["a"] * 100 + ["b"] * 300})
    coreset = draw(scores, "group_cci", 40, groups=groups)
    for name, expected in (("a", 10), ("b", 30)):
        inside = scores.join(groups.filter(source=name), on="seq_id")
        alone = kept_by(draw_pool(inside, None, request("cci"), 0), CCI)
        sizes = np.bincount(alone["stratum"].to_numpy(), minlength=5).tolist()
        found = coreset.join(inside, on="seq_id")["stratum"].to_numpy()
        assert np.bincount(found, minlength=5).tolist() == literal_fill(sizes, expected)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=25), st.integers(0, 9), st.data())
def test_groups_are_shared_by_weight_up_to_their_sizes(sizes, seed, data):
    sizes = np.array(sizes)
    scores = make_scores(int(sizes.sum()))
    names = np.repeat([f"{i:02}" for i in range(len(sizes))], sizes)
    groups = pl.DataFrame({"seq_id": scores["seq_id"], "source": names})
    budget = data.draw(st.integers(1, scores.height))
    for name, power in (("group_balanced", 0), ("group_sqrt", 0.5)):
        chosen = groups.join(draw(scores, name, budget, seed, groups), on="seq_id")["source"]
        counts = np.bincount(chosen.cast(pl.Int64), minlength=len(sizes))
        assert counts.sum() == budget
        # There is a level at which each has its share of it, rounded up or down, or all it has.
        weights, open_ = sizes**power, counts < sizes
        least = ((counts - 1) / weights).max()
        assert least <= min(((counts + 1) / weights)[open_], default=np.inf) + 1e-9


def test_small_groups_have_their_chance():
    # 900 groups of 1 and 50 of 4, weights 1 and 2, 100 to draw: 0.1 of each and 0.2 of each.
    names = [*(f"a{i}" for i in range(900)), *(f"b{i // 4}" for i in range(200))]
    scores = make_scores(len(names))
    groups = pl.DataFrame({"seq_id": scores["seq_id"], "source": names})
    found = []
    for seed in range(80):
        chosen = groups.join(draw(scores, "group_sqrt", 100, seed, groups), on="seq_id")
        assert chosen["source"].n_unique() == 100
        found.append(chosen["source"].str.starts_with("b").sum())
    assert abs(np.mean(found) - 10) < 1  # the mean's standard error is below 0.35


@settings(max_examples=25)
@given(st.integers(1, 150), st.integers(0, 50), st.data())
def test_balanced_takes_of_every_group_in_turn(n, seed, data):
    scores = make_scores(n, seed)
    groups = make_groups(scores, seed)
    budget = data.draw(st.integers(1, n))
    sizes = groups.group_by("cluster").len().sort("cluster")
    for name in ("cluster_balanced", "cluster_representative"):
        coreset = draw(scores, name, budget, seed, groups)
        counts = sizes.join(
            groups.join(coreset, on="seq_id").group_by("cluster").len("taken"),
            on="cluster", how="left", maintain_order="left",
        ).with_columns(pl.col("taken").fill_null(0))  # fmt: skip
        most = counts["taken"].max()
        # Any group with fewer than the fullest but one has no more to give.
        short = counts.filter(pl.col("taken") < most - 1)
        assert (short["taken"] == short["len"]).all()
    representatives = ids(coreset) & set(groups["cluster"])
    assert len(representatives) == min(budget, sizes.height)


def test_square_root_by_hand():
    sizes = {"a": 1, "b": 4, "c": 16, "d": 100}  # roots 1, 2, 4, 10
    scores = make_scores(121)
    names = [name for name, size in sizes.items() for _ in range(size)]
    groups = pl.DataFrame({"seq_id": scores["seq_id"], "source": names})

    def counts(budget):
        coreset = draw(scores, "group_sqrt", budget, groups=groups)
        drawn = groups.join(coreset, on="seq_id").group_by("source")
        return dict(drawn.len().rows()), coreset

    assert counts(17)[0] == {"a": 1, "b": 2, "c": 4, "d": 10}
    # Level 2 fills a and b asks 4; above it a is full: 2 + 4 + 10 parts share what a leaves.
    assert counts(33)[0] == {"a": 1, "b": 4, "c": 8, "d": 20}
    found, coreset = counts(121)
    assert found == sizes
    assert set(coreset["weight"]) == {1}


def test_every_budget_that_is_too_large_is_named():
    requests = {
        "random": request("random"),
        "cci": request("cci"),
        "cci_half": replace(request("cci", prune_hard=0.5), name="cci_half"),
        "random_length:cci": request("random_length:cci"),
        "decile_3": request("decile_3"),
    }
    counts = np.zeros(41, np.int64)
    counts[[10, 40]] = 15, 10  # 25 sequences of 550 residues
    most = check_budgets(counts, [Budget(1), Budget(3), Budget(30, "residues")], requests)
    sizes = {"random": 25, "cci": 23, "cci_half": 13, "random_length:cci": 23, "decile_3": 3}
    residues = {"random": 550, "cci": 470, "cci_half": 130, "random_length:cci": 470}
    assert {name: found["sequences"] for name, found in most.items()} == sizes
    assert {name: found["residues"] for name, found in most.items()} == residues | {"decile_3": 30}

    def lines(*budgets):
        with pytest.raises(SelectionError) as caught:
            check_budgets(counts, budgets, requests)
        return [line.removeprefix("selection.budgets: ") for line in str(caught.value).split("\n")]

    dropped = "after dropping prune_hard"
    assert [line.split(";")[0] for line in lines(*map(Budget, (3, 4, 14, 24, 26)))] == [
        "26 is larger than the pool of 25 sequences",
        f"24 is larger than the 23 sequences that cci leaves {dropped} = 0.1 of 25",
        f"14 is larger than the 13 sequences that cci_half leaves {dropped} = 0.5 of 25",
        f"24 is larger than the 13 sequences that cci_half leaves {dropped} = 0.5 of 25",
        "4 is larger than the 3 sequences that decile_3, a tenth of the 25, has",
        "14 is larger than the 3 sequences that decile_3, a tenth of the 25, has",
        "24 is larger than the 3 sequences that decile_3, a tenth of the 25, has",
    ]
    assert lines(*(Budget(n, "residues") for n in (31, 471, 1000)))[:3] == [
        "1k residues is larger than the pool of 550 residues",
        f"471 residues is larger than the 470 residues that cci leaves at worst {dropped} = 0.1 of "
        "25; lower either",
        f"471 residues is larger than the 130 residues that cci_half leaves at worst {dropped} = "
        "0.5 of 25; lower either",
    ]
    with pytest.raises(SelectionError, match=r"validate\.budget: 4 is larger .* tenth of the 25"):
        check_budgets(counts, [Budget(4)], {"decile_3": request("decile_3")}, "validate.budget")


@given(st.lists(st.lists(st.integers(1, 50), max_size=9), min_size=1, max_size=4), st.data())
def test_the_shortest_sequences_have_the_least_residues(parts, data):
    counts = length_counts(np.array(part, np.int32) for part in parts)
    lengths = sorted(itertools.chain(*parts))
    n = data.draw(st.integers(0, len(lengths)))
    assert counts.sum() == len(lengths)
    assert least_residues(counts, n) == sum(lengths[:n])


def test_errors():
    scores = make_scores(20)
    with pytest.raises(SelectionError, match="21 is larger than the pool of 20"):
        select(scores, request("random"), Budget(21), 0)
    with pytest.raises(SelectionError, match="19 is larger than the 18 sequences"):
        select(scores, request("cci"), Budget(19), 0)
    with pytest.raises(SelectionError, match="3 is larger than the 2 sequences that decile_0"):
        select(scores, request("decile_0"), Budget(3), 0)
    with pytest.raises(SelectionError, match="unknown strategy 'best'; allowed: top_influence"):
        select(scores, Request("best", "best"), Budget(1), 0)
    with pytest.raises(SelectionError, match="random_tokens:cci needs a reference"):
        select(scores, request("random_tokens:cci"), Budget(1), 0)
    with pytest.raises(SelectionError, match="no score 'luck'; there are: seq_id, length, infl"):
        select(scores, request("cci.luck"), Budget(1), 0)
    with pytest.raises(SelectionError, match="cluster_sqrt needs groups by cluster"):
        select(scores, request("cluster_sqrt"), Budget(1), 0)
    groups = make_groups(scores)
    with pytest.raises(SelectionError, match="groups by source of 19 sequences, scores of 20"):
        select(scores, request("group_sqrt"), Budget(1), 0, groups.head(19))
    with pytest.raises(SelectionError, match="twice"):
        select(pl.concat([scores, scores]), request("random"), Budget(1), 0)
    for bad in (float("nan"), float("inf"), None):
        value = pl.when(pl.int_range(pl.len()) == 3).then(bad).otherwise(pl.col("influence"))
        broken = scores.with_columns(influence=value)
        with pytest.raises(SelectionError, match=f"1 scores influence .*{scores['seq_id'][3]}"):
            select(broken, request("cci"), Budget(1), 0)


WORD = st.text("abz019_", min_size=1, max_size=5)
PART = st.builds("{}{}".format, WORD, WORD.map(".{}".format) | st.just(""))
NAME = st.lists(PART, min_size=1, max_size=3).map(":".join)


BUDGET = st.builds(
    Budget,
    st.integers(1, 10**12)
    | st.builds(lambda n, p: n * 10**p, st.integers(1, 99), st.integers(0, 9)),
    st.sampled_from(["sequences", "residues"]),
)


@given(NAME, BUDGET, st.integers(0, 10**9))
def test_names_are_taken_apart_and_put_together(name, budget, seed):
    assert str(parse(name)) == name
    coreset = coreset_name(name, budget, seed)
    assert parse_coreset(coreset) == (name, budget, seed)
    assert without_seed(coreset) == f"{name}-{budget}"
    assert read_budget(budget.setting) == budget_of(str(budget)) == budget


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (200_000, "200000"),
        ("50M residues", "50Mr"),
        ("50000k residues", "50Mr"),
        ("1.5M residues", "1500kr"),
        ("1500000 residues", "1500kr"),
        ("1234567 residues", "1234567r"),
        ("200000", "200000"),
        ("2G residues", "2Gr"),
        ("0.5k residues", "500r"),
    ],
)
def test_a_budget_has_one_name(setting, text):
    assert str(read_budget(setting)) == text


@pytest.mark.parametrize(
    "bad",
    [0, -1, True, 1.5, None, "0", "-5", "50M", "50Mr", "50 M residues", "0 residues",
     "1.5 residues", "1.2345k residues", "-1 residues", "50m residues", "50M residues "],
)  # fmt: skip
def test_what_is_no_budget_is_refused(bad):
    with pytest.raises(ValueError, match=r"allowed: a number of sequences, .* of residues"):
        read_budget(bad)


def test_names():
    found = parse("random_length:random_groups:cci_hard0.residue")
    assert (found.strategy, found.score) == ("random_length", None)
    assert (parse(found.arg).arg, parse(parse(found.arg).arg).kind) == ("cci_hard0.residue", "cci")
    for bad in ("", "cci.", "cci:", "cci.a.b", "a-b", ":cci", "Cci"):
        with pytest.raises(ValueError, match="no selection's name"):
            parse(bad)
    for bad in ("cci", "cci-1", "cci-1-s", "cci-x-s1", "cci-Mr-s1", "cci-1M-s1"):
        with pytest.raises(ValueError, match="no coreset's name"):
            parse_coreset(bad)
    assert [*map(without_seed, ("untrained-s1", "kmer", "a-small"))] == [
        "untrained",
        "kmer",
        "a-small",
    ]


def masks_of(scores, names, budget):
    return taken(scores["seq_id"], {n: draw(scores, n, budget) for n in names})


def test_overlap():
    scores = make_scores(50)
    coresets = {"a": draw(scores, "random", 10), "b": draw(scores, "top_influence", 20)}
    rows = {row[:2]: row[2:] for row in overlap_matrix(taken(scores["seq_id"], coresets)).rows()}
    shared = len(ids(coresets["a"]) & ids(coresets["b"]))
    assert rows["a", "b"] == rows["b", "a"] == (shared, shared / (30 - shared))
    assert (rows["a", "a"], rows["b", "b"]) == ((10, 1), (20, 1))


def test_drift():
    scores = make_scores(60, ties=True)
    masks = masks_of(scores, ["random", "top_influence"], 10)
    codes = group_codes(make_groups(scores)["source"])
    table = drift(scores, ["length", "influence"], {"source": codes}, masks)
    for name, mask in masks.items():
        row = table.row(by_predicate=pl.col("coreset") == name, named=True)
        chosen = scores.filter(pl.Series(mask))
        assert (row["sequences"], row["residues"]) == (10, chosen["length"].sum())
        for column in ("length", "influence"):
            assert row[f"mean_{column}"] == pytest.approx(chosen[column].mean())
            assert row[f"pool_mean_{column}"] == pytest.approx(scores[column].mean())
            expected = stats.ks_2samp(chosen[column], scores[column]).statistic
            assert row[f"{column}_ks"] == pytest.approx(expected)
        shares = [np.array([(codes[m] == g).mean() for g in range(4)]) for m in (mask, mask | True)]
        assert row["source_tv"] == pytest.approx(abs(shares[0] - shares[1]).sum() / 2)
    assert total_variation(np.array([0, 0, 1, 1]), {"a": np.array([1, 1, 0, 0]) > 0}) == {"a": 0.5}


def test_strata_of_a_signed_score_are_of_its_ranks_where_others_are_of_logarithms():
    scores = make_scores(200).with_columns(target_v=pl.col("influence") - 0.5)
    assert scores.select((pl.col("target_v") <= 0).any()).item()
    masks = masks_of(scores, ["cci.influence"], 40)
    table = stratum_coverage(scores, "target_v", masks, {**CCI, "scale": "log"})
    assert table.equals(stratum_coverage(scores, "target_v", masks, {**CCI, "scale": "rank"}))
    assert set(table["scale"]) == {"rank"}
    positive = stratum_coverage(scores, "influence", masks, {**CCI, "scale": "log"})
    assert set(positive["scale"]) == {"log"}


@pytest.mark.parametrize("score", ["influence", "loss"])
def test_stratum_coverage_adds_up(score):
    scores = make_scores(200)
    names = [f"cci.{score}", f"top_influence.{score}"]
    masks = masks_of(scores, names, 40)
    table = stratum_coverage(scores, score, masks, CCI)
    assert set(table["score"]) == {score}
    totals = table.group_by("coreset").agg(pl.col("pool", "taken").sum())
    assert set(totals.rows()) == {(name, 200, 40) for name in names}
    pruned = table.filter(pl.col("stratum") == PRUNED)
    assert dict(pruned.select("coreset", "taken").rows()) == dict(zip(names, (0, 20), strict=True))
    assert set(pruned["pool"]) == {20}  # prune_hard = 0.1
    cci = table.filter(pl.col("coreset") == names[0], pl.col("stratum") != PRUNED)
    assert dict(cci.select("stratum", "taken").rows()) == dict(
        draw(scores, names[0], 40).group_by("stratum").len().rows()
    )
