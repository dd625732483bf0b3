"""What a target costs the scoring pass, and this checkout's pass beside another's.

    PYTHONPATH=workflow .venv/bin/python benchmarks/influence/targets.py [--against CHECKOUT]

A process a checkout; they take turns, round after round. All score the same sequences by the same
weights. CPU time, for a busy machine disturbs it less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: A checkout's passes: a line of its input asks for the CPU seconds of each, with so many targets.
WORKER = """
import sys, time
import numpy as np
import torch
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.settings import Influence
from coresift.models.checkpoint import build_model
from coresift.models.tokenizer import Encoder
import polars as pl

torch.set_num_threads(1)
parameters, n, cases = sys.argv[1], int(sys.argv[2]), [int(k) for k in sys.argv[3:]]
rng = np.random.default_rng(0)
rows = ["".join(rng.choice(list("ACGU"), k)) for k in rng.integers(30, 600, n)]
frame = pl.DataFrame({"seq_id": [f"{i:032x}" for i in range(n)], "sequence": rows})
model, tokenizer = build_model("tiny", "rna", 0)
encoder, cpu = Encoder.from_tokenizer(tokenizer, "rna", 1024), torch.device("cpu")
influence = Influence(parameters=parameters, tokens_per_batch=4096)
engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), cpu)
fisher = Fisher(engine.fisher_sums(frame[:32]), 32, {})
curvature = inverse_curvature(fisher, engine.settings, cpu)
if any(cases):
    from coresift.influence.targets import target_direction
    from coresift.influence.gradients import GradientSums
    make = lambda: GradientSums(engine.shapes(), cpu, engine.dtype)
    sums = Fisher(engine.sums(frame[:32], make), 32, {})
for _ in sys.stdin:
    for k in cases:
        forms = {"": curvature}
        for i in range(k):
            forms[str(i)] = target_direction(curvature, sums, cpu, engine.dtype)
        start = time.process_time()
        for _, batch in engine.stream(frame):
            engine.score_batch(batch, forms)
        print(time.process_time() - start, end=" ")
    print(flush=True)
"""
#: Numbers of targets of this checkout's passes.
CASES = (0, 1, 4)


class Passes:
    """The process of a checkout."""

    def __init__(self, checkout: Path, parameters: str, n: int, cases: Sequence[int]) -> None:
        environment = {"PYTHONPATH": str(checkout / "workflow"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", WORKER, parameters, str(n), *map(str, cases)]
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def measure(self) -> list[float]:
        """CPU seconds of each pass."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [float(value) for value in self._process.stdout.readline().split()]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout, which may know no targets")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sequences", type=int, default=96)
    arguments = parser.parse_args()
    print("| parameters | pass | CPU ms a sequence | ratio, median of rounds |\n|---|---|---|---|")
    for parameters in ("head", "linear"):
        names = [f"{k} targets" for k in CASES]
        workers = [Passes(ROOT, parameters, arguments.sequences, CASES)]
        if arguments.against:
            names.insert(0, "the other checkout")
            checkout = arguments.against.resolve()
            workers.insert(0, Passes(checkout, parameters, arguments.sequences, (0,)))
        rounds = []
        for _ in range(arguments.rounds + 1):
            rounds.append([value for worker in workers for value in worker.measure()])
        for worker in workers:
            worker.close()
        for name, found in zip(names, zip(*rounds[1:], strict=True), strict=True):
            first = [values[0] for values in rounds[1:]]
            ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
            each = 1000 * statistics.median(found) / arguments.sequences
            print(f"| {parameters} | {name} | {each:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
