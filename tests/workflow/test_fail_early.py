"""What the Snakefile itself refuses, before it plans a job."""

import os
import shutil
import subprocess
import sys

import pytest
from snakemake_runs import snakemake

pytestmark = pytest.mark.workflow
GOOD = "run: r\nmodality: rna\ncorpus: {fasta: [a.fa]}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, ["corpus.fasta.0", "a.fa"]),
        (GOOD + "run: s\n", ["config.yaml: line 4: run is given twice"]),
        (GOOD + "selection: {seeds: [0],\n  seeds: [1]}\n", ["line 5: seeds is given twice"]),
        (GOOD + "selection: {score: luck}\n", ["no score 'luck'; allowed: influence, "]),
        (
            GOOD + "selection: {strategies: [group_sqrt], group: family}\n",
            ["selection.group: no grouping 'family'; allowed: source"],
        ),
        (
            GOOD + "selection: {strategies: [cluster_cci]}\n",
            ["cluster_cci needs clusters: give corpus.cluster"],
        ),
        # Nothing of the demo's data may come in.
        ("modality: rna\n", ["run: missing", "corpus: missing"]),
        ("{}", ["run: missing", "corpus: missing"]),
    ],
)
def test_a_wrong_config_plans_nothing(run_rules, text, expected):
    done = run_rules(text, "-n")
    output = done.stdout + done.stderr
    assert done.returncode
    for line in expected:
        assert line in output
    assert "Building DAG" not in output
    assert "Traceback" not in output


def test_without_a_config_it_is_the_demo_and_a_config_of_one_key_is_not(root):
    options = ["-n", "-q", "rules", "--cores", "2"]
    demo, changed = (snakemake([*options, *more], root) for more in ((), ("--config", "seed=1")))
    assert demo.returncode == 0, demo.stderr[-3000:]
    assert changed.returncode
    assert "run: missing" in changed.stdout + changed.stderr


def test_a_dry_run_in_a_read_only_checkout(root, tmp_path):
    for name in ("rules", "workflow", "resources", "envs", "profiles", "config"):
        shutil.copytree(
            root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    shutil.copy(root / "Snakefile", tmp_path)
    command = [sys.executable, "-B", "-m", "snakemake", "-n", "-q", "rules", "--cores", "2"]
    if os.geteuid():
        for folder in (tmp_path, *(p for p in tmp_path.rglob("*") if p.is_dir())):
            folder.chmod(0o555)
    else:  # modes do not bind root
        mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0"'
        command = ["unshare", "-m", "sh", "-c", mount + ' && exec "$@"', str(tmp_path), *command]
        if subprocess.run([*command[:4], mount, str(tmp_path)], check=False).returncode:
            pytest.skip("cannot mount read-only here")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    for folder in (tmp_path, *(p for p in tmp_path.rglob("*") if p.is_dir())):
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "make_report" in done.stdout + done.stderr
    assert not (tmp_path / ".snakemake").exists()
