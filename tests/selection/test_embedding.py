"""Selections on embeddings: budgets, order, threads, cells; the algorithms: test_neighbours."""

import logging
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from coresift.hashing import uniform_hash
from coresift.selection import embedding
from coresift.selection.cci import draw_cci
from coresift.selection.cells import Embeddings, partition
from coresift.selection.draw import Draw, prefix
from coresift.selection.errors import SelectionError
from coresift.selection.names import Budget
from coresift.selection.neighbours import facility_location, nearest_before
from coresift.selection.request import Request
from coresift.selection.settings import Cci, Embedding, Selection
from coresift.selection.strategies import select
from coresift.settings import plain
from hypothesis import given, settings
from hypothesis import strategies as st

STRATEGIES = {
    "semdedup": embedding.semdedup,
    "facility_location": embedding.facility,
    "k_center": embedding.k_center,
    "d2": embedding.d2,
    "kmeans_cci": embedding.kmeans_cci,
}
OPTIONS = plain(
    Embedding(cell_rows=40, threshold=0.9, neighbours=8, d2_neighbours=4, d2_gamma_reverse=0.3)
) | plain(Cci(n_strata=4, prune_hard=0.0))


def make_pool(n, seed=0, draw_seed=0):
    """A pool in seq_id order with hash ranks, and its embeddings, some of them equal."""
    rng = np.random.default_rng(seed)
    ids = [f"{i:032x}" for i in range(n)]
    ranks = pl.Series(uniform_hash(ids, draw_seed, "select"), dtype=pl.UInt64)
    pool = pl.DataFrame({"seq_id": ids, "hash_rank": ranks, "score": rng.lognormal(size=n)})
    pool = pool.with_columns(length=rng.integers(30, 90, n).astype(np.int32))
    states = rng.normal(size=(n, 6)) + 3
    states[rng.random(n) < 0.2] = states[0]
    return pool, states.astype(np.float16)


