"""Does a shard's size matter? Seconds a sequence and peak memory of `score_shard`, size by size.

    python benchmarks/influence/growth.py [--sizes 1000 10000 100000]

Short random RNA (30-60 residues), the `tiny` model, head, 1,000 sequences a block, one process a
size. Writes results/benchmarks/growth.csv and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import torch
from coresift.corpus.blocks import blocks_of, hash_words, hexadecimal
from coresift.corpus.tables import SEQUENCE
from coresift.files import atomic_path
from coresift.hashing import seeded_generator
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.scoring import score_shard
from coresift.influence.settings import Influence
from coresift.models.checkpoint import build_model
from coresift.models.tokenizer import Encoder
from coresift.tables import conform
from worker import status_mb
from workload import CPU, ROOT


def shard(n: int) -> pl.DataFrame:
    """`n` random sequences, columns of `SEQUENCE`."""
    generator = seeded_generator(0, "growth")
    lengths = generator.integers(30, 61, n)
    letters = "".join(generator.choice(list("ACGU"), int(lengths.sum())))
    ends = np.cumsum(lengths)
    sequences = [letters[e - k : e] for e, k in zip(ends, lengths, strict=True)]
    words = hash_words(letters.encode(), ends - lengths, ends)
    frame = pl.DataFrame({"sequence": sequences}).with_columns(
        seq_id=pl.Series(hexadecimal(words)),
        block=pl.Series(blocks_of(words[:, 0], max(1, n // 1000))),
        length=pl.Series(lengths),
        n_copies=1,
        n_windows=0,
        source_ids=pl.lit([""], dtype=pl.List(pl.String)),
    )
    return conform(frame.unique("seq_id").sort("seq_id"), SEQUENCE)


def measure(n: int, budget: int) -> dict[str, float]:
    """Score one shard in this process."""
    torch.set_num_threads(1)
    model, tokenizer = build_model("tiny", "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    settings = resolve_settings(Influence(tokens_per_batch=budget), 0)
    engine = InfluenceEngine(model, encoder, settings, CPU)
    frame = shard(n)
    fisher = Fisher(engine.fisher_sums(frame[:500]), 500, {})
    curvature = inverse_curvature(fisher, settings, CPU)
    loaded = status_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        score_shard(engine, {"influence": curvature}, frame, cache)
        seconds = time.perf_counter() - start
    return {
        "sequences": frame.height,
        "tokens_per_batch": budget,
        "seconds": seconds,
        "ms_per_sequence": 1e3 * seconds / frame.height,
        "shard_mb": frame.estimated_size("mb"),
        "peak_above_loaded_mb": status_mb("VmHWM") - loaded,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--budgets", type=int, nargs="+", default=[4096, 16384])
    options = parser.parse_args()
    cases = [(n, budget) for budget in options.budgets for n in options.sizes]
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as executor:
        rows = [executor.submit(measure, *case).result() for case in cases]
    table = pl.DataFrame(rows)
    with atomic_path(ROOT / "results/benchmarks/growth.csv") as temporary:
        table.write_csv(temporary, float_precision=3)
    print("| " + " | ".join(table.columns) + " |\n" + "|---" * table.width + "|")
    for row in table.iter_rows():
        print("| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) + " |")


if __name__ == "__main__":
    main()
