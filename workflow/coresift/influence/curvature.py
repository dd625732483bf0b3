"""From a config's curvatures to the sums over D_sub they need, and back to inverse curvatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch

from coresift.influence.engine import InfluenceEngine, Settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.gradients import Basis, Curvature, SquareSums, Summing
from coresift.influence.kronecker import FactorSums, Kronecker
from coresift.influence.parameters import resolve_layers


def gradient_shapes(
    engine: InfluenceEngine, parameters: Iterable[str | Sequence[str]], joint: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes by key of the gradients of parameter sets: of every tensor, or `joint` of a layer."""
    layers = [layer for names in parameters for layer in resolve_layers(engine.model, names)]
    if joint:
        return dict(layer.matrix for layer in layers)
    return dict(tensor for layer in layers for tensor in layer.tensors)


def summing(
    engine: InfluenceEngine,
    kind: str,
    parameters: Iterable[str | Sequence[str]],
    bases: Mapping[str, Basis] | None = None,
) -> Callable[[], Summing]:
    """Maker of the visitor whose sums over D_sub are wanted.

    Args:
        kind: see `settings.FISHER_KINDS`.
        parameters: the parameter sets that need them.
        bases: the eigenbases, for kind corrected.
    """
    shapes = gradient_shapes(engine, parameters, joint=kind != "diagonal")
    if kind == "kronecker":
        return lambda: FactorSums(shapes, engine.device, engine.dtype)
    return lambda: SquareSums(shapes, engine.device, engine.dtype, bases)


class Fishers:
    """The merged sums of one loss, read when asked for.

    Args:
        files: path by kind.
    """

    def __init__(
        self, files: Mapping[str, str | Path], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._files, self._device, self._dtype = files, device, dtype

    @cached_property
    def diagonal(self) -> Fisher:
        """Squares of every tensor's gradient."""
        return Fisher.load(self._files["diagonal"])

    @cached_property
    def kronecker(self) -> Kronecker:
        """Eigenbases and eigenvalues of the Kronecker factors, the bases on the device."""
        return Kronecker.load(self._files["kronecker"], self._device, self._dtype)

    @cached_property
    def corrected(self) -> Fisher:
        """Squares of every layer's gradient in the eigenbases."""
        return Fisher.load(self._files["corrected"])


def curvature_of(engine: InfluenceEngine, settings: Settings, fishers: Fishers) -> Curvature:
    """The inverse curvature of a score.

    Raises:
        ValueError: see `inverse_curvature`.
    """
    joint = settings.curvature in ("kfac", "ekfac")
    keys = list(gradient_shapes(engine, [settings.parameters], joint))
    bases: Mapping[str, Basis] = {}
    if settings.curvature == "identity":
        eigenvalues = Fisher(dict.fromkeys(keys, torch.empty(0)), 1, {})
    elif settings.curvature == "diag_fisher":
        eigenvalues = fishers.diagonal.select(keys)
    else:
        bases = {key: fishers.kronecker.bases[key] for key in keys}
        kfac = settings.curvature == "kfac"
        eigenvalues = (fishers.kronecker.eigenvalues if kfac else fishers.corrected).select(keys)
    return inverse_curvature(eigenvalues, settings, engine.device, bases)
