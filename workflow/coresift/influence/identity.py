"""An exact identity between the Fisher and the scores, which every run checks.

With F = 1/n sum_z g(z) * g(z) over D_sub, the mean over D_sub of g^T (diag(F) + damping)^-1 g goes,
as the damping goes to 0, to

    1/n sum_z sum_i g_i(z)^2 / F_i = sum_i F_i / F_i = the number of i with F_i > 0.

The scores come by the way that the pool's do, the Fisher by its own: other gradients in one of the
two (another model, loss, mask, batch or sequence) and the two sides differ.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import torch

from coresift.influence.engine import InfluenceEngine
from coresift.influence.fisher import Fisher
from coresift.influence.gradients import Curvature
from coresift.influence.scoring import score_shard

logger = logging.getLogger(__name__)

#: Relative difference above which the two sides are said to differ; rounding is far below it.
TOLERANCE = 0.01


def undamped(fisher: Fisher, device: torch.device, dtype: torch.dtype) -> tuple[Curvature, int]:
    """The pseudo-inverse of diag(F), and the number of its entries that are not 0.

    F below what its dtype holds to full precision counts as 0.
    """
    limits = torch.finfo(dtype)
    inverse, count = {}, 0
    for name, total in fisher.sums.items():
        diagonal = total.double() / fisher.count
        positive = diagonal > limits.tiny / limits.eps
        count += int(positive.sum())
        values = torch.where(positive, 1 / diagonal, 0)
        inverse[name] = values.to(device=device, dtype=dtype)
    return Curvature(inverse), count


def check_identity(
    engine: InfluenceEngine, fisher: Fisher, subset: pl.DataFrame, cache: str | Path
) -> dict[str, Any]:
    """Both sides of the identity, logged; a warning where they differ.

    Args:
        fisher: diagonal sums of the engine's parameter set and loss over `subset`.
        subset: D_sub, columns of `SEQUENCE`.
        cache: see `score_shard`.

    Returns:
        mean_self_influence_at_zero_damping, parameters_with_fisher.
    """
    curvature, count = undamped(fisher.select(engine.shapes()), engine.device, engine.dtype)
    scores = score_shard(engine, {"identity": curvature}, subset, cache)["identity"]
    mean = float(scores["influence"].to_numpy().mean())
    close = abs(mean - count) <= TOLERANCE * count
    logger.log(
        logging.INFO if close else logging.WARNING,
        "mean self-influence of D_sub at zero damping: %.6g; parameters with a non-zero Fisher: "
        "%d (%s)",
        mean, count, "equal, as they must be" if close else "they differ: do not trust the scores",
    )  # fmt: skip
    return {"mean_self_influence_at_zero_damping": mean, "parameters_with_fisher": count}
