"""What gradients predict for a small pool: influence on V and self-influence, by every way asked.

A way is a loss, a parameter set, a curvature and a damping. One pass over the pool a loss gives
them all (`influence.engine`): the gradients are the same, only what is made of them differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import torch
from torch import nn

from coresift.influence.curvature import Fishers, curvature_of, gradient_shapes, summing
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher
from coresift.influence.gradients import Basis, Form, GradientSums
from coresift.influence.kronecker import Kronecker, eigenbases
from coresift.influence.scoring import score_frame
from coresift.influence.settings import Influence
from coresift.influence.targets import target_direction
from coresift.models.tokenizer import Encoder
from coresift.tables import conform
from coresift.validate.tables import PREDICTED, WAY, parameters_text

Parameters = str | Sequence[str]


class SampleFishers(Fishers):
    """The sums over a few sequences, computed when asked for.

    Args:
        frame: columns seq_id, sequence.
        parameters: the parameter sets that need them.
    """

    def __init__(
        self, engine: InfluenceEngine, frame: pl.DataFrame, parameters: Sequence[Parameters]
    ) -> None:
        super().__init__({}, engine.device, engine.dtype)
        self._engine, self._frame, self._parameters = engine, frame, parameters

    def _sums(self, kind: str, bases: Mapping[str, Basis] | None = None) -> Fisher:
        make = summing(self._engine, kind, self._parameters, bases)
        return Fisher(self._engine.sums(self._frame, make), self._frame.height, {})

    @cached_property
    def diagonal(self) -> Fisher:
        """See `Fishers`."""
        return self._sums("diagonal")

    @cached_property
    def kronecker(self) -> Kronecker:
        """See `Fishers`."""
        found = eigenbases(self._sums("kronecker"))
        device, dtype = self._engine.device, self._engine.dtype
        bases = {
            key: Basis(basis.inputs.to(device, dtype), basis.outputs.to(device, dtype))
            for key, basis in found.bases.items()
        }
        return Kronecker(bases, found.eigenvalues)

    @cached_property
    def corrected(self) -> Fisher:
        """See `Fishers`."""
        return self._sums("corrected", self.kronecker.bases)


@dataclass(frozen=True)
class Ways:
    """What is tried, every combination: values of `settings.Validate` of the same names."""

    losses: Sequence[str]
    parameters: Sequence[Parameters]
    curvatures: Sequence[str]
    damping: Sequence[float]

    def sections(
        self, influence: Influence, loss: str
    ) -> Iterator[tuple[dict[str, Any], Influence]]:
        """Columns of `WAY` but model, and the influence section, of each way with one loss."""
        # A loss's ways share an engine, and compiled code does not see hooks inside the encoder.
        all_head = all(parameters == "head" for parameters in self.parameters)
        for parameters in self.parameters:
            for curvature in self.curvatures:
                for damping in self.damping if curvature != "identity" else [None]:
                    changes = {
                        "loss": loss,
                        "parameters": parameters,
                        "curvature": curvature,
                        "damping_mode": "relative",
                        "compile": influence.compile and all_head,
                        **({} if damping is None else {"damping": damping}),
                    }
                    shown = parameters_text(parameters)
                    way = {"loss": loss, "parameters": shown, "curvature": curvature}
                    yield {**way, "damping": damping}, influence.model_copy(update=changes)


def predict(
    model: nn.Module,
    encoder: Encoder,
    influence: Influence,
    ways: Ways,
    seed: int,
    device: torch.device,
    of: pl.DataFrame,
    pool: pl.DataFrame,
    target: pl.DataFrame,
) -> pl.DataFrame:
    """Influence on a target set and self-influence of every sequence by every way.

    Args:
        influence: what `ways` leaves open: precision, batches, masks, the preset's padding.
        of: the sequences that the curvature is of. pool: those scored. target: V. Columns seq_id,
            sequence, length.

    Returns:
        Columns of `PREDICTED` but model: ways in their order, within one in seq_id order.
    """
    parts = []
    for loss in ways.losses:
        sections = list(ways.sections(influence, loss))
        settings = [resolve_settings(section, seed) for _, section in sections]
        engine = InfluenceEngine(model, encoder, settings[0], device)
        fishers = SampleFishers(engine, of, ways.parameters)
        totals = {
            names: gradient_total(engine, names, target)
            for names in dict.fromkeys(own.parameters for own in settings)
        }
        forms: dict[str, Form] = {}
        for i, own in enumerate(settings):
            curvature = curvature_of(engine, own, fishers)
            forms[f"{i} self"] = curvature
            forms[f"{i} target"] = target_direction(
                curvature, totals[own.parameters], device, engine.dtype
            )
        scores = score_frame(engine, forms, pool)
        for i, (way, _) in enumerate(sections):
            found = scores[f"{i} self"]
            parts.append(
                found.select(
                    *(pl.lit(value, dtype=WAY[name]).alias(name) for name, value in way.items()),
                    "seq_id",
                    "n_tokens",
                    pl.col("influence").alias("self"),
                    scores[f"{i} target"]["influence"].alias("target"),
                    pl.col("loss").alias("own_loss"),
                )
            )
    return pl.concat(parts)


def gradient_total(engine: InfluenceEngine, parameters: Parameters, frame: pl.DataFrame) -> Fisher:
    """Sum of the gradients of a parameter set over the sequences of a frame, and their number."""
    shapes = gradient_shapes(engine, [parameters], joint=False)
    sums = engine.sums(frame, lambda: GradientSums(shapes, engine.device, engine.dtype))
    return Fisher(sums, frame.height, {})


def averaged(model: str, predictions: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Mean over models (`PREDICTED`), each with the rows of `predict` (TRAK's ensembles)."""
    first = predictions[0]
    means = [
        sum((p[name] for p in predictions[1:]), first[name]) / len(predictions)
        for name in ("self", "target", "own_loss")
    ]
    return conform(first.with_columns(pl.lit(model).alias("model"), *means), PREDICTED)
