"""Seconds and peak memory of every selection on synthetic pools, a fresh process each.

    .venv/bin/python benchmarks/selection/run.py [--sizes 100000 1000000] [--strategies cci random]

A pool has log-normal lengths, self-influence that falls with length, clusters of Zipf's sizes, five
sources and embeddings of width 64 in loose clouds. A process reads what the rule `select` reads and
draws 10 % (matched strategies: to a CCI coreset made before). Seconds, wall and CPU, are from the
first read to the last row; peak memory is the process's, libraries included. Prints the table of
the README.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from coresift.hashing import seeded_generator
from coresift.selection.names import DECILES, STRATEGIES, Budget
from coresift.selection.settings import Selection
from coresift.selection.strategies import select
from coresift.selection.tables import CORESET
from coresift.tables import read_columns, read_table, write_table

WIDTH = 64
ARGS = {"selection": ":cci", "target": ":t", "cci": "", None: ""}
NAMES = {strategy: strategy + ARGS[needs.arg] for strategy, needs in STRATEGIES.items()}
#: One tenth is as the other.
SHOWN = [name for name in NAMES if name not in DECILES or name == "decile_0"]


def make_pool(n: int, folder: Path) -> None:
    """Write scores, groups, embeddings and a CCI coreset of n sequences."""
    generator = seeded_generator(0, "selection benchmark", str(n))
    words = np.sort(generator.integers(0, 1 << 63, n, dtype=np.uint64))
    seq_ids = pl.Series([f"{word:016x}{i:016x}" for i, word in enumerate(words)])
    lengths = np.clip(generator.lognormal(5.0, 0.8, n), 30, 1022).astype(np.int32)
    noise = generator.lognormal(0.0, 1.0, (5, n))
    write_table(
        folder / "scores.parquet",
        pl.DataFrame({"seq_id": seq_ids, "length": lengths})
        .with_columns(influence=noise[0] / lengths, loss=noise[1], grad_norm=noise[2])
        .with_columns(error_norm=noise[3], target_t=noise[4] - 1),
        {"seq_id": pl.String, "length": pl.Int32, "influence": pl.Float64, "loss": pl.Float64,
         "grad_norm": pl.Float64, "error_norm": pl.Float64, "target_t": pl.Float64},
    )  # fmt: skip
    sizes = generator.zipf(2.0, n).clip(1, n // 10)
    first = np.repeat(np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)[:n]
    members = generator.permutation(n)
    cluster = np.empty(n, np.int64)
    cluster[members] = members[first]
    sources = pl.Series([f"source_{i}" for i in range(5)])
    shares = generator.choice(5, n, p=[0.6, 0.2, 0.1, 0.07, 0.03])
    write_table(
        folder / "groups.parquet",
        pl.DataFrame({"seq_id": seq_ids}).with_columns(
            source=sources.gather(shares), cluster=seq_ids.gather(cluster)
        ),
        {"seq_id": pl.String, "source": pl.String, "cluster": pl.String},
    )
    states = np.lib.format.open_memmap(
        folder / "states.npy", "w+", dtype=np.float16, shape=(n, WIDTH)
    )
    centres = generator.normal(size=(1000, WIDTH))
    for start in range(0, n, 100_000):
        rows = states[start : start + 100_000]
        rows[:] = centres[generator.integers(0, 1000, len(rows))]
        rows += generator.normal(scale=0.3, size=rows.shape).astype(np.float16)
    reference = draw("cci", n // 10, folder)
    write_table(folder / "reference.parquet", reference, CORESET)


def draw(strategy: str, budget: int, folder: Path) -> pl.DataFrame:
    """What the rule `select` does."""
    request = Selection(strategies=[NAMES[strategy]], controls=[]).request(NAMES[strategy])
    if strategy == "pool":
        request = replace(request, options={"epochs": 10})
    scored = [] if request.score is None else [request.score]
    scores = read_columns(folder / "scores.parquet", ["seq_id", "length", *scored])
    groups = reference = states = None
    if request.by is not None:
        groups = read_columns(folder / "groups.parquet", ["seq_id", request.by])
    if request.reference is not None:
        reference = read_table(folder / "reference.parquet", CORESET)
    if STRATEGIES[strategy].states:
        states = [np.load(folder / "states.npy", mmap_mode="r")]
    return select(scores, request, Budget(budget), 0, groups, reference, states)


def measure(strategy: str, n: int, folder: Path) -> None:
    """Draw in this process and print seconds, CPU seconds and MiB."""
    start, before = time.perf_counter(), time.process_time()
    draw(strategy, n // 10, folder)
    seconds, work = time.perf_counter() - start, time.process_time() - before
    # Not ru_maxrss, which a process has from its parent.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([seconds, work, peak]))


def table(found: dict[str, list[list[float]]], sizes: list[int]) -> str:
    """Markdown: a row a strategy; growth is from the last size but one to the last."""
    kinds = ["s", "CPU s", "MiB"]
    heads = [f"{n:,}: {kind}" for n in sizes for kind in kinds]
    heads += [f"growth, {kind}" for kind in kinds] if len(sizes) > 1 else []
    lines = [f"| strategy | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for strategy, runs in found.items():
        cells = [f"{value:,.{2 if i < 2 else 0}f}" for run in runs for i, value in enumerate(run)]
        cells += [f"{b / a:.1f}" for a, b in zip(*runs[-2:], strict=True)] if runs[1:] else []
        lines.append(f"| {strategy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--strategies", nargs="+", default=SHOWN, choices=list(NAMES))
    parser.add_argument("--repeats", type=int, default=1, help="the fastest counts")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        strategy, n, folder = arguments.child
        measure(strategy, int(n), Path(folder))
        return
    found: dict[str, list[list[float]]] = {name: [] for name in arguments.strategies}
    for n in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_pool(n, Path(folder))
            for strategy in arguments.strategies:
                command = [sys.executable, __file__, "--child", strategy, str(n), folder]
                runs = [
                    json.loads(subprocess.run(command, check=True, stdout=-1).stdout)
                    for _ in range(arguments.repeats)
                ]
                found[strategy].append(min(runs))
                print(n, strategy, found[strategy][-1], file=sys.stderr, flush=True)
    print(table(found, arguments.sizes))


if __name__ == "__main__":
    main()
