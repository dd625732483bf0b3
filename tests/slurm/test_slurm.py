"""The real Snakefile through sbatch on a real Slurm: `make test-slurm`."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from cluster import Cluster, missing_programs
from project import Project, copy_project, small_config

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {missing_programs()}"),
]
# As typed by a user, but for the time between two looks at the queue.
SNAKEMAKE = [
    *(sys.executable, "-m", "snakemake", "--profile", "slurm", "--nolock"),
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
]
GPU_RULES = {
    *("base", "finetune", "fisher_part", "identity", "score", "embed", "pretrain", "heldout"),
    *("evaluate_domain", "cnn_domain"),
}
# Snakemake is taken for stuck when nothing is submitted or done for so long.
SILENCE_S = 300
# Jobs of these rules wait while a file exists: time to do to them what a cluster does.
HELD = ("score", "deduplicate")
HOLD = """\
import time
from pathlib import Path

while Path("hold-{rule}").exists():
    time.sleep(0.1)
"""


class SlurmProject(Project):
    """A copy of the project whose jobs go to the test's cluster."""

    def __init__(self, source, folder, cluster):
        super().__init__(folder)
        copy_project(source, folder)
        (folder / "slurm").mkdir()
        (folder / "slurm/config.yaml").write_bytes((source / "slurm/config.yaml").read_bytes())
        for rule in HELD:
            script = folder / f"workflow/scripts/{rule}.py"
            script.write_text(HOLD.format(rule=rule) + script.read_text())
        self.cluster = cluster

    @contextlib.contextmanager
    def start(self, config, *arguments):
        """Snakemake in the background, in a process group of its own, its output in `terminal`.

        Leaves nothing to the next test, whatever happens: no Snakemake, no job, no rule held.
        """
        self.command(config)
        with (self.folder / "terminal").open("wb") as terminal:
            process = subprocess.Popen(
                [*SNAKEMAKE, *arguments, "--configfile", "config.yaml"],
                cwd=self.folder, env=self.cluster.env, start_new_session=True,
                stdout=terminal, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for rule in HELD:
                self.release(rule)
            self.cluster.cancel_jobs()

    def hold(self, rule):
        """Have the jobs of a rule wait at their start, until `release`."""
        (self.folder / f"hold-{rule}").touch()

    def release(self, rule):
        """Let the jobs of a rule go on."""
        (self.folder / f"hold-{rule}").unlink(missing_ok=True)

    def terminal(self):
        return (self.folder / "terminal").read_text()

    def wait_for(self, condition, process):
        """Value of `condition` once it is true: no time is too long while Snakemake goes on."""
        said, since = "", time.monotonic()
        while True:
            ended = process.poll() is not None
            if value := condition():
                return value
            if said != (now := self.terminal()):
                said, since = now, time.monotonic()
            assert not ended, said[-5000:]
            assert time.monotonic() < since + SILENCE_S, said[-5000:]
            time.sleep(0.2)

    def finish(self, process):
        """Exit status of Snakemake, which must end by itself."""
        self.wait_for(lambda: process.poll() is not None, process)
        return process.returncode

    def running(self):
        """Comment (rule and wildcards) -> Slurm id of the jobs that run now."""
        lines = self.cluster.slurm("squeue", "-h", "-t", "R", "-o", "%k %i").splitlines()
        return dict(line.split() for line in lines)

    def accounting(self):
        """What sacct knows: one mapping a job."""
        fields = "JobIDRaw,State,Comment,ReqMem,Timelimit,Partition,Account,AllocTRES"
        text = self.cluster.slurm(
            "sacct", "-X", "--parsable2", "--noheader", "--starttime", "now-1days",
            "--format", fields,
        )  # fmt: skip
        names = fields.split(",")
        rows = [dict(zip(names, line.split("|"), strict=True)) for line in text.splitlines()]
        return sorted(rows, key=lambda row: int(row["JobIDRaw"]))


def megabytes(memory):
    """Of `8000M` or `4G`."""
    return float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]


def minutes_of(limit):
    """Of `04:00:00` or `1-04:00:00`."""
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + minutes


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as running:
        yield running


@pytest.fixture(scope="module")
def project(root, tmp_path_factory, cluster):
    return SlurmProject(root, tmp_path_factory.mktemp("slurm"), cluster)


