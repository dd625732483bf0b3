"""The real Snakefile in a copy of the project: a whole run, and what it says and refuses."""

import gzip
import json
import os
import re
import shlex
import shutil

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from coresift.dag.locks import hold
from coresift.files import read_json
from coresift.heldout.summary import read_held_out, summarise
from coresift.influence.tables import SCORE
from coresift.models.checkpoint import build_model, load_model, model_hash
from coresift.selection.tables import CORESET
from coresift.tables import read_table
from markupsafe import escape
from project import OPTIONS, small_config, touch_all
from snakemake_runs import snakemake

pytestmark = pytest.mark.workflow


def test_whole_run(project):
    out = project.folder / "results/small"
    corpus = read_json(out / "corpus/summary.json")
    assert corpus["records"] == 190
    assert corpus["accepted"] + sum(corpus["rejected"].values()) == corpus["items"] == 193
    assert (corpus["long"]["records"], corpus["long"]["windows"]) == (1, 4)
    assert corpus["duplicates"] > 0
    scores = read_table(out / "influence/scores.parquet", SCORE)
    assert scores.height == corpus["pool"]
    coreset = read_table(out / "coresets/top_influence-40-s0/coreset.parquet", CORESET)
    best = scores.sort("influence", descending=True).head(40)["seq_id"]
    assert coreset["seq_id"].to_list() == best.to_list()
    with gzip.open(out / "coresets/top_influence-40-s0/coreset.fasta.gz", "rt") as handle:
        assert sum(line.startswith(">") for line in handle) == 40
    held_out = corpus["held_out"]["sequences"]
    expected = {"coresets/top_influence-40-s0": [40], "corpus": [corpus["pool"], held_out]}
    for folder, counts in expected.items():
        head = yaml.safe_load((out / folder / "README.md").read_text().split("---\n")[1])
        files = [(out / folder).glob(f["path"]) for f in head["configs"][0]["data_files"]]
        assert [sum(pq.read_metadata(p).num_rows for p in paths) for paths in files] == counts
    # The command of a card, with its configuration, makes what is there.
    card = (out / "coresets/top_influence-40-s0/README.md").read_text()
    config = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    (command,) = re.findall("^    snakemake --cores all (.*) --configfile config.yaml$", card, re.M)
    assert project.planned(config, *shlex.split(command)) == set()
    curves = [(out / f"models/{n}-40-s0/metrics.jsonl").read_text().splitlines() for n in
              ("top_influence", "random_tokens:top_influence")]  # fmt: skip
    residues = [[re.search(r'"residues": (\d+)', line).group(1) for line in c] for c in curves]
    assert residues[0] == residues[1]  # equal tokens and steps
    table = pl.read_csv(out / "report/results.csv")
    selections = {"top_influence-40", "random_tokens:top_influence-40"}
    assert set(table["selection"]) == {
        *selections,
        "untrained",
        "constant",
        "kmer",
        "cnn",
        "unigram",
    }
    seen = pl.read_csv(out / "report/seen.csv")
    assert seen.select("task", "against").rows() == [("domain", "pool"), ("domain", "train")]
    bins = pl.read_csv(out / "report/results_by_identity.csv").group_by("selection", "against")
    assert set(bins.agg(pl.col("n").sum())["n"]) == set(seen["compared"])
    page = (out / "report/report.html").read_text()
    assert "are in its own train split at 95% identity or more" in page
    assert page.count("<svg") == 8
    assert all(list(out.glob(f"{kind}/*")) for kind in ("logs", "benchmarks"))
    assert not list(out.rglob("*.tmp"))


