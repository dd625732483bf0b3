"""Greedy orders of a cell against brute force on the full matrices; cells that hold every row."""

import numpy as np
import pytest
from coresift.selection.cells import Embeddings, partition
from coresift.selection.neighbours import (
    facility_location,
    farthest_first,
    message_passing,
    nearest_before,
    nearest_neighbours,
    on_grid,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def unit_rows(n, d=8, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def circle(*degrees):
    angles = np.deg2rad(degrees)
    return np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32)


def test_semantic_duplicates_by_hand():
    # The centroid is near 35 degrees: from the outermost in they come as 90, 88, 0, 1, 20, 21.
    units = circle(0, 1, 20, 21, 88, 90)
    to_nearest_before = np.array([88, 1, 19, 1, 2])  # degrees, of all but 90
    found = nearest_before(units)
    assert found[5] == -2
    np.testing.assert_allclose(found[:5], np.cos(np.deg2rad(to_nearest_before)), atol=1e-6)


def test_semantic_duplicates_as_the_published_code(monkeypatch):
    """The upper triangle of the whole matrix, rows by rising cosine with the centroid."""
    monkeypatch.setattr("coresift.selection.neighbours.CHUNK", 7)
    units = unit_rows(50, 3)
    order = np.argsort(units @ units.mean(0), kind="stable")
    cosines = units[order] @ units[order].T
    largest = np.where(np.triu(np.ones_like(cosines), 1) > 0, cosines, -2).max(0)
    np.testing.assert_allclose(nearest_before(units)[order], largest, atol=1e-6)


def test_neighbours_are_the_most_similar_others():
    units = unit_rows(40)
    units[7] = units[3]
    cosines = units.astype(float) @ units.T.astype(float)
    np.fill_diagonal(cosines, -np.inf)
    rows, found = nearest_neighbours(units, 5)
    assert not (rows == np.arange(40)[:, None]).any()
    np.testing.assert_allclose(found, -np.sort(-cosines, 1)[:, :5], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, rows, 1), found, atol=1e-6)
    few, _ = nearest_neighbours(units[:3], 5)
    assert few.shape == (3, 2)
    alone, _ = nearest_neighbours(units[:1], 5)
    assert alone.shape == (1, 0)
    equal, found = nearest_neighbours(np.repeat(units[:1], 9, 0), 3)
    assert equal.shape == (9, 3)
    assert not (equal == np.arange(9)[:, None]).any()
    np.testing.assert_allclose(found, 1, atol=1e-6)


def test_farthest_first_is_greedy_k_centre():
    units = unit_rows(40, 3)
    apart = ((units[:, None].astype(float) - units[None]) ** 2).sum(-1)
    chosen, radii = [0], [np.inf]
    while len(chosen) < 40:
        nearest = apart[:, chosen].min(1)
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        radii.append(nearest.max())
    order, found = farthest_first(units)
    assert order.tolist() == chosen
    np.testing.assert_allclose(found, radii, atol=1e-5)
    same, zeros = farthest_first(np.repeat(units[:1], 5, 0))
    assert same.tolist() == [0, 1, 2, 3, 4]
    assert (zeros[1:] < 1e-6).all()


@pytest.mark.parametrize("k", [4, 29])
def test_facility_location_is_greedy_on_the_similarities(k):
    units = unit_rows(30, 4)
    rows, cosines = nearest_neighbours(units, k)
    similar = np.eye(30)
    np.put_along_axis(similar, rows, on_grid(cosines).clip(0), 1)
    chosen, gains, value = [], [], 0.0
    for _ in range(30):
        rest = [j for j in range(30) if j not in chosen]
        values = [similar[:, [*chosen, j]].max(1).sum() for j in rest]
        best = int(np.argmax(values))
        chosen.append(rest[best])
        gains.append(values[best] - value)
        value = values[best]
    order, found = facility_location(units, k)
    assert order.tolist() == chosen  # of equal gains the first, as argmax takes it
    assert found.tolist() == gains
    if k == 29:  # the whole matrix
        np.testing.assert_allclose(similar, (units @ units.T).clip(0), atol=1e-6)


def test_message_passing_is_the_papers():
    rng, k, forward, reverse = np.random.default_rng(1), 3, 1.0, 0.3
    units, scores = unit_rows(25, 3), rng.random(25)
    apart = np.sqrt(((units[:, None].astype(float) - units[None]) ** 2).sum(-1))
    edges = np.zeros((25, 25), bool)
    for i in range(25):
        edges[i, np.argsort(apart[i])[1 : k + 1]] = True
    edges |= edges.T
    x = np.array(
        [scores[i] + (np.exp(-forward * apart[i]) * scores)[edges[i]].sum() for i in range(25)]
    )
    chosen, values = [], []
    for _ in range(25):
        i = max((j for j in range(25) if j not in chosen), key=lambda j: x[j])
        chosen.append(i)
        values.append(x[i])
        for j in np.flatnonzero(edges[i]):
            x[j] -= np.exp(-reverse * apart[i, j]) * x[i]
    order, found = message_passing(units, scores, k, forward, reverse)
    assert order.tolist() == chosen
    np.testing.assert_allclose(found, values, atol=1e-5)


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 9), st.booleans())
def test_cells_hold_every_row_once_and_no_more_than_they_may(n, cell_rows, seed, equal):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 4)).astype(np.float16)
    if equal:
        rows[n // 4 :] = rows[0]
    ranks = rng.integers(0, 2**63, n).astype(np.uint64)
    cells = partition(Embeddings(rows, True), ranks, cell_rows, seed)
    assert sorted(np.concatenate(cells)) == list(range(n))
    assert all(0 < len(cell) <= cell_rows for cell in cells)
    assert all((np.diff(ranks[cell].astype(np.int64)) > 0).all() for cell in cells)


def test_cells_keep_clusters_together():
    rng = np.random.default_rng(0)
    centres = unit_rows(4, 16)
    labels = rng.integers(0, 4, 400)
    rows = (centres[labels] + 0.01 * rng.normal(size=(400, 16))).astype(np.float16)
    ranks = rng.integers(0, 2**63, 400).astype(np.uint64)
    for cell in partition(Embeddings(rows, False), ranks, 150, 0):
        assert len(set(labels[cell])) == 1


def test_embeddings_are_unit_rows_mapped_or_not(tmp_path):
    rows = np.random.default_rng(0).normal(3, 1, size=(3000, 5)).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    mapped = Embeddings(np.load(tmp_path / "rows.npy", mmap_mode="r"), True)
    whole = Embeddings(rows, True)
    some = np.array([5, 2999, 7, 6])
    expected = rows[some] - rows.astype(float).mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(whole.unit(some), expected, atol=1e-5)
    assert np.array_equal(whole.unit(some), mapped.unit(some))
    assert mapped.shape == (3000, 5)
    raw = Embeddings(np.concatenate([np.zeros((1, 5), np.float16), rows]), False).unit(
        np.array([0, 1])
    )
    np.testing.assert_allclose(np.linalg.norm(raw, axis=1), [0, 1], atol=1e-6)
