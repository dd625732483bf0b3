"""The scores of one setting: with another D_sub, base or fine-tuning than the run's own."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch
from torch import nn

from coresift.influence.columns import per_residue
from coresift.influence.curvature import curvature_of
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.scoring import score_shard
from coresift.influence.settings import Influence, Loss
from coresift.models.tokenizer import Encoder
from coresift.tables import conform
from coresift.validate.predict import SampleFishers
from coresift.validate.tables import SETTING_SCORE


def setting_scores(
    model: nn.Module,
    encoder: Encoder,
    influence: Influence,
    seed: int,
    device: torch.device,
    subset: pl.DataFrame,
    sample: pl.DataFrame,
    cache: str | Path,
) -> pl.DataFrame:
    """Self-influence a sequence, a residue, and by the other loss (`SETTING_SCORE`).

    Args:
        model: the setting's, fine-tuned on `subset`.
        influence: the run's own; its variants and targets are not looked at. Of the other loss,
            too, inputs are padded and attended to as it says.
        sample: `SEQUENCE`, the sequences scored.
        cache: of finished blocks, see `score_shard`.
    """
    found = {}
    other: Loss = "unmasked" if influence.loss == "masked" else "masked"
    for loss in (influence.loss, other):
        section = influence.model_copy(update={"loss": loss})
        settings = resolve_settings(section, seed)
        engine = InfluenceEngine(model, encoder, settings, device)
        curvature = curvature_of(
            engine, settings, SampleFishers(engine, subset, [section.parameters])
        )
        found[loss] = score_shard(engine, {"": curvature}, sample, cache)[""]
    scores = found[influence.loss]
    return conform(
        scores.with_columns(residue=per_residue(scores), other_loss=found[other]["influence"]),
        SETTING_SCORE,
    )