def drawn(strategy, pool, states, budget, seed=0, **options):
    budget = Budget(budget) if isinstance(budget, int) else budget
    request = Request(strategy, strategy, options={**OPTIONS, **options})
    rows = STRATEGIES[strategy](Draw(pool, budget, seed, request, states=states))
    return rows["seq_id"].to_list()


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=15)
@given(st.integers(1, 150), st.floats(0, 1), st.integers(0, 9), st.integers(1, 60), st.data())
def test_budgets_are_exact_and_nested(strategy, n, share, seed, cell_rows, data):
    pool, states = make_pool(n, seed)
    budget = max(1, int(share * n))
    chosen = drawn(strategy, pool, states, budget, cell_rows=cell_rows)
    assert len(chosen) == len(set(chosen)) == budget
    assert set(chosen) <= set(pool["seq_id"])
    smaller = data.draw(st.integers(1, budget))
    assert drawn(strategy, pool, states, smaller, cell_rows=cell_rows) == chosen[:smaller]
    lengths = pool["length"].to_numpy()[np.searchsorted(pool["seq_id"].to_numpy(), chosen)]
    residues = Budget(data.draw(st.integers(1, int(lengths.sum()))), "residues")
    found = drawn(strategy, pool, states, residues, cell_rows=cell_rows)
    assert found == chosen[: prefix(residues, lengths)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_seeds_differ(strategy):
    chosen = [drawn(strategy, *make_pool(200, 0, s), 40, s) for s in (0, 1)]
    assert set(chosen[0]) != set(chosen[1])


def test_semdedup_keeps_what_is_apart_then_relaxes():
    pool, states = make_pool(120)
    largest = np.empty(120, np.float32)
    one_cell = {"cell_rows": 120, "centre": False, "threshold": 0.98}
    by_rank = pool["hash_rank"].arg_sort().to_numpy()
    units = states[by_rank].astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    largest[by_rank] = nearest_before(units)
    kept = pool.filter(pl.Series(largest <= 0.98))
    assert 10 < kept.height < 100
    first = drawn("semdedup", pool, states, kept.height, **one_cell)
    assert first == kept.sort("hash_rank")["seq_id"].to_list()
    more = drawn("semdedup", pool, states, kept.height + 9, **one_cell)[kept.height :]
    relaxed = pool.with_columns(like=pl.Series(largest)).filter(pl.Series(largest > 0.98))
    assert more == relaxed.sort("like", "hash_rank")["seq_id"].head(9).to_list()


def test_merged_cells_are_the_greedy_order_of_the_whole():
    """Rows on other axes share no similarity, so cells lose no pair that counts."""
    rng = np.random.default_rng(0)
    states = np.zeros((90, 9), np.float16)
    for cluster in range(3):
        rows, axes = slice(cluster, None, 3), slice(3 * cluster, 3 * cluster + 3)
        states[rows, axes] = [9, 0, 0] + 4 * rng.random((30, 3))
    pool, _ = make_pool(90)
    found = drawn("facility_location", pool, states, 90, cell_rows=60, centre=False)
    by_rank = pool["hash_rank"].arg_sort().to_numpy()
    units = states[by_rank].astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    order, gains = facility_location(units, 8)
    distinct = np.append(True, np.diff(gains) < 0) & np.append(np.diff(gains) < 0, True)
    expected = pool["seq_id"].to_numpy()[by_rank[order]]
    assert distinct.sum() > 30
    assert np.array(found)[distinct].tolist() == expected[distinct].tolist()


@given(st.lists(st.lists(st.integers(-3, 5), min_size=1, max_size=8), min_size=1, max_size=5))
def test_merging_takes_the_largest_that_is_next(values):
    sizes = [len(v) for v in values]
    rows = np.arange(sum(sizes))
    orders = np.split(rows, np.cumsum(sizes)[:-1])
    merged = embedding.merge_orders(
        orders, [np.array(v, float) for v in values], rows.astype(np.uint64)
    )
    flat, lists = np.concatenate(values), [list(order) for order in orders]
    for row in merged:
        heads = [remaining[0] for remaining in lists if remaining]
        assert row in heads
        assert flat[row] == max(flat[heads])
        next(r for r in lists if r and r[0] == row).pop(0)
    assert sorted(merged) == rows.tolist()


def test_kmeans_cci_is_cci_in_cells():
    pool, states = make_pool(160)
    one = drawn("kmeans_cci", pool, states, 40, cell_rows=160)
    options = plain(Cci(n_strata=4, prune_hard=0.0))
    assert set(one) == set(
        draw_cci(Draw(pool, Budget(40), 0, Request("cci", "cci", options=options)))["seq_id"]
    )
    cells = partition(Embeddings(states, True), pool["hash_rank"].to_numpy(), 40, 0)
    chosen = np.isin(pool["seq_id"].to_numpy(), drawn("kmeans_cci", pool, states, 40))
    shares = [chosen[cell].sum() - len(cell) / 4 for cell in cells]
    assert len(cells) > 4
    assert np.abs(shares).max() < 1  # a quarter of each, rounded down or up


def test_d2_raises_scores_below_zero():
    pool, states = make_pool(60)
    raised = pool.with_columns(score=pl.col("score") - pl.col("score").min())
    lowered = pool.with_columns(score=raised["score"] - 5.0)
    expected = drawn("d2", raised, states, 60)
    assert drawn("d2", lowered, states, 60)[:20] == expected[:20]


def test_what_does_not_fit_is_an_error(caplog):
    caplog.set_level(logging.INFO)
    pool, states = make_pool(30)
    with pytest.raises(SelectionError, match="30 sequences in the pool, 29 embeddings"):
        drawn("k_center", pool, states[1:], 5)
    with pytest.raises(SelectionError, match="d2 needs the embeddings"):
        drawn("d2", pool, None, 5)
    drawn("d2", pool, states, 5, cell_rows=7)
    assert "30 rows in" in caplog.text


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_the_scores_does_not_matter(strategy):
    pool, states = make_pool(150)
    scores = pool.select("seq_id", "length", influence="score")
    selection = Selection(strategies=[strategy], embedding={"cell_rows": 50})
    request = selection.request(strategy)
    assert selection.reads_states
    assert request.score == ("influence" if strategy in ("d2", "kmeans_cci") else None)
    coreset = select(scores, request, Budget(40), 0, states=states)
    shuffled = scores.sample(fraction=1, shuffle=True, seed=1)
    assert select(shuffled, request, Budget(40), 0, states=states).equals(coreset)
    assert coreset.height == 40
    with pytest.raises(SelectionError, match="needs the embeddings"):
        select(scores, request, Budget(40), 0)


THREADS = """
import sys
sys.path.insert(0, {folder!r})
from test_embedding import STRATEGIES, drawn, make_pool
pool, states = make_pool(3000)
print([drawn(s, pool, states, 900, cell_rows=700) for s in STRATEGIES])
"""


def test_threads_change_nothing(tmp_path):
    folder = os.path.dirname(__file__)
    found = set()
    for threads in ("1", "3"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        done = subprocess.run(
            [sys.executable, "-c", THREADS.format(folder=folder)],
            env={**os.environ, **dict.fromkeys(names, threads)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1
