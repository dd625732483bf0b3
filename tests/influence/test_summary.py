"""Summaries of scores: what they go with, how far they agree, their extremes."""

import numpy as np
import polars as pl
import pytest
from coresift.corpus.tables import FEATURE, group_schema
from coresift.influence.errors import ScoreError
from coresift.influence.summary import (
    TRAITS,
    extreme_sequences,
    score_agreement,
    score_summary,
    traits_of,
)
from coresift.tables import write_table


def scores_of(**columns):
    n = len(next(iter(columns.values())))
    rest = dict.fromkeys(("influence", "residue", "loss", "grad_norm", "error_norm"), np.ones(n))
    frame = pl.DataFrame({**rest, **columns})
    return frame.with_columns(seq_id=pl.Series([f"{i:04d}" for i in range(n)]))


def test_every_score_is_held_against_every_trait():
    x = np.arange(50.0)
    scores = scores_of(influence=x**3, target_mine=-x)
    traits = {"length": x, "composition": x % 2, "low_complexity": np.zeros(50)}
    summary = score_summary(scores, ["target_mine"], traits)
    assert summary["sequences"] == 50
    assert summary["influence"]["spearman"]["length"] == pytest.approx(1)
    assert summary["target_mine"]["spearman"]["length"] == pytest.approx(-1)
    expected = pl.DataFrame({"a": x, "b": x % 2}).select(pl.corr("a", "b", method="spearman"))
    got = summary["influence"]["spearman"]
    assert got["composition"] == pytest.approx(expected.item())
    assert got["low_complexity"] is None  # constant
    assert got["cluster_size"] is None  # not known
    assert summary["residue"]["spearman"]["length"] is None
    assert summary["influence"]["quantiles"][3] == pytest.approx(np.median(x**3))


def test_traits_come_from_the_corpus_s_tables(tmp_path):
    scores = scores_of(loss=np.array([1.0, 2.0, 3.0, 4.0]))
    features = scores.select("seq_id").with_columns(
        length=pl.Series([5, 6, 7, 8], dtype=pl.Int32),
        **{name: pl.Series([0.1, 0.2, 0.3, 0.4]) for name in ("composition", "ambiguous")},
        low_complexity=pl.Series([0.0, 0.0, 1.0, 0.0]),
    )
    write_table(tmp_path / "f", features, FEATURE)
    groups = scores.select("seq_id").with_columns(cluster=pl.Series(["a", None, "a", None]))
    write_table(tmp_path / "g", groups, group_schema(["cluster"]))
    traits = traits_of(scores, tmp_path / "f", tmp_path / "g")
    assert set(traits) == set(TRAITS)
    assert traits["cluster_size"].tolist() == [2, 1, 2, 1]
    assert traits["loss"].tolist() == [1, 2, 3, 4]
    assert traits["low_complexity"].tolist() == [0, 0, 1, 0]
    assert "cluster_size" not in traits_of(scores, tmp_path / "f", None)
    with pytest.raises(ScoreError, match="other sequences than the scores'"):
        traits_of(scores[:3], tmp_path / "f", None)


def test_agreement_of_two_scores():
    x = np.arange(30.0)
    scores = scores_of(influence=x, reversed=-x, residue=np.ones(30))
    table = score_agreement(scores, ["influence", "reversed", "residue"], [10, 20, 1000])
    assert table.height == 3 * 2
    first = table.row(0, named=True)
    assert first["spearman"] == pytest.approx(-1)
    assert {k: first[k] for k in ("a", "b", "k")} == {"a": "influence", "b": "reversed", "k": 10}
    assert first["shared"] == 0
    assert table.row(1, named=True)["shared"] == 0.5  # the 20 first and the 20 last of 30
    assert table["spearman"][2] is None
    assert table["shared"].to_list()[2:] == [0, 0.5, 1, 1]  # ties: the first by seq_id


def test_extremes_are_the_ends_of_each_score_as_text(tmp_path):
    x = np.array([3.0, 9.0, 1.0, 9.0, 5.0])
    scores = scores_of(influence=x, residue=-x)
    rows = scores.select("seq_id").with_columns(
        source_ids=pl.Series([[f"a{i}", f"b{i}"] for i in range(5)]),
        length=pl.Series([4 + i for i in range(5)], dtype=pl.Int32),
        sequence=pl.Series(["ACGU" + "A" * i for i in range(5)]),
    )
    rows[:2].write_parquet(tmp_path / "0")
    rows[2:].write_parquet(tmp_path / "1")
    table = extreme_sequences(scores, ["influence", "residue"], [tmp_path / "0", tmp_path / "1"], 2)
    assert table.columns == [
        *("score", "end", "rank", "seq_id", "source_id", "length", "value", "sequence")
    ]
    assert table.select("score", "end", "rank", "value", "source_id").rows() == [
        ("influence", "most", 1, 9.0, "a1"),
        ("influence", "most", 2, 9.0, "a3"),
        ("influence", "least", 1, 1.0, "a2"),
        ("influence", "least", 2, 3.0, "a0"),
        ("residue", "most", 1, -1.0, "a2"),
        ("residue", "most", 2, -3.0, "a0"),
        ("residue", "least", 1, -9.0, "a1"),
        ("residue", "least", 2, -9.0, "a3"),
    ]
    assert table["sequence"][0] == "ACGUA"
    assert table["length"][0] == 5
