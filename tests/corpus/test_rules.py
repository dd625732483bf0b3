"""The corpus rules of the real Snakefile with the optional stages on."""

import json
import re
import shutil

import polars as pl
import pytest
from coresift.corpus.fasta import read_fasta

pytestmark = pytest.mark.workflow


@pytest.mark.long
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
    new = "".join(f">{header}\n{sequence}\n" for _, header, sequence in records[300:310])
    (tmp_path / "new.fasta").write_text(new)
    (tmp_path / "t.csv").write_text(f"id,group\n{records[1][1].split()[0]},one\n")
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
            "groups": {"subunit": {"regex": r"(\d+S) "}, "few": {"table": "t.csv"}},
        },
        "heldout": {"share": 0.2, "files": {"new": "new.fasta"}},
        "subset": {"fasta": ["a.fasta"], "size": 20},
        "decontaminate": {"method": "mmseqs2", "identity": 0.95},
        "tasks": {"domain": {"kind": "class", "data": data}},
    }
    targets = (
        *("corpus/summary.json", "corpus/groups.parquet", "heldout/groups.parquet"),
        "influence/subset.parquet",
    )
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
    of_pool = tested.filter(set="pool")
    assert of_pool.select("seq_id", "cluster").rows() == [(i, of[i]) for i in heldout["seq_id"]]
    assert tested.filter(set="new").height == 10
    assert tested.columns[2:] == ["source", "cluster", "few", "subunit", "length_bin", "near"]
    counts = json.loads((out / "groups.json").read_text())
    assert counts["source"] == {"groups": 2, "without": 0}
    assert counts["few"] == {"groups": 1, "without": pool.height - 1}
    subunits = dict(groups.select("seq_id", "subunit").rows())
    headers = {r[1].split()[0]: re.search(r"(\d+S) ", r[1]) for r in kept}
    for seq_id, names in pool.select("seq_id", "source_ids").rows():
        if len(names) == 1:
            found = headers[names[0]]
            assert subunits[seq_id] == (found and found[1])
    # Set base, of one file, holds out the same sequences: its clusters are the corpus's.
    base, base_apart = (
        set(pl.concat(map(pl.read_parquet, (out / folder).glob("*.parquet")))["seq_id"])
        for folder in ("pool/base", "heldout/base")
    )
    assert base_apart == (base | base_apart) & set(heldout["seq_id"]) != set()
    assert base < set(pool["seq_id"])
    assert set(pl.read_parquet(tmp_path / "results/r/influence/subset.parquet")["seq_id"]) <= base


def test_held_out_files_are_in_the_order_of_their_names(tmp_path, run_rules):
    for name in ("a", "h1", "h2", "h3"):
        (tmp_path / f"{name}.fa").write_text(f">{name}\n{'ACGU' * 9}\n")
    config = """
        {run: r, modality: rna, corpus: {fasta: [a.fa]},
        heldout: {files: {y: h1.fa, x: h3.fa, z: h2.fa}}}
    """
    done = run_rules(config, "-n", "results/r/heldout/sets.parquet")
    inputs = re.search(r"rule heldout_sets:\n    input: (.*)", done.stdout + done.stderr)[1]
    assert inputs.endswith("h3.fa, h1.fa, h2.fa")
