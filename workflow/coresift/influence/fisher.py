"""The diagonal empirical Fisher over D_sub, and its damped inverse.

diag(F) = 1/M sum_z g(z) * g(z) (paper, section 3.2). Sums and counts are stored, so Fishers of
disjoint parts of D_sub merge exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coresift.influence.engine import Settings
from coresift.influence.gradients import Curvature
from coresift.io import read_tensors, write_tensors


@dataclass(frozen=True)
class Fisher:
    """Sums of squared per-sequence gradients (float64) over `count` sequences, and their origin."""

    sums: dict[str, torch.Tensor]
    count: int
    metadata: dict[str, Any]

    def save(self, path: str | Path) -> None:
        """Write as safetensors, atomically."""
        write_tensors(path, self.sums, {**self.metadata, "count": self.count})

    @classmethod
    def load(cls, path: str | Path) -> Fisher:
        """Read a saved Fisher.

        Raises:
            ValueError: not a Fisher file.
        """
        sums, metadata = read_tensors(path)
        if "count" not in metadata:
            raise ValueError(f"{path}: not a Fisher file (no count)")
        return cls(sums, int(metadata.pop("count")), metadata)


def merge_fishers(parts: Sequence[Fisher]) -> Fisher:
    """The Fisher of the union of disjoint parts.

    Raises:
        ValueError: the parts are of different models or settings.
    """
    first = parts[0]
    if any(part.metadata != first.metadata for part in parts):
        raise ValueError("Fishers of different models or settings cannot be merged")
    sums = {name: sum(part.sums[name] for part in parts) for name in first.sums}
    return Fisher(sums, sum(part.count for part in parts), first.metadata)  # type: ignore[arg-type]


def inverse_curvature(fisher: Fisher, settings: Settings, device: torch.device) -> Curvature:
    """1 / (diag(F) + damping) of every scored tensor; ones for `curvature: identity`.

    Relative damping is a multiple of the mean of diag(F) over all scored parameters.

    Raises:
        ValueError: the Fisher is zero or not finite where an inverse is needed.
    """
    dtype = torch.float64 if settings.precision == "float64" else torch.float32
    if settings.curvature == "identity":
        return Curvature(dict.fromkeys(fisher.sums))
    diagonal = {name: total / fisher.count for name, total in fisher.sums.items()}
    damping = settings.damping
    if settings.damping_mode == "relative":
        size = sum(d.numel() for d in diagonal.values())
        damping *= float(sum(d.sum() for d in diagonal.values())) / size
    if not 0 < damping < float("inf"):
        raise ValueError(f"the Fisher's mean is {damping / settings.damping}: no gradient signal")
    return Curvature(
        {n: (1 / (d + damping)).to(device=device, dtype=dtype) for n, d in diagonal.items()}
    )