def test_every_model_is_tested_on_the_held_out_sequences(project):
    """The untrained model, where each training starts, among them; the curves have points."""
    out = project.folder / "results/small"
    sets = pl.read_parquet(out / "heldout/sets.parquet")
    names = {"top_influence-40-s0", "random_tokens:top_influence-40-s0", "untrained-s0", "unigram"}
    paths = {path.stem: path for path in (out / "heldout/losses").iterdir()}
    assert set(paths) == names
    pool = read_held_out(paths, out / "heldout/groups.parquet")["pool"]
    assert len(pool.n_masked) == sets.height
    assert set(pool.groups) == {"source", "length_bin", "near"}
    loss = dict(zip(pool.models, summarise(pool)["loss"][0], strict=True))
    assert loss["unigram"] < np.log(4) < loss["untrained-s0"] < 1.5
    model, _, _ = load_model(out / "models/untrained-s0/checkpoint", "rna", 1024)
    assert model_hash(model) == model_hash(build_model("tiny", "rna", 0)[0])
    for made in (*(f"models/{n}/checkpoint" for n in names - {"unigram"}), "influence/base"):
        saved = json.loads((out / made / "tokenizer_config.json").read_text())
        assert saved["model_max_length"] == 600  # what it was trained on
    for name in names - {"untrained-s0", "unigram"}:
        lines = (out / f"models/{name}/metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        points = [r["validation_loss"] for r in records if "validation_loss" in r]
        assert len(points) == 8
        assert "validation_loss" in records[-1]
        assert points[-1] == pytest.approx(loss[name], rel=1e-4)  # here of the same places


def test_what_is_held_out_is_learnt_from_nowhere(project):
    """Neither D_sub, on which base, fine-tuning and Fisher rest, nor scores or coresets have it."""
    out = project.folder / "results/small"
    pools, apart = (
        {
            of: set(pl.concat(map(pl.read_parquet, (out / folder / of).glob("*")))["seq_id"])
            for of in ("corpus", "base")
        }
        for folder in ("corpus/pool", "corpus/heldout")
    )
    counts = read_json(out / "corpus/summary.json")
    assert counts["held_out"]["sequences"] == len(apart["corpus"]) > 5
    assert counts["pool"] == len(pools["corpus"])
    assert apart["base"] == apart["corpus"]  # of the same files
    sets = pl.read_parquet(out / "heldout/sets.parquet")
    assert set(sets["seq_id"]) == apart["corpus"]
    learnt = ["influence/subset.parquet", "influence/scores.parquet", "corpus/features.parquet"]
    learnt += [str(path) for path in out.glob("coresets/*/coreset.parquet")]
    assert len(learnt) == 5
    for path in learnt:
        found = set(pl.read_parquet(out / path)["seq_id"])
        assert found <= pools["corpus"]
        assert not found & apart["corpus"], path
    assert not (pools["base"] | pools["corpus"]) & apart["corpus"]


def test_the_terminal_is_quiet_and_ends_with_the_verdict(project):
    terminal = project.first_terminal.read_text()
    lines = terminal.splitlines()
    jobs = re.findall(r"^ *(\d+) of (\d+) \(\d+%\) (\w+).* \(\d+ s\)$", terminal, re.M)
    total = int(jobs[0][1])
    assert [int(done) for done, _, _ in jobs] == [*range(1, total + 1)]
    assert {"ingest", "score", "pretrain", "make_report"} <= {rule for _, _, rule in jobs}
    assert "score shard=1 (" in terminal
    assert len(lines) < total + 25, terminal
    verdict = (project.folder / "results/small/report/verdict.txt").read_text().splitlines()
    assert verdict[-1] == "page: results/small/report/report.html"
    start = lines.index(verdict[0])
    assert lines[start : start + len(verdict)] == verdict
    assert start > lines.index(f"{total} jobs") + total
    page = (project.folder / "results/small/report/report.html").read_text()
    assert all(escape(line) in page for line in verdict[: verdict.index("")])


ABSENT = [
    (("corpus", "fasta", 1), "corpus.fasta.1"),
    (("base", "checkpoint"), "base.checkpoint"),
    (("tasks", "domain", "data", "path"), "tasks.domain.data.path"),
    (("evaluate", "checkpoints"), "evaluate.checkpoints.other"),
]


def test_absent_paths_stop_a_finished_run(project):
    config = small_config()
    config["subset"].pop("fasta")
    for keys, name in ABSENT:
        section = config
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = {"other": "abssent"} if name.endswith("other") else "abssent"
    done = project.run(config, "-n", check=False)
    assert done.returncode
    output = done.stdout + done.stderr
    for _, name in ABSENT:
        assert f"{name}: no such file or folder, nor an entry of downloads: abssent" in output


def test_a_budget_above_the_pool_fails_before_anything_is_trained(project):
    config = small_config()
    config["finetune"]["learning_rate"] = 1e-3  # finetune could start at once
    config["selection"]["budgets"] = [40, 3000, "1M residues"]
    config["selection"]["strategies"].append("cci")
    summary = read_json(project.folder / "results/small/corpus/summary.json")
    pool, residues = summary["pool"], summary["residues"]
    done = project.run(config, check=False)
    assert done.returncode
    assert f"selection.budgets: 3000 is larger than the pool of {pool} sequences" in done.stderr
    assert f"1M residues is larger than the pool of {residues} residues" in done.stderr
    assert set(re.findall(r"^(?:local)?rule (\w+):$", done.stderr, re.M)) == {"check_budgets"}
    assert project.planned(small_config()) == {"check_budgets"}  # corrected: nothing else reruns
    project.run(small_config(), "results/small/coresets/budgets.json")


def test_a_run_that_another_process_holds_is_not_started(project):
    config = small_config()
    config["run"] = "held"
    config["downloads"] = {"absent.fasta": {"url": "https://localhost/absent.fasta"}}
    hold(project.folder / ".absent.fasta.lock", "the download")
    holder = f"by process {os.getpid()} on "
    done = project.run(config, "scores", check=False)
    assert f"the download of absent.fasta is held {holder}" in done.stderr
    hold(project.folder / "results/held/.lock", "the run")
    done = project.run(config, "scores", check=False)
    assert done.returncode
    assert f"run held is held {holder}" in done.stderr
    assert not re.search(r"^(local)?rule ", done.stderr, re.M)
    assert "ingest" in project.planned(config, "scores")  # a dry run needs no lock


@pytest.mark.long
def test_any_checkpoint_can_be_evaluated(project):
    config = small_config()
    name = "top_influence-40-s0"
    out = project.folder / "results/small"
    copy = project.folder / "other"
    shutil.copytree(out / f"models/{name}/checkpoint", copy)
    config["evaluate"]["checkpoints"] = {"other": "other"}
    assert project.planned(config) == {"evaluate_domain", "heldout", "results", "make_report"}
    states = {p.name for p in (out / "work/embeddings").iterdir()}
    target = "results/small/evaluation/domain/other/metrics.json"
    project.run(config, target)
    touch_all(copy)
    assert project.planned(config, target) == set()
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert project.planned(config, target) == {"evaluate_domain"}
    found, same = (read_json(out / f"evaluation/domain/{n}/metrics.json") for n in ("other", name))
    assert found == same
    assert {p.name for p in (out / "work/embeddings").iterdir()} == states  # encoded once


def test_an_added_fasta_scores_only_new_records(own_project):
    project, config = own_project, small_config()
    out = project.folder / "results/small"
    before = read_table(out / "influence/scores.parquet", SCORE)
    config["corpus"]["fasta"].append("c.fasta")
    planned = project.planned(config, "scores")
    assert not planned & {"subset", "base", "finetune", "fisher_part", "fisher"}
    done = project.run(config, "scores")
    assert "page:" not in done.stderr  # no verdict: this run's target has no page
    logs = [p.read_text() for p in (out / "logs").glob("score-*.log")]
    computed = sum(int(n) for log in logs for n in re.findall(r"(\d+) computed", log))
    after = read_table(out / "influence/scores.parquet", SCORE)
    assert computed == after.height - before.height > 0
    assert after.join(before, on="seq_id", how="semi").equals(before)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("selection", "strategies", ["best"], "selection.strategies.0"),
        ("influence", "dampening", 1, "influence.dampening: unknown key"),
    ],
)
def test_bad_config_fails_before_any_job(project, section, key, value, message):
    config = small_config()
    config[section][key] = value
    done = project.run(config, check=False)
    assert done.returncode
    assert message in done.stdout + done.stderr
    assert "Select jobs" not in done.stderr


