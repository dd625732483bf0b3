"""What a target costs the scoring pass, and this checkout's pass beside another's.

    PYTHONPATH=workflow .venv/bin/python benchmarks/influence/targets.py [--against CHECKOUT]

Processes take turns, round after round; each scores the same sequences by the same weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The pass of a checkout: CPU seconds of scoring, the first round (caches, allocator) left out.
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
parameters, targets, rounds, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = np.random.default_rng(0)
rows = ["".join(rng.choice(list("ACGU"), k)) for k in rng.integers(30, 600, n)]
frame = pl.DataFrame({"seq_id": [f"{i:032x}" for i in range(n)], "sequence": rows})
model, tokenizer = build_model("tiny", "rna", 0)
encoder, cpu = Encoder.from_tokenizer(tokenizer, "rna", 1024), torch.device("cpu")
influence = Influence(parameters=parameters, tokens_per_batch=4096)
engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), cpu)
fisher = Fisher(engine.fisher_sums(frame[:32]), 32, {})
forms = {"": inverse_curvature(fisher, engine.settings, cpu)}
if targets:
    from coresift.influence.targets import target_direction
    from coresift.influence.gradients import GradientSums
    sums = engine.sums(frame[:32], lambda: GradientSums(engine.shapes(), cpu, engine.dtype))
    for i in range(targets):
        forms[str(i)] = target_direction(forms[""], Fisher(sums, 32, {}), cpu, engine.dtype)
for round in range(rounds + 1):
    start = time.process_time()
    for _, batch in engine.stream(frame):
        engine.score_batch(batch, forms)
    print(time.process_time() - start, flush=True)
"""
#: Name, and number of targets.
CASES = {"no target": 0, "1 target": 1, "4 targets": 4}


def measure(checkout: Path, parameters: str, targets: int, n: int) -> float:
    """CPU seconds of one pass in a fresh process, the second of two."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "workflow"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, parameters, str(targets), "1", str(n)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout, which may know no targets")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sequences", type=int, default=192)
    arguments = parser.parse_args()
    print("| parameters | pass | CPU ms a sequence | ratio, median of rounds |\n|---|---|---|---|")
    for parameters in ("head", "linear"):
        cases = {name: (ROOT, targets) for name, targets in CASES.items()}
        if arguments.against:
            cases = {"the other checkout": (arguments.against.resolve(), 0), **cases}
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(arguments.rounds):
            for name, (checkout, targets) in cases.items():
                times[name].append(measure(checkout, parameters, targets, arguments.sequences))
        first = next(iter(times.values()))
        for name, found in times.items():
            ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
            each = 1000 * statistics.median(found) / arguments.sequences
            print(f"| {parameters} | {name} | {each:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
