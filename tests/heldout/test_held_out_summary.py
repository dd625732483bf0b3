"""Summaries of held-out losses: by hand, against loops, and paired between models."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from coresift.heldout.masks import HeldOutError
from coresift.heldout.summary import (
    HeldOut,
    group_codes,
    read_held_out,
    resample_counts,
    resampled,
    summarise,
)
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.tables import write_table


def rows(n, m, seed=0, groups=3):
    rng = np.random.default_rng(seed)
    return HeldOut(
        tuple(f"m{i}" for i in range(m)),
        rng.integers(1, 40, n).astype(float),
        rng.gamma(2, 0.6, (n, m)),
        rng.random((n, m)),
        {"source": rng.integers(-1, groups, n)},
        np.arange(n),
    )


def test_figures_by_hand():
    held_out = HeldOut(
        ("a", "b"),
        np.array([1.0, 3.0, 4.0]),
        np.array([[2.0, 1.0], [1.0, 1.0], [0.5, 1.0]]),
        np.array([[0.0, 1.0], [1.0, 1.0], [0.25, 1.0]]),
        {"source": np.array([0, 0, 1]), "near": np.array([0, -1, -1])},
        np.arange(3),
    )
    figures = summarise(held_out)
    assert list(figures) == held_out.metrics == ["loss", "macro_source", "macro_near", "accuracy"]
    assert figures["loss"].tolist() == [[(2 + 3 + 2) / 8, 1]]
    assert figures["accuracy"].tolist() == [[(0 + 3 + 1) / 8, 1]]
    assert figures["macro_source"].tolist() == [[((2 + 3) / 4 + 0.5) / 2, 1]]
    assert figures["macro_near"].tolist() == [[2, 1]]


def test_weights_are_repeated_rows_and_a_group_may_be_absent():
    held_out = rows(30, 3)
    counts = next(iter(resample_counts(np.arange(30), 20, seed=4)))
    assert (counts.sum(1) == 30).all()
    counts[0, held_out.groups["source"] == 1] = 0
    figures = summarise(held_out, counts)
    for r, count in enumerate(counts):
        drawn = np.repeat(np.arange(30), count)
        size, loss = held_out.n_masked[drawn], held_out.loss[drawn]
        codes = held_out.groups["source"][drawn]
        macro = [np.average(loss[codes == g], 0, size[codes == g]) for g in range(3) if g in codes]
        if r == 0:  # as in the whole set: a mean over two groups is another figure
            own = held_out.groups["source"] == 1
            macro.append(np.average(held_out.loss[own], 0, held_out.n_masked[own]))
        assert len(macro) == 3
        np.testing.assert_allclose(figures["loss"][r], np.average(loss, 0, size))
        np.testing.assert_allclose(figures["macro_source"][r], np.mean(macro, 0))
        accuracy = np.average(held_out.accuracy[drawn], 0, size)
        np.testing.assert_allclose(figures["accuracy"][r], accuracy)


def test_resamples_are_paired_and_independent_of_the_memory_bound(monkeypatch):
    held_out = rows(50, 2)
    held_out.loss[:, 1] = held_out.loss[:, 0] + 0.25
    values = resampled(held_out, 200, seed=1)
    assert values["loss"].shape == (200, 2)
    np.testing.assert_allclose(values["loss"][:, 1] - values["loss"][:, 0], 0.25)
    monkeypatch.setattr("coresift.heldout.summary._CHUNK", 170)
    for name, again in resampled(held_out, 200, seed=1).items():
        np.testing.assert_allclose(again, values[name], rtol=1e-12)
    # The spread is that of a mean of n sequences.
    held_out.n_masked[:] = 1
    spread = resampled(held_out, 4000, seed=2)["loss"][:, 0].std()
    assert spread == pytest.approx(held_out.loss[:, 0].std() / np.sqrt(50), rel=0.05)


def test_clusters_are_drawn_whole():
    held_out = replace(rows(60, 2), units=np.arange(60) % 6)
    assert held_out.n_units == 6
    counts = np.concatenate([*resample_counts(held_out.units, 50, seed=3)])
    assert (counts == counts[:, held_out.units]).all()  # the first six are one of each
    assert (counts[:, :6].sum(1) == 6).all()
    # Equal sequences are no evidence: the spread is that of as many as there are clusters.
    single = replace(rows(6, 1, seed=1), n_masked=np.ones(6), groups={})
    copied = replace(
        single,
        n_masked=np.ones(60),
        loss=np.tile(single.loss, (10, 1)),
        accuracy=np.tile(single.accuracy, (10, 1)),
        units=np.arange(60) % 6,
    )
    one, many = (resampled(part, 500, seed=2)["loss"] for part in (single, copied))
    np.testing.assert_allclose(many, one, rtol=1e-12)


def test_a_group_of_few_clusters_that_is_not_drawn_adds_no_scatter():
    """Where two models differ by a constant on a group, no resample says otherwise."""
    held_out = rows(120, 2)
    groups = np.repeat([0, 1, 2], [100, 15, 5])
    held_out.loss[:, 1] = held_out.loss[:, 0] + 0.3 * (groups == 2)
    few = replace(
        held_out, groups={"source": groups}, units=np.where(groups == 2, 115, np.arange(120))
    )
    values = resampled(few, 300, seed=1)["macro_source"]
    assert (np.concatenate([*resample_counts(few.units, 300, 1)])[:, -1] == 0).any()
    np.testing.assert_allclose(values[:, 1] - values[:, 0], 0.1, rtol=1e-9)


def test_a_model_without_losses_leaves_the_others_as_they_are():
    held_out = rows(30, 3)
    before = summarise(held_out)
    held_out.loss[:, 1] = held_out.accuracy[:, 1] = np.nan
    for name, values in summarise(held_out).items():
        assert np.isnan(values[:, 1]).all()
        assert (values[:, [0, 2]] == before[name][:, [0, 2]]).all()


def codes(counts, smallest=10):
    labels = [label for label, n in counts.items() for _ in range(n)]
    found = group_codes(pl.Series("size", labels, dtype=pl.String), smallest)
    return {label: set(found[[x == label for x in labels]].tolist()) for label in counts}


def test_small_groups_and_rows_without_one_are_one_group():
    assert codes({"b": 10, "a": 12}) == {"a": {0}, "b": {1}}
    assert codes({"b": 10, "a": 12, "c": 6, None: 4}) == {"a": {0}, "b": {1}, "c": {2}, None: {2}}
    assert codes({"a": 12, "c": 6, "d": 3}) == {"a": {0}, "c": {-1}, "d": {-1}}
    assert codes({"a": 3, "b": 2}) == {"a": {0}, "b": {0}}


@pytest.fixture
def files(tmp_path):
    """Two models' tables of the sets pool and mine, and their groups."""
    ids = [f"{i:032x}" for i in range(25)]
    sets = ["mine"] * 5 + ["pool"] * 20
    paths = {}
    for name in ("a", "b"):
        rng = np.random.default_rng(ord(name))
        frame = pl.DataFrame({"set": sets, "seq_id": ids, "n_masked": range(1, 26)})
        frame = frame.with_columns(loss=pl.Series(rng.random(25)), accuracy=pl.lit(0.5))
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(paths[name], frame, HELD_OUT_LOSS)
    groups = pl.DataFrame(
        {
            "set": sets,
            "seq_id": ids,
            "source": [None] * 5 + ["x"] * 10 + ["y"] * 10,
            "cluster": [None] * 5 + ["d"] * 4 + [f"c{i // 2}" for i in range(16)],
            "near": ["far"] * 25,
        }
    )
    groups.reverse().write_parquet(tmp_path / "groups.parquet")
    return paths, tmp_path / "groups.parquet"


