"""Time Snakemake on a DAG with many scoring shards: planning it, and deciding that nothing changed.

    python benchmarks/dag/run.py --shards 10000 --out benchmarks/dag/results.json

No job runs. A finished run is fabricated in a temporary copy of the project: empty outputs, made in
topological order, with the metadata that Snakemake itself writes after each job.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("rules", "workflow", "resources", "envs", "profiles", "slurm", "config", "Snakefile")


def big_config(shards: int) -> dict[str, object]:
    """The demo's tasks and the paper's selections around many scoring shards."""
    config = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    config["run"] = "big"
    config["device"] = "auto"
    config["corpus"] |= {"blocks": max(4096, 1 << (2 * shards - 1).bit_length()), "buckets": 64}
    config["influence"]["shards"] = shards
    config["selection"] |= {
        "strategies": [
            "top_influence",
            "cci",
            "random",
            "random_length:cci",
            "random_length:top_influence",
        ],
        "seeds": [0, 1, 2],
    }
    return config


def copy_project(folder: Path) -> None:
    """The workflow without its results."""
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)


def snakemake(folder: Path, *arguments: str) -> tuple[str, dict[str, float]]:
    """Output, wall seconds, CPU seconds and peak memory (MiB) of one run of Snakemake."""
    with (folder / "terminal").open("w+") as terminal:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments, "--nolock", "--configfile", "big.yaml"],
            cwd=folder, stdout=terminal, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        terminal.seek(0)
        text = terminal.read()
    if status:
        raise SystemExit(text[-3000:])
    return text, {
        "wall_s": round(seconds, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def measure(shards: int) -> dict[str, object]:
    """Both times; planning with the Slurm profile as well."""
    dry = ("-m", "snakemake", "-n")
    with tempfile.TemporaryDirectory(prefix="dag-") as name:
        folder = Path(name)
        copy_project(folder)
        (folder / "big.yaml").write_text(yaml.safe_dump(big_config(shards)))
        text, plan = snakemake(folder, *dry, "--cores", "2")
        _, plan_slurm = snakemake(folder, *dry, "--profile", "slurm")
        snakemake(folder, str(Path(__file__).with_name("fabricate.py")))
        same, rerun = snakemake(folder, *dry, "--cores", "2")
        if "Nothing to be done" not in same:
            raise SystemExit("the fabricated run is not complete:\n" + same[-3000:])
    return {
        "shards": shards,
        "jobs": int(re.findall(r"^total\s+(\d+)$", text, re.M)[-1]),
        "cores": os.cpu_count(),
        "plan": plan,
        "plan_slurm": plan_slurm,
        "rerun": rerun,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[10_000])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results = [measure(shards) for shards in arguments.shards]
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
