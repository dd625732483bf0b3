"""Influence engines side by side: same weights, same sequences, one run.

    python benchmarks/influence/run.py [--models tiny rna-fm]

Every method lives in its own process, so its peak memory is its own; the methods take turns, round
after round, so that a noisy moment hits all alike. Writes a CSV, a Markdown table and a plot to
results/benchmarks/. A method that cannot run is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from coresift.files import atomic_path, write_text
from coresift.models.checkpoint import build_model, save_model
from coresift.training.runs import pretrain
from matplotlib import pyplot as plt
from scipy.stats import spearmanr
from workload import CPU, ROOT, Workload, mixture, pool

OUT = ROOT / "results/benchmarks"
PACKAGES = ("torch", "transformers", "kronfluence", "opacus", "traker")


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        adapter: module of `peers`. parameters, loss: what it is asked for.
    """

    label: str
    adapter: str
    parameters: str
    loss: str = "unmasked"

    @property
    def set(self) -> str:
        """`head` or `linear`, yardsticks included."""
        return "linear" if self.parameters in ("linear", "all") else "head"

    @property
    def yardstick(self) -> str:
        """Label of the method that its time is divided by."""
        return "plain training step" if self.set == "linear" else "plain forward"


METHODS = [
    Method("plain forward", "yardstick", "none"),
    Method("coresift", "coresift", "head"),
    Method("coresift, masked", "coresift", "head", "masked"),
    Method("reference (jacrev, 1024)", "reference", "head"),
    Method("torch.func vmap(grad)", "functorch", "head"),
    Method("opacus", "opacus", "head"),
    Method("kronfluence diagonal", "kronfluence", "head"),
    Method("traker", "traker", "head"),
    Method("plain training step", "yardstick", "all"),
    Method("coresift", "coresift", "linear"),
    Method("coresift, masked", "coresift", "linear", "masked"),
    Method("torch.func vmap(grad)", "functorch", "linear"),
    Method("opacus", "opacus", "linear"),
    Method("kronfluence diagonal", "kronfluence", "linear"),
    Method("traker", "traker", "linear"),
]

#: Sequences, sequences of D_sub, padded tokens a batch: what a few minutes on 2 cores allow.
SIZES = {"tiny": (96, 32, 4096), "rna-fm": (8, 1, 2048)}


def checkpoint(preset: str, folder: Path) -> str:
    """The model under test, without dropout; `tiny` is trained a little, the large one random."""
    directory = folder / preset
    if preset == "tiny":
        options = {
            "learning_rate": 2e-3, "weight_decay": 0.01, "warmup_fraction": 0.05,
            "tokens_per_step": 4096, "tokens_per_batch": 4096, "mask_fraction": 0.15,
            "max_tokens": 1024, "clip_norm": 1.0, "checkpoint_steps": 10**6, "threads": 2,
        }  # fmt: skip
        train = mixture(pool(), 1000)
        pretrain(
            preset, "rna", train, 200_000, options, 0, CPU,
            directory, folder / "metrics.jsonl", folder / "work",
        )  # fmt: skip
    else:
        model, tokenizer = build_model(preset, "rna", 0)
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        save_model(directory, model, tokenizer)
    return str(directory)


