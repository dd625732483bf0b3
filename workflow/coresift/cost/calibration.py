"""Seconds an operation takes on a device: measured with the pipeline's own code, or assumed."""

from __future__ import annotations

import logging
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
import torch
from pydantic import Field, ValidationError
from scipy.optimize import nnls
from transformers import PreTrainedModel

from coresift.config import Config
from coresift.corpus.blocks import sequence_id
from coresift.cost.operations import Flops, Load, Pass, flops, make_model
from coresift.dag.machine import processor
from coresift.files import read_json
from coresift.hashing import seeded_generator
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.gradients import Curvature
from coresift.influence.scoring import score_frame
from coresift.influence.settings import Influence
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.models.tokenizer import Encoder
from coresift.settings import Section
from coresift.training.mlm import train_mlm

logger = logging.getLogger(__name__)

#: Published peaks, operations a second, dense (NVIDIA data sheets; float32 without TF32), and GB.
GPUS: dict[str, dict[str, float]] = {
    "a100": {"float32": 19.5e12, "bf16": 312e12, "memory": 80},
    "h100": {"float32": 67e12, "bf16": 989e12, "memory": 80},
    "l40s": {"float32": 91.6e12, "bf16": 362e12, "memory": 48},
}
#: Tokens of the rows that a calibration is measured on.
LENGTHS = (64, 256, 1022)
Seconds = Annotated[float, Field(ge=0)]


class EstimateError(ValueError):
    """The estimate cannot be made; the message says what is missing."""


@dataclass(frozen=True)
class Work:
    """A pass of a model, in a precision, with a number of CPU threads."""

    model: str
    path: Pass
    precision: str
    threads: int


class Rate(Section):
    """Seconds of one pass of one model: per operation in linear layers and in attention, and per
    sequence (encoding, masks, what a score does once a gradient).
    """

    model: str
    path: Pass
    precision: Literal["float32", "bf16", "float64"]
    threads: int
    linear: Seconds
    attention: Seconds
    sequence: Seconds

    def seconds(self, operations: Flops, sequences: float) -> float:
        """Seconds of so many operations and sequences."""
        work = operations.linear * self.linear + operations.attention * self.attention
        return work + sequences * self.sequence


class Calibration(Section):
    """Measured rates of one device."""

    device: str
    kind: Literal["cpu", "cuda", "mps"]
    date: str
    torch: str
    rates: list[Rate]


@dataclass(frozen=True)
class Device:
    """Where hours come from.

    Attributes:
        name: says whether they are measured or assumed.
        rate: of a pass.
        memory_gb: what it holds, where known. on_host: the model lives in the host's memory.
    """

    name: str
    rate: Callable[[Work], Rate]
    memory_gb: float | None
    on_host: bool


def measured(calibration: Calibration) -> Device:
    """A device by its calibration; a plain forward goes at the rate of scoring the head."""

    def rate(work: Work) -> Rate:
        path = "head" if work.path == "forward" else work.path
        wanted = (work.model, path, work.precision, work.threads)
        known = {(r.model, r.path, r.precision, r.threads): r for r in calibration.rates}
        if wanted not in known:
            raise EstimateError(
                f"{calibration.device} is not calibrated for model/pass/precision/threads "
                f"{'/'.join(map(str, wanted))}; known: "
                f"{', '.join('/'.join(map(str, key)) for key in known)}. Run --calibrate there "
                "with this config, or assume a --gpu"
            )
        return known[wanted]

    name = f"{calibration.device}, measured {calibration.date}"
    return Device(name, rate, None, calibration.kind == "cpu")


