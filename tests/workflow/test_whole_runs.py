"""Whole runs that end like an undisturbed one: kills, other cuts, another base, proteins."""

import gzip
import os
import re
import shutil
import signal
import subprocess
import time
from itertools import combinations

import polars as pl
import psutil
import pytest
from coresift.corpus.fasta import read_fasta
from project import small_config, touch_all

pytestmark = pytest.mark.workflow


def start_scoring(project, *arguments):
    """Score the finished project's pool anew; returns when the first block is on disk."""
    out = project.folder / "results/small"
    for path in ("influence/scores", "work/scores", "coresets"):
        shutil.rmtree(out / path)
    (out / "influence/scores.parquet").unlink()
    process = subprocess.Popen(
        project.command(small_config(), *arguments),
        cwd=project.folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cache = out / "work/scores"
    deadline = time.monotonic() + 300
    while not list(cache.rglob("*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    "victim",
    ["all", *(pytest.param(part, marks=pytest.mark.long) for part in ("job", "snakemake"))],
)
def test_a_run_killed_in_scoring_completes_with_equal_bytes(own_project, victim):
    names = (
        "influence/scores.parquet",
        "coresets/*/*.parquet",
        "coresets/*/ids.txt",
        "coresets/*/windows.bed",
        "coresets/*.csv",
    )
    finished = own_project.digests("small", names)
    process = start_scoring(own_project, "coreset")
    if victim == "all":
        os.killpg(process.pid, signal.SIGKILL)  # snakemake and its jobs
        process.wait()
    elif victim == "job":
        children = psutil.Process(process.pid).children(recursive=True)
        jobs = [c for c in children if any(a.endswith(".score.py") for a in c.cmdline())]
        assert jobs
        jobs[0].kill()
        assert process.wait(timeout=120) != 0
    else:
        process.kill()  # its jobs are orphans now, and go on writing
        process.wait()
    assert not (own_project.folder / "results/small/influence/scores.parquet").exists()
    own_project.run(small_config(), "coreset")
    assert own_project.digests("small", names) == finished


@pytest.mark.long
def test_shards_and_buckets_do_not_change_a_byte(project):
    config = small_config()
    config["run"] = "cut"
    config["corpus"] |= {"buckets": 3, "fasta": ["b.fasta", "a.fasta"]}
    config["influence"] |= {"shards": 3, "fisher_shards": 2}
    config["influence"]["variants"] = {"norm": {"curvature": "identity"}}
    config["influence"]["targets"] = {"domains": {"task": "domain"}}
    project.run(config, "scores")
    cut, small = (
        pl.read_parquet(project.folder / f"results/{run}/influence/scores.parquet")
        for run in ("cut", "small")
    )
    assert cut.columns == [*small.columns, "norm", "target_domains"]
    assert cut.select(small.columns).equals(small)
    agreement = pl.read_csv(project.folder / "results/cut/influence/agreement.csv")
    pairs = combinations(["influence", "residue", "norm", "target_domains"], 2)
    assert agreement.select("a", "b", "k").rows() == [(a, b, 40) for a, b in pairs]


@pytest.mark.long
def test_a_checkpoint_by_path_is_the_base(own_project):
    project, config = own_project, small_config()
    names = ("influence/scores.parquet",)
    before = project.digests("small", names)
    base = project.folder / "given"
    shutil.copytree(project.folder / "results/small/models/top_influence-40-s0/checkpoint", base)
    config["base"] = {"checkpoint": "given"}
    assert "base" not in project.planned(config, "scores")
    project.run(config, "scores")
    touch_all(base)
    assert project.planned(config, "scores") == set()
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    planned = project.planned(config, "scores")
    assert {"finetune", "fisher_part", "score"} <= planned
    assert "subset" not in planned
    assert project.digests("small", names) != before
    config |= {"run": "wrong", "modality": "protein", "tasks": {}, "subset": {"size": 40}}
    config["corpus"]["fasta"] = ["resources/demo/protein_1.fasta.gz"]
    done = project.run(config, "scores", check=False)
    assert "the checkpoint's vocabulary has no token for" in done.stdout + done.stderr


@pytest.mark.long
def test_proteins_take_the_same_rules(project):
    config = small_config()
    records = list(read_fasta(project.folder / "resources/demo/protein_1.fasta.gz"))[:80]
    text = "".join(f">{header}\n{sequence}\n" for _, header, sequence in records)
    (project.folder / "p.faa").write_text(text)
    config |= {"run": "protein", "modality": "protein", "tasks": {}}
    config["corpus"] = {"fasta": ["p.faa"], "blocks": 8, "buckets": 2}
    config["subset"] = {"size": 20}
    config["selection"] |= {"strategies": ["cci"], "budgets": [20]}
    config["selection"]["controls"] = ["random_length", "random_complexity"]
    project.run(config, "coreset")
    out = project.folder / "results/protein"
    matched = pl.read_parquet(out / "coresets/random_complexity:cci-20-s0/coreset.parquet")
    assert matched.height == 20
    cards = {
        name: (out / f"coresets/{name}-20-s0/README.md").read_text()
        for name in ("random_complexity:cci", "random_length:cci")
    }
    assert ["\n| features | `" in card for card in cards.values()] == [True, False]
    with gzip.open(out / "coresets/cci-20-s0/coreset.fasta.gz", "rt") as handle:
        names = [line[1:].split()[0] for line in handle if line.startswith(">")]
    assert len(set(names)) == 20
    records_of = {re.sub(r"/\d+-\d+$", "", name) for name in names}  # of windows, too
    assert records_of <= {header.split()[0] for _, header, _ in records}
