"""The corpus rules of the real Snakefile with the optional stages on."""

import json
import shutil

import polars as pl
import pytest
from coresift.corpus.fasta import read_fasta

pytestmark = pytest.mark.workflow


def test_mmseqs_decontamination_and_clusters_by_the_rules(root, tmp_path, run_rules):
    if shutil.which("mmseqs") is None:
        pytest.skip("needs mmseqs on PATH (Debian package mmseqs2)")
    demo = root / "resources/demo"
    leaks = pl.read_csv(demo / "planted_leaks.tsv", separator="\t")["pool_id"].to_list()
    records = list(read_fasta(demo / "rna_2.fasta.gz"))
    kept = [r for r in records if r[1].split()[0] in set(leaks)] + records[:300]
    for name, rows in (("a", kept[::2]), ("b", kept[1::2])):
        text = "".join(f">{header}\n{sequence}\n" for _, header, sequence in rows)
        (tmp_path / f"{name}.fasta").write_text(text)
    data = {
        "path": str(demo / "rna_tasks.fasta.gz"),
        "label_regex": r"domain=(\S+)",
        "split_regex": r"split=(\S+)",
    }
    config = {
        "run": "r",
        "modality": "rna",
        "corpus": {
            "fasta": ["a.fasta", "b.fasta"],
            "blocks": 8,
            "buckets": 2,
            "cluster": {"threads": 2},
        },
        "heldout": {"share": 0.2},
        "decontaminate": {"method": "mmseqs2", "identity": 0.95},
        "tasks": {"domain": {"kind": "class", "data": data}},
    }
    targets = ("corpus/summary.json", "corpus/groups.parquet", "heldout/groups.parquet")
    done = run_rules(config, *(f"results/r/{path}" for path in targets))
    assert done.returncode == 0, done.stderr[-4000:]
    out = tmp_path / "results/r/corpus"
    summary = json.loads((out / "summary.json").read_text())
    pool = pl.concat(map(pl.read_parquet, sorted((out / "pool/corpus").glob("*.parquet"))))
    removed = pl.read_parquet(out / "removed.parquet")
    assert not set(leaks) & set(pool["source_ids"].explode())
    assert removed.height == summary["removed"] >= 60
    assert removed["identity"].min() >= 0.95
    clusters = pl.read_parquet(out / "clusters.parquet")
    heldout = pl.concat(map(pl.read_parquet, sorted((out / "heldout/corpus").glob("*.parquet"))))
    clean = sorted([*pool["seq_id"], *heldout["seq_id"]])
    assert clusters["seq_id"].to_list() == clean
    assert clusters["cluster_id"].n_unique() < len(clean)
    # Whole clusters are held out, and the groups of the pool are those of its clusters.
    of = dict(clusters.rows())
    assert {of[i] for i in heldout["seq_id"]}.isdisjoint(of[i] for i in pool["seq_id"])
    assert 0 < summary["held_out"]["sequences"] == heldout.height < len(clean) / 2
    groups = pl.read_parquet(out / "groups.parquet")
    assert groups.select("seq_id", "cluster").rows() == [(i, of[i]) for i in pool["seq_id"]]
    tested = pl.read_parquet(tmp_path / "results/r/heldout/groups.parquet")
    assert tested.select("seq_id", "cluster").rows() == [(i, of[i]) for i in heldout["seq_id"]]