def test_bad_input_is_named(project):
    config = small_config()
    config["run"] = "bad"
    (project.folder / "empty.fasta").write_text("")
    config["corpus"]["fasta"] = ["empty.fasta"]
    config["subset"].pop("fasta")
    for logger in ([], ["--logger=coresift"]):
        done = project.run(config, "scores", *logger, check=False)
        assert done.returncode
        assert "Error in rule ingest:" in done.stderr
        log = "results/bad/logs/ingest-empty.log"
        shown = done.stderr.split(f"Logfile {log}:")[1]  # the whole log, with the traceback
        assert (project.folder / log).read_text().strip() in shown
        assert "empty.fasta: empty file" in shown
        assert "page:" not in done.stderr


@pytest.mark.parametrize("name", ["rna", "protein"])
def test_paper_scale_configs_build_their_dag(root, tmp_path, name):
    config = yaml.safe_load((root / f"config/{name}.yaml").read_text())
    files = [*config["corpus"]["fasta"]]
    for task in config["tasks"].values():
        files += task["data"].values()
    for file in {*files} - {*config.get("downloads", {})}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    options = ["-n", "-q", "rules", "-s", root / "Snakefile", "--directory", tmp_path]
    configfile = ["--configfile", root / f"config/{name}.yaml"]
    done = snakemake([*OPTIONS, *options, *configfile], root)
    assert done.returncode == 0, done.stderr[-3000:]


def test_lint_is_clean(root):
    done = snakemake([*OPTIONS, "--lint"], root)
    assert done.returncode == 0, done.stderr
    assert "good condition" in done.stderr


def test_snakemake_report_has_the_captions(project):
    project.run(small_config(), "--report", "snakemake-report.html")
    page = (project.folder / "snakemake-report.html").read_text()
    captions = set((project.folder / "resources/captions").glob("*.rst"))
    # That of the target `validate`, which is none of the run's own files.
    for caption in captions - {project.folder / "resources/captions/validate.rst"}:
        assert caption.read_text().split(".")[0][:40] in page, caption.name


def test_own_fasta_in_one_command(project, root):
    readme = (root / "README.md").read_text()
    command = re.search(r"\.venv/bin/snakemake (.*?)\n\n", readme, re.S).group(1)
    command = command.replace("\\\n", " ").replace("my_sequences.fasta.gz", "a.fasta")
    done = snakemake([*OPTIONS, "-n", "-q", "rules", *shlex.split(command)], project.folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^select +10$", done.stdout + done.stderr, re.M)
