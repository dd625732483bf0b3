"""Corpus throughput beside seqkit and vsearch: wall time, CPU time and peak memory.

    apt-get install seqkit vsearch ncbi-blast+ ncbi-rrna-data
    .venv/bin/python benchmarks/corpus/run.py --sizes 100000 1000000 --folder /tmp/corpus

Every contender reads the same two files, in turn, in one run. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
from data import make_fasta

HERE = Path(__file__).resolve().parent
#: Sequences a deduplication job takes on, about: memory is that of a bucket.
PER_BUCKET = 150_000


def contenders(files: list[Path], out: Path, n: int) -> dict[str, str]:
    """Shell commands by name; each writes into `out`."""
    fasta = shlex.join(map(str, files))
    buckets = max(16, n // PER_BUCKET)
    seqkit, split = f"seqkit rmdup -j 2 -s {fasta}", f"seqkit split2 -j 2 -p {buckets} -O {out}"
    clean = f"seqkit seq -j 2 -u --dna2rna -m 30 -M 1022 {fasta}"
    return {
        "coresift ingest, deduplicate": (
            f"{sys.executable} {HERE / 'ours.py'} {fasta} --out {out} --buckets {buckets}"
        ),
        "seqkit rmdup, split2": f"{seqkit} | {split}",
        "seqkit seq, rmdup, split2 to .zst": f"{clean} | seqkit rmdup -j 2 -s | {split} -e .zst",
        "vsearch --derep_fulllength": (
            f"cat {fasta} | vsearch --derep_fulllength - --output {out}/distinct.fa "
            "--minseqlength 1 --maxseqlength 1000000"
        ),
    }


def measure(command: str, log: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, and peak resident MiB (the whole process tree, sampled)."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1] / "workflow"),
        "POLARS_MAX_THREADS": "1",
    }
    with log.open("w") as handle:
        start = time.monotonic()
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            stdout=handle,
            stderr=handle,
            env=environment,
        )
        root, peak = psutil.Process(process.pid), 0
        while (done := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            tree = [root, *root.children(recursive=True)]
            peak = max(peak, sum(map(resident, tree)))
            time.sleep(0.05)
        wall = time.monotonic() - start
    if done[1]:
        raise SystemExit(f"failed: {command}\n{log.read_text()[-2000:]}")
    return wall, done[2].ru_utime + done[2].ru_stime, peak / 2**20


def resident(process: psutil.Process) -> int:
    """Bytes resident; 0 for a process that has just ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def inputs(folder: Path, n: int) -> list[Path]:
    """Two FASTA files of n records in all, made where absent."""
    files = [folder / f"{n}_{half}.fa" for half in (0, 1)]
    if not all(path.exists() for path in files):
        make_fasta(files, n)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", help="contenders whose name holds this word")
    parser.add_argument("--data-only", action="store_true", help="make the inputs and stop")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(
        "| sequences | contender | wall s | ratio | CPU s | peak MiB |\n|---|---|---|---|---|---|"
    )
    for n in options.sizes:
        files = inputs(options.folder, n)
        if options.data_only:
            continue
        out = options.folder / "out"
        best: dict[str, tuple[float, float, float]] = {}
        for _ in range(options.repeats):
            for name, command in contenders(files, out, n).items():
                if options.only and options.only not in name:
                    continue
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                row = measure(command, options.folder / "log.txt")
                best[name] = min(best.get(name, row), row)
        shutil.rmtree(out, ignore_errors=True)
        reference = next(iter(best.values()))[0]
        for name, (wall, cpu, peak) in best.items():
            ratio = wall / reference
            print(f"| {n:,} | {name} | {wall:.1f} | {ratio:.2f} | {cpu:.1f} | {peak:,.0f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
