"""Planted leaks are taken out of the demo's pool, with the demo's own settings."""

import shutil

import polars as pl
import pytest
import yaml
from coresift.config import load_config
from coresift.corpus.decontaminate import ExampleIndex, contaminated
from coresift.corpus.dedup import deduplicate
from coresift.corpus.ingest import ingest
from coresift.corpus.mmseqs import similar
from coresift.corpus.normalise import Limits
from coresift.corpus.settings import source_name
from coresift.corpus.tables import REJECT
from coresift.tables import read_tables
from coresift.tasks.data import protected_examples


@pytest.fixture(scope="module")
def demo(root, tmp_path_factory):
    """Demo config, distinct sequences and ids of rejected records of the demo files."""
    config = load_config(yaml.safe_load((root / "config/demo.yaml").read_text()))
    corpus, folder = config.corpus, tmp_path_factory.mktemp("demo")
    limits = Limits(corpus.min_length, corpus.max_length, corpus.max_ambiguous)
    parts, rejects = [], []
    for i, path in enumerate(corpus.fasta):
        parts.append([folder / f"{i}-{b}.arrow" for b in range(corpus.buckets)])
        rejects.append(folder / f"{i}-rejects.parquet")
        ingest(
            root / path, source_name(path), parts[i], rejects[i], config.modality, limits,
            corpus.blocks, corpus.chunk_bytes,
        )  # fmt: skip
    distinct = [
        pl.DataFrame(deduplicate(bucket, corpus.blocks)) for bucket in zip(*parts, strict=True)
    ]
    return config, pl.concat(distinct), set(read_tables(rejects, REJECT)["source_id"])


@pytest.mark.parametrize("method", ["kmer", "mmseqs2"])
def test_all_planted_leaks_are_removed(root, demo, monkeypatch, method):
    if method == "mmseqs2" and shutil.which("mmseqs") is None:
        pytest.skip("needs mmseqs on PATH (Debian package mmseqs2)")
    config, distinct, rejected = demo
    monkeypatch.chdir(root)
    leaks = pl.read_csv(root / "resources/demo/planted_leaks.tsv", separator="\t")["pool_id"]
    assert leaks.n_unique() == 60
    found = distinct.explode("source_ids").filter(pl.col("source_ids").is_in(leaks.implode()))
    assert set(leaks) - set(found["source_ids"]) <= rejected
    tasks = [task for task in config.tasks.values() if not task.optional]
    options = config.decontaminate
    examples = protected_examples(tasks, options.splits, config.modality)
    if method == "kmer":
        limits = options.kmer_limits(config.modality)
        index = ExampleIndex.build(examples, limits.k)
        removed = contaminated(distinct, index, limits.containment, limits.least)
    else:
        limits = options.identity, options.coverage
        removed = similar(distinct, examples, config.modality, *limits, threads=2)
        assert removed["identity"].min() >= options.identity
    assert set(found["seq_id"]) <= set(removed["seq_id"])
    pool = distinct.join(removed, on="seq_id", how="anti")
    assert not set(leaks) & set(pool["source_ids"].explode())
    assert pool.height == distinct.height - removed.height > 0
