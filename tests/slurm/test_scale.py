"""One job on a node that takes in 10,000 shards: no command line may grow with their number."""

import importlib
import shutil
import subprocess

import polars as pl
import pytest
import yaml
from cluster import Cluster
from coresift.corpus.tables import SEQUENCE
from coresift.influence.tables import SCORE
from coresift.tables import read_table, write_table
from test_slurm import SNAKEMAKE
from test_slurm import pytestmark as pytestmark  # these tests' too

SHARDS = 10_000


@pytest.fixture
def dag(root, monkeypatch):
    """The benchmark that fabricates a finished run."""
    monkeypatch.syspath_prepend(root / "benchmarks/dag")
    return importlib.import_module("run")


def test_merge_takes_in_every_shard(dag, tmp_path):
    dag.copy_project(tmp_path)
    config = dag.big_config(SHARDS)
    (tmp_path / "big.yaml").write_text(yaml.safe_dump(config))
    dag.snakemake(tmp_path, str(dag.ROOT / "benchmarks/dag/fabricate.py"))
    out = tmp_path / "results/big"
    rows = pl.DataFrame({"seq_id": [f"{i:032x}" for i in range(100)], "length": 30})
    scores = rows.with_columns(
        pl.int_range(pl.len()).cast(pl.Float64).alias(name)
        for name in ("influence", "residue", "loss", "grad_norm", "error_norm")
    ).with_columns(n_tokens=30)
    pool = rows.with_columns(
        sequence=pl.lit("ACGUAC" * 5), block=0, n_copies=1, n_windows=0, source_ids=pl.lit(["a"])
    )
    for folder, frame, schema in (
        ("corpus/pool/corpus", pool, SEQUENCE),
        (f"influence/scores/{SHARDS}", scores, SCORE),
    ):
        whole, empty = tmp_path / "whole.parquet", tmp_path / "empty.parquet"
        write_table(whole, frame, schema)
        write_table(empty, frame.clear(), schema)
        for path in (out / folder).glob("*.parquet"):
            shutil.copy(whole if path.stem == "0" else empty, path)
    for path in (out / f"cropped/score/{SHARDS}").glob("*.json"):
        path.touch()  # written with the scores: as new as they are
    (out / "influence/scores.parquet").unlink()
    with Cluster() as cluster:
        done = subprocess.run(
            [*SNAKEMAKE, "--configfile", "big.yaml", "--rerun-triggers", "mtime", "--retries", "0",
             "--", "results/big/influence/scores.parquet"],
            cwd=tmp_path, env=cluster.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert "rule merge:" in done.stderr
    assert "rule score:" not in done.stderr
    assert read_table(out / "influence/scores.parquet", SCORE).height == 100