class Worker:
    """One method in its own process."""

    def __init__(self, method: Method, workload: Workload, threads: int) -> None:
        self.method = method
        self.rounds: list[dict[str, Any]] = []
        arguments = [method.adapter, method.parameters, method.loss]
        self._process = subprocess.Popen(
            [
                sys.executable, str(Path(__file__).parent / "worker.py"), *arguments,
                json.dumps(asdict(workload)), str(threads),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        )  # fmt: skip
        self.error: str | None = None

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": f"died, status {self._process.wait()}"}

    def ready(self) -> None:
        """Wait until it is prepared."""
        self.error = self._read().get("error")
        print(f"{self.method}: {self.error or 'ready'}", flush=True)

    def round(self) -> None:
        """Score every sequence once."""
        if self.error is None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = self._read()
            self.error = answer.get("error")
            if self.error is None:
                self.rounds.append(answer)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def measure(
    preset: str, sets: list[str], rounds: int, threads: int, folder: Path
) -> Iterator[pl.DataFrame]:
    """All methods on one model: the table after every round."""
    n, subset, budget = SIZES[preset]
    workload = Workload(checkpoint(preset, folder), n, subset, budget)
    tokens = int((workload.frame()["sequence"].str.len_bytes() + 2).sum())
    workers: list[Worker] = []
    for method in [method for method in METHODS if method.set in sets]:
        workers.append(Worker(method, workload, threads))
        for worker in workers[-2:-1]:  # two at a time
            worker.ready()
    workers[-1].ready()
    for i in range(rounds):
        for worker in workers if i % 2 == 0 else reversed(workers):
            worker.round()
        print(f"{preset}: round {i + 1} of {rounds}", flush=True)
        yield pl.DataFrame([row(worker, workers, n, tokens, preset) for worker in workers])
    for worker in workers:
        worker.close()


def row(
    worker: Worker, workers: list[Worker], n: int, tokens: int, preset: str
) -> dict[str, object]:
    """One line of the table; ratios are taken within a round, medians over rounds."""
    method = worker.method
    line: dict[str, object] = {
        "model": preset, "method": method.label, "parameters": method.parameters,
        "sequences": n, "tokens": tokens,
    }  # fmt: skip
    empty = (
        "seconds",
        "sequences_per_s",
        "tokens_per_s",
        "peak_mb",
        "ratio",
        "cpu_ratio",
        "spearman",
    )
    if worker.error is not None:
        return {**line, **dict.fromkeys(empty), "note": worker.error}
    yardstick = next(w for w in workers if w.method.label == method.yardstick)
    ours = next(
        w for w in workers
        if (w.method.label, w.method.parameters) == ("coresift", method.parameters)
        or (w is worker and method.adapter == "yardstick")
    )  # fmt: skip
    seconds = float(np.median([r["seconds"] for r in worker.rounds]))

    def ratio(key: str) -> float:
        pairs = zip(worker.rounds, yardstick.rounds, strict=True)
        return float(np.median([a[key] / b[key] for a, b in pairs]))

    scores = [w.rounds[0]["scores"] for w in (worker, ours) if w.rounds]
    known = len(scores) == 2 and scores[0] is not None
    return {
        **line,
        "seconds": seconds,
        "sequences_per_s": n / seconds,
        "tokens_per_s": tokens / seconds,
        "peak_mb": max(r["peak_mb"] for r in worker.rounds),
        "ratio": ratio("seconds"),
        "cpu_ratio": ratio("cpu_seconds"),
        "spearman": float(spearmanr(*scores).statistic) if known else None,
        "note": "",
    }


def environment(threads: int) -> str:
    """Machine, date and versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"{cpu}, {threads} threads, {date.today()}; {', '.join(found)}"


def markdown(table: pl.DataFrame, head: str) -> str:
    """The table as the README shows it."""
    lines = [
        head, "",
        "| model | method | parameters | sequences/s | tokens/s | peak MB | ratio | CPU ratio | "
        "Spearman |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in table.iter_rows(named=True):
        start = f"| {r['model']} | {r['method']} | {r['parameters']} |"
        if r["seconds"] is None:
            lines.append(f"{start} {r['note']} | | | | | |")
            continue
        rank = "" if r["spearman"] is None else f"{r['spearman']:.3f}"
        lines.append(
            f"{start} {r['sequences_per_s']:.3g} | {r['tokens_per_s']:.0f} | "
            f"{r['peak_mb']:.0f} | {r['ratio']:.2f} | "
            f"{r['cpu_ratio']:.2f} | {rank} |"
        )
    return "\n".join(lines) + "\n"


def plot(table: pl.DataFrame, path: Path) -> None:
    """Time of every method as a multiple of its yardstick, a panel a model."""
    models = table["model"].unique(maintain_order=True).to_list()
    figure, axes = plt.subplots(1, len(models), figsize=(7 * len(models), 5), squeeze=False)
    for ax, model in zip(axes[0], models, strict=True):
        rows = table.filter((pl.col("model") == model) & pl.col("ratio").is_not_null())[::-1]
        names = [f"{r['method']}, {r['parameters']}" for r in rows.iter_rows(named=True)]
        ours = rows["method"].str.starts_with("coresift")
        bars = ax.barh(names, rows["ratio"], color=["tab:blue" if o else "0.7" for o in ours])
        ax.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
        ax.axvline(1, color="black", linewidth=0.8)
        ax.set(title=model, xscale="log", xlabel="time / yardstick (forward; training step)")
        ax.tick_params(labelsize=8)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg")


def save(table: pl.DataFrame, name: str, threads: int) -> None:
    """Write CSV, Markdown and plot."""
    with atomic_path(OUT / f"{name}.csv") as temporary:
        table.write_csv(temporary)
    write_text(OUT / f"{name}.md", markdown(table, environment(threads)))
    plot(table, OUT / f"{name}.svg")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--sets", nargs="+", default=["head", "linear"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    name = "-".join(["influence", *options.models, *options.sets])
    done: dict[str, pl.DataFrame] = {}
    with tempfile.TemporaryDirectory() as folder:
        for preset in options.models:
            arguments = (options.sets, options.rounds, options.threads, Path(folder))
            # Saved after every round: a run that is stopped leaves a table.
            for table in measure(preset, *arguments):
                done[preset] = table
                save(pl.concat(done.values(), how="vertical_relaxed"), name, options.threads)
    print((OUT / f"{name}.md").read_text())


if __name__ == "__main__":
    main()