def test_sets_are_read_side_by_side(files):
    losses, groups = files
    found = read_held_out(losses, groups)
    assert list(found) == ["mine", "pool"]
    assert found["mine"].models == ("a", "b")
    assert list(found["mine"].groups) == ["near"]  # a user's file has no source
    assert found["pool"].groups["source"].tolist() == [0] * 10 + [1] * 10
    assert found["mine"].units.tolist() == list(range(5))  # no cluster: each by itself
    assert found["pool"].units.tolist() == [8] * 4 + [i // 2 for i in range(16)]
    assert found["pool"].n_masked.tolist() == list(range(6, 26))
    for i, path in enumerate(losses.values()):
        expected = pl.read_parquet(path)["loss"].to_numpy()
        np.testing.assert_array_equal(found["mine"].loss[:, i], expected[:5])
        np.testing.assert_array_equal(found["pool"].loss[:, i], expected[5:])


def test_tables_of_other_rows_or_masks_are_refused(files):
    losses, groups = files
    table = pl.read_parquet(losses["b"])
    for other in (table.reverse(), table.head(24), table.with_columns(n_masked=pl.lit(1))):
        write_table(losses["b"], other, HELD_OUT_LOSS)
        with pytest.raises(HeldOutError, match=r"b\.parquet: not the rows and masks of .*a\.par"):
            read_held_out(losses, groups)
    write_table(losses["b"], table, HELD_OUT_LOSS)
    pl.read_parquet(groups).head(20).write_parquet(groups)
    with pytest.raises(HeldOutError, match="5 held-out rows are not in it"):
        read_held_out(losses, groups)