@pytest.fixture(scope="module")
def finished(project):
    """A whole run; in it two jobs were cancelled, one of them a group, and one killed for time."""
    config = {**small_config(), "run": "slurm", "device": "auto"}
    for rule in HELD:
        project.hold(rule)

    def group():
        return next((job for name, job in project.running().items() if "bucket" in name), None)

    def killed():
        states = {row["JobIDRaw"]: row["State"].split()[0] for row in project.accounting()}
        return [states.get(job) for job in jobs] == ["CANCELLED", "TIMEOUT"]

    with project.start(config) as process:
        cancelled = project.wait_for(group, process)
        project.cluster.slurm("scancel", cancelled)
        project.wait_for(lambda: group() not in (None, cancelled), process)
        project.release("deduplicate")
        jobs = [
            project.wait_for(
                lambda i=i: project.running().get(f"rule_score_wildcards_{i}"), process
            )
            for i in (0, 1)
        ]
        project.cluster.slurm("scancel", jobs[0])
        project.cluster.slurm("scontrol", "update", f"jobid={jobs[1]}", "timelimit=1")
        project.wait_for(killed, process)
        project.release("score")
        assert project.finish(process) == 0, project.terminal()[-5000:]
    return project.accounting()


def test_a_run_with_killed_jobs_equals_the_local_run(project, finished):
    project.run({**small_config(), "run": "local", "device": "auto"})
    assert project.digests("slurm") == project.digests("local")


@pytest.mark.parametrize(("shard", "state"), [(0, "CANCELLED by"), (1, "TIMEOUT")])
def test_a_killed_job_is_retried_with_more(finished, shard, state):
    first, second = (r for r in finished if r["Comment"] == f"rule_score_wildcards_{shard}")
    assert first["State"].startswith(state)
    assert second["State"] == "COMPLETED"
    assert (first["ReqMem"], second["ReqMem"]) == ("8000M", "16000M")
    assert second["Timelimit"] == "08:00:00"
    if shard == 0:
        assert first["Timelimit"] == "04:00:00"


def test_a_cancelled_group_is_retried_with_more(finished):
    first, second = (row for row in finished if "bucket" in row["Comment"])
    assert first["State"].startswith("CANCELLED by")
    assert second["State"] == "COMPLETED"
    memory, minutes = (
        [convert(row[field]) for row in (first, second)]
        for field, convert in (("ReqMem", megabytes), ("Timelimit", minutes_of))
    )
    assert memory[1] == 2 * memory[0]
    assert minutes[1] == 2 * minutes[0]


def test_gpus_partitions_and_account(finished):
    seen = set()
    for row in finished:
        rule = re.match(r"rule_(\w+?)(_wildcards_.*)?$", row["Comment"]).group(1)
        on_gpu = rule in GPU_RULES
        assert row["Partition"] == ("gpu" if on_gpu else "cpu")
        assert ("gres/gpu=1" in row["AllocTRES"]) == on_gpu
        assert row["Account"] == "lab"
        seen.add(rule)
    assert seen >= GPU_RULES


def test_small_jobs_share_a_submission(finished):
    jobs = [row["Comment"].removeprefix("rule_") for row in finished]
    assert not [j for j in jobs if j.startswith(("deduplicate", "decontaminate", "select"))]
    # 2 pools of 2 buckets, 2 stages each, cancelled once; a matched coreset goes with the one it is
    # matched to
    assert sum(job.startswith("bucket") for job in jobs) == 2
    assert sum(job.startswith("coreset") for job in jobs) == 1


def test_fewer_shards_score_nothing_again(project, finished):
    config = {**small_config(), "run": "slurm", "device": "auto"}
    config["influence"]["shards"] = 1
    before = project.digests("slurm", ["influence/scores.parquet"])
    project.run(config, "scores")
    log = (project.folder / "results/slurm/logs/score-0.log").read_text()
    assert re.search(r"rows: (\d+) reused, 0 computed", log)
    assert project.digests("slurm", ["influence/scores.parquet"]) == before


@pytest.mark.parametrize("moment", ["running", "submitting"])
def test_ctrl_c_leaves_no_job(project, moment):
    config = {**small_config(), "run": "slurm", "device": "auto"}
    config["influence"] |= {"shards": 8, "damping": 0.5}
    project.hold("score")
    with project.start(config, "scores") as process:
        if moment == "running":
            project.wait_for(
                lambda: any("rule_score" in name for name in project.running()), process
            )
        else:
            project.wait_for(lambda: "rule_score" in project.terminal(), process)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        assert project.finish(process) != 0
        project.release("score")
        assert project.cluster.slurm("squeue", "-h", "-t", "PD,R") == ""
    assert "SLURM run ID" in project.terminal()


def test_a_failing_rule_shows_its_error_and_log(project):
    config = {**small_config(), "run": "bad"}
    (project.folder / "empty.fasta").write_text("")
    config["corpus"]["fasta"] = ["empty.fasta"]
    config["subset"].pop("fasta")
    with project.start(config, "scores", "--retries", "0") as process:
        assert project.finish(process) != 0
    text = project.terminal()
    assert "empty.fasta: empty file" in text
    assert "results/bad/logs/ingest-empty.log" in text
    assert re.search(r"slurm_logs/rule_ingest/empty/\d+\.log", text)
