"""Corpus throughput beside seqkit and vsearch: wall time, CPU time and peak memory.

    apt-get install seqkit vsearch ncbi-blast+ ncbi-rrna-data
    .venv/bin/python benchmarks/corpus/run.py --sizes 100000 1000000 --folder /tmp/corpus

Every contender reads the same two files in one run. Its repeats follow each other, so that all but
the first find the memory of the one before; the fastest counts, and memory is of a further one.
Prints a Markdown table.
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
from coresift.corpus.settings import Corpus
from data import make_fasta

HERE = Path(__file__).resolve().parent
#: Sequences a deduplication job takes on, about: memory is that of a bucket.
PER_BUCKET = 150_000
#: What coresift makes of long records; the first is what ratios are to.
LONG = ("window", "reject")


def ours(files: list[Path], out: Path, buckets: int, long: str) -> str:
    """The command of coresift's two stages."""
    paths = list(map(str, files))
    corpus = Corpus(fasta=paths, buckets=buckets, long=long).model_dump_json()
    script = shlex.join([sys.executable, str(HERE / "ours.py"), *paths])
    return f"{script} --out {out} --corpus {shlex.quote(corpus)}"


def contenders(files: list[Path], out: Path, n: int) -> dict[str, str]:
    """Shell commands by name; each writes into `out`."""
    fasta = shlex.join(map(str, files))
    buckets = max(16, n // PER_BUCKET)
    seqkit, split = f"seqkit rmdup -j 2 -s {fasta}", f"seqkit split2 -j 2 -p {buckets} -O {out}"
    clean = f"seqkit seq -j 2 -u --dna2rna -m 30 -M 1022 {fasta}"
    return {
        **{f"coresift, long: {long}": ours(files, out, buckets, long) for long in LONG},
        "seqkit rmdup, split2": f"{seqkit} | {split}",
        "seqkit seq, rmdup, split2 to .zst": f"{clean} | seqkit rmdup -j 2 -s | {split} -e .zst",
        "vsearch --derep_fulllength": (
            f"cat {fasta} | vsearch --derep_fulllength - --output {out}/distinct.fa "
            "--minseqlength 1 --maxseqlength 1000000"
        ),
    }


def start(command: str, log: Path) -> subprocess.Popen[bytes]:
    """The command in the background, with one thread a process for coresift's libraries."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1] / "workflow"),
        "POLARS_MAX_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            stdout=output,
            stderr=output,
            env=environment,
        )


def seconds(command: str, log: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command; nothing else runs."""
    began = time.monotonic()
    process = start(command, log)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    if status:
        raise SystemExit(f"failed: {command}\n{log.read_text()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime


def peak_memory(command: str, log: Path) -> float:
    """Peak resident MiB of a command's whole process tree, sampled: a run of its own."""
    process = start(command, log)
    root, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, [root, *root.children(recursive=True)])))
        time.sleep(0.05)
    return peak / 2**20


def resident(process: psutil.Process) -> int:
    """Bytes resident; 0 for a process that has just ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def inputs(folder: Path, n: int, lengths: tuple[int, int]) -> list[Path]:
    """Two FASTA files of n records in all, made where absent."""
    files = [folder / f"{n}_{lengths[0]}-{lengths[1]}_{half}.fa" for half in (0, 1)]
    if not all(path.exists() for path in files):
        make_fasta(files, n, lengths)
    return files


def fresh(folder: Path) -> None:
    """Make an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument(
        "--lengths", type=int, nargs=2, default=[30, 1000], help="least and most residues"
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", help="contenders whose name holds this word")
    parser.add_argument("--data-only", action="store_true", help="make the inputs and stop")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(
        "| sequences | contender | wall s | ratio | CPU s | ratio | peak MiB |\n"
        "|---|---|---|---|---|---|---|"
    )
    for n in options.sizes:
        files = inputs(options.folder, n, tuple(options.lengths))
        if options.data_only:
            continue
        out = options.folder / "out"
        commands = {
            name: command
            for name, command in contenders(files, out, n).items()
            if not options.only or options.only in name
        }
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        peaks: dict[str, float] = {}
        log = options.folder / "log.txt"
        for name, command in commands.items():
            for _ in range(options.repeats):
                fresh(out)
                rows[name].append(seconds(command, log))
                print(f"{n} {name}: {rows[name][-1]}", file=sys.stderr)
            fresh(out)
            peaks[name] = peak_memory(command, log)
        shutil.rmtree(out, ignore_errors=True)
        reference = min(next(iter(rows.values())))
        for name, found in rows.items():
            wall, cpu = min(found)
            ratios = f"{wall / reference[0]:.2f} | {cpu:.1f} | {cpu / reference[1]:.2f}"
            print(f"| {n:,} | {name} | {wall:.2f} | {ratios} | {peaks[name]:,.0f} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
