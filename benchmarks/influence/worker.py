"""One method in its own process: prepares, then scores once for every line it reads."""

from __future__ import annotations

import importlib
import json
import logging
import re
import resource
import sys
import time
from pathlib import Path

import torch
from workload import Workload


def status_mb(field: str) -> float:
    """VmRSS or VmHWM of this process, MB."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) / 1024


def main() -> None:
    """Arguments: adapter, parameters, loss, workload (JSON), threads."""
    adapter, parameters, loss, workload, threads = sys.argv[1:]
    reply, sys.stdout = sys.stdout, sys.stderr  # libraries print
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)  # two workers prepare at a time

    def answer(**values: object) -> None:
        print(json.dumps(values), file=reply, flush=True)

    given = Workload(**json.loads(workload))
    try:
        module = importlib.import_module(f"peers.{adapter}")
        weights = sum(p.stat().st_size for p in Path(given.checkpoint).glob("*.safetensors"))
        baseline = status_mb("VmRSS") + weights / 2**20
        run = module.prepare(given, parameters, loss)
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        raise
    answer(ready=True)
    torch.set_num_threads(int(threads))
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        scores = run()
        seconds, end = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        answer(
            seconds=seconds,
            cpu_seconds=end.ru_utime + end.ru_stime - cpu.ru_utime - cpu.ru_stime,
            peak_mb=status_mb("VmHWM") - baseline,
            scores=None if scores is None else scores.tolist(),
        )


if __name__ == "__main__":
    main()
