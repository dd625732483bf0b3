"""Speed of training and scoring on one device, whether bits come twice, what bf16 does to ranks.

    PYTHONPATH=workflow python benchmarks/influence/device.py --device cuda --preset esm2-8m

The demo's sequences; weights of a short training. Prints lines, best read beside README.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.settings import Influence
from coresift.models.checkpoint import (
    build_model,
    choose_device,
    configure_torch,
    load_model,
    model_hash,
    save_model,
)
from coresift.models.tokenizer import Encoder
from coresift.settings import plain
from coresift.training.mlm import train_mlm
from coresift.training.settings import Optimisation
from scipy.stats import spearmanr
from workload import mixture, pool

#: Steps before the clock runs, and steps timed.
WARM, TIMED = 10, 60


def trained(
    preset: str, steps: int, tokens: int, precision: str, device: torch.device
) -> tuple[float, str, str]:
    """Seconds of a training from scratch; hash of its weights; where they are."""
    model, tokenizer = build_model(preset, "rna", 0)
    encoder = Encoder.from_tokenizer(tokenizer, "rna", 1024)
    options = plain(Optimisation(tokens_per_step=tokens, tokens_per_batch=65536))
    sequences = pool()["sequence"].to_list()
    folder = tempfile.mkdtemp()
    start = time.perf_counter()
    train_mlm(
        model, encoder, sequences, steps * tokens, options, 0, device, f"{folder}/work", precision
    )
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    save_model(Path(folder) / "checkpoint", model.cpu(), tokenizer)
    return seconds, model_hash(model), f"{folder}/checkpoint"


def scores(
    checkpoint: str, frame: pl.DataFrame, parameters: str, loss: str, precision: str, device: str
) -> tuple[float, np.ndarray]:
    """Seconds of scoring after a first pass, and scores in the order of the frame."""
    model, _, encoder = load_model(checkpoint, "rna", 1024)
    influence = Influence(
        parameters=parameters, loss=loss, precision=precision, tokens_per_batch=65536
    )
    where = torch.device(device)
    engine = InfluenceEngine(model, encoder, resolve_settings(influence, 0), where)
    subset = mixture(frame, min(50, frame.height))
    form = inverse_curvature(
        Fisher(engine.fisher_sums(subset), subset.height, {}), engine.settings, where
    )
    found = np.empty(frame.height)
    seconds = 0.0
    for _ in range(2 if where.type == "cuda" else 1):
        start = time.perf_counter()
        for rows, batch in engine.stream(frame):
            found[rows] = engine.score_batch(batch, {"": form})[""]["influence"].to_numpy()
        seconds = time.perf_counter() - start
    return seconds, found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--preset", default="esm2-8m")
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--sequences", type=int, default=2000)
    given = parser.parse_args()
    configure_torch(1)
    device = choose_device(given.device)
    checkpoint = ""
    for precision in ("float32", "bf16"):
        for tokens in given.tokens:
            # The first run loads kernels.
            _, first, _ = trained(given.preset, WARM, tokens, precision, device)
            short, again, _ = trained(given.preset, WARM, tokens, precision, device)
            long, _, checkpoint = trained(given.preset, WARM + TIMED, tokens, precision, device)
            step = (long - short) / TIMED
            print(
                f"train {given.preset} {precision}, steps of {tokens}: {step * 1e3:.1f} ms a step, "
                f"{tokens / step:,.0f} residues/s, the same bits twice: {first == again}",
                flush=True,
            )
    frame = mixture(pool(), given.sequences)
    residues = int(frame["sequence"].str.len_bytes().sum())
    for loss in ("unmasked", "masked"):
        for parameters in ("head", "linear"):
            by_precision = {}
            for precision in ("float32", "bf16"):
                seconds, found = scores(checkpoint, frame, parameters, loss, precision, str(device))
                by_precision[precision] = found
                print(
                    f"score {loss} {parameters} {precision}: {frame.height / seconds:,.0f} "
                    f"sequences/s, {residues / seconds:,.0f} residues/s",
                    flush=True,
                )
            few = mixture(frame, min(40, frame.height))
            _, on_cpu = scores(checkpoint, few, parameters, loss, "float32", "cpu")
            _, here = scores(checkpoint, few, parameters, loss, "float32", str(device))
            print(
                f"  Spearman bf16 and float32 {spearmanr(*by_precision.values())[0]:.5f}; largest "
                f"relative difference to a CPU {np.max(np.abs(here / on_cpu - 1)):.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
