"""Results by identity: each bin's figures are those of its examples; who is warned."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from coresift.report.identity import write_by_identity
from coresift.report.seen import leakage, wide_by_identity
from coresift.report.tables import BY_IDENTITY, SEEN, read_csv
from coresift.tasks.tables import BINS


def test_a_bin_has_the_metric_of_its_own_examples(written):
    table = read_csv(written.out.by_identity, BY_IDENTITY)
    members = {"above_80": range(0, 70, 2), "50_to_80": range(70, 80, 2), "none": range(80, 200, 2)}
    paths = [p for p in written.files.predictions if p.name.startswith("cci-10-s")]
    for name, distinct in members.items():
        row = table.filter(selection="cci-10", against="pool", bin=name).row(0, named=True)
        seeds = []
        for path in paths:
            own = pl.read_parquet(path).filter(pl.col("distinct").is_in(list(distinct)))
            seeds.append((own["target"] == own["prediction"]).mean())
        assert (row["n"], row["metric"]) == (len(distinct), "accuracy")
        assert row["mean"] == pytest.approx(np.mean(seeds))
        assert (row["low"] is None) == (name == "50_to_80")  # 5 examples
        assert row["low"] is None or row["low"] < row["mean"] < row["high"]
    assert table.filter(against="train")["bin"].unique().to_list() == ["none"]
    rows = {name for _, name in written.params.cells if name == "kmer" or name.endswith("-s0")}
    assert table["selection"].n_unique() == len(rows)


def test_a_bin_of_all_examples_is_the_result(written):
    row = read_csv(written.out.by_identity, BY_IDENTITY).filter(
        selection="kmer", against="train", bin="none"
    )
    path = written.files.predictions[-1]
    own = pl.read_parquet(path).filter(pl.col("distinct") % 2 == 0)
    assert row["mean"][0] == pytest.approx((own["target"] == own["prediction"]).mean())
    assert json.loads(written.files.metrics[-1].read_text())["primary"] == row["metric"][0]


def test_more_than_a_hundredth_seen_is_a_warning(written):
    seen = read_csv(written.out.seen, SEEN)
    assert seen.rows() == [
        ("toy", "quick", "pool", 100, 60, 0, 5, 35, 3, 0.95),
        ("toy", "quick", "train", 100, 100, 0, 0, 0, 0, 0.95),
    ]
    (line,) = leakage(seen)
    assert line.startswith(
        "toy (quick): 3.0% of test (3 of the 100 examples compared) are in the pool at 95% "
        "identity or more"
    )
    assert leakage(seen.with_columns(seen=pl.lit(1))) == []


def test_the_wide_table_has_every_bin_in_order(written):
    table = wide_by_identity(read_csv(written.out.by_identity, BY_IDENTITY))
    assert table.columns == ["task", "protocol", "against", "selection", "metric", *BINS]
    row = table.filter(selection="kmer", against="pool").row(0, named=True)
    assert row["below_50"] == ""
    assert row["50_to_80"].endswith("00 (5)")
    assert "] (60)" in row["none"]


def test_identities_of_other_examples_are_refused(written, tmp_path):
    table = pl.read_parquet(written.files.identities[0])
    moved = table.with_columns(example_id=pl.col("example_id").shift(-1, fill_value="0"))
    moved.write_parquet(tmp_path / "moved.parquet")
    files = SimpleNamespace(**vars(written.files))
    files.identities = [tmp_path / "moved.parquet", written.files.identities[1]]
    with pytest.raises(ValueError, match=r"'2' has an identity and the number 0, which is '0'"):
        write_by_identity(files, written.params, written.out)


def test_an_example_of_which_no_label_is_read_has_no_result(written, tmp_path):
    """A residue task's, all of whose known residues lie beyond what is read."""
    table = pl.read_parquet(written.files.identities[0])
    last = table.tail(1).with_columns(
        distinct=pl.lit(9717).cast(table.schema["distinct"]), example_id=pl.lit("u")
    )
    pl.concat([table, last]).write_parquet(tmp_path / "more.parquet")
    files = SimpleNamespace(**vars(written.files))
    files.identities = [tmp_path / "more.parquet", written.files.identities[1]]
    out = SimpleNamespace(seen=tmp_path / "seen.csv", by_identity=tmp_path / "by.csv")
    write_by_identity(files, written.params, out)
    assert out.by_identity.read_text() == written.out.by_identity.read_text()