def assumed(gpu: str, utilisation: float) -> Device:
    """A GPU by its published peak, labelled as the assumption it is."""
    peaks = GPUS[gpu]

    def rate(work: Work) -> Rate:
        seconds = 1 / (peaks["bf16" if work.precision == "bf16" else "float32"] * utilisation)
        return Rate(**asdict(work), linear=seconds, attention=seconds, sequence=0)

    name = (
        f"{gpu.upper()}, ASSUMED and not measured: published peak "
        f"({peaks['bf16'] / 1e12:g} TFLOP/s bf16, {peaks['float32'] / 1e12:g} float32) "
        f"x utilisation {utilisation:g}"
    )
    return Device(name, rate, peaks["memory"], False)


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration.

    Raises:
        EstimateError: no such file, or a key is unknown, missing or wrong.
    """
    try:
        return Calibration.model_validate(read_json(path))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False)
        )
        raise EstimateError(f"{path}: not a calibration: {problems}") from None
    except (OSError, ValueError) as error:
        raise EstimateError(f"{path}: not a readable calibration ({error})") from None


def merged(old: Calibration, new: Calibration) -> Calibration:
    """The rates of both; the new one's where both have a pass.

    Raises:
        EstimateError: they are of different devices.
    """
    if (old.device, old.kind) != (new.device, new.kind):
        raise EstimateError(f"the calibration there is of {old.device}, this is {new.device}")
    rates = {(r.model, r.path, r.precision, r.threads): r for r in [*old.rates, *new.rates]}
    return new.model_copy(update={"rates": list(rates.values())})


def calibrate(config: Config, works: list[Work], tokens: int) -> Calibration:
    """Measure passes on the config's device.

    Every pass is timed on `tokens` tokens of random residues at each of `LENGTHS`; the three
    rates, none negative, are fitted to the relative times.
    """
    device = choose_device(config.device)
    rates = []
    for work in works:
        configure_torch(work.threads)
        operations, seconds = [], []
        for length in LENGTHS:
            n = max(1, tokens // length)
            model, encoder = make_model(work.model, config.modality)
            frame = _random_sequences(encoder, n, length - 2)
            time_pass = _time_training if work.path == "train" else _time_scoring
            seconds.append(time_pass(config, work, device, model, encoder, frame))
            count = flops(model.config, work.path, Load(n, n * length, n * length**2))
            operations.append((count.linear, count.attention, n))
            speed = count.total / seconds[-1] / 1e9
            logger.info("%s: %d x %d tokens, %.1f GFLOP/s", work, n, length, speed)
        relative = np.array(operations) / np.array(seconds)[:, None]
        linear, attention, sequence = nnls(relative, np.ones(len(LENGTHS)))[0]
        rates.append(
            Rate(
                **asdict(work),
                linear=float(linear),
                attention=float(attention),
                sequence=float(sequence),
            )
        )
    return Calibration(
        device=_device_name(device), kind=device.type, date=str(date.today()),
        torch=torch.__version__, rates=rates,
    )  # fmt: skip


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {processor() or platform.processor()}"


def _random_sequences(encoder: Encoder, n: int, length: int) -> pl.DataFrame:
    letters = [chr(c) for c in range(256) if encoder.table[c] in encoder.letter_ids]
    draws = seeded_generator(0, "calibrate", str(length)).choice(letters, (n, length))
    sequences = ["".join(row) for row in draws]
    ids = [sequence_id(s) for s in sequences]
    return pl.DataFrame({"seq_id": ids, "sequence": sequences, "length": [length] * n})


def _best_of_three(run: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _time_scoring(
    config: Config,
    work: Work,
    device: torch.device,
    model: PreTrainedModel,
    encoder: Encoder,
    frame: pl.DataFrame,
) -> float:
    given = config.influence
    influence = Influence(
        parameters=work.path,
        precision=work.precision,
        tokens_per_batch=given.tokens_per_batch,
        compile=given.compile and work.path == "head",
    )
    settings = resolve_settings(influence, 0)
    engine = InfluenceEngine(model, encoder, settings, device)
    ones = {n: torch.ones(s, device=device, dtype=engine.dtype) for n, s in engine.shapes().items()}
    curvatures = {"influence": Curvature(ones)}
    return _best_of_three(lambda: score_frame(engine, curvatures, frame), device)


def _time_training(
    config: Config,
    work: Work,
    device: torch.device,
    model: PreTrainedModel,
    encoder: Encoder,
    frame: pl.DataFrame,
) -> float:
    residues = int(frame["length"].sum())
    options = {**config.pretrain.model_dump(), "tokens_per_step": residues}
    sequences = frame["sequence"].to_list()
    with tempfile.TemporaryDirectory() as folder:
        return _best_of_three(
            lambda: train_mlm(
                model, encoder, sequences, residues, options, 0, device, folder, work.precision
            ),
            device,
        )
