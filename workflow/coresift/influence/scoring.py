"""Scoring a shard block by block: resumable, no finished row computed twice."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from pathlib import Path

import polars as pl
import torch

from coresift.hashing import content_hash
from coresift.influence.engine import InfluenceEngine
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.io import SCORE, conform, read_table, write_table
from coresift.models.checkpoint import model_hash

logger = logging.getLogger(__name__)


class ScoreError(ValueError):
    """A sequence has a NaN or infinite score; the message names it."""


def score_key(engine: InfluenceEngine, fisher: Fisher) -> str:
    """Hash of everything that decides a score: weights, Fisher and settings."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(fisher.sums.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    settings = dataclasses.asdict(engine.settings)
    return content_hash([model_hash(engine.model), digest.hexdigest(), fisher.count, settings])


def score_frame(
    engine: InfluenceEngine, inverse: dict[str, torch.Tensor], frame: pl.DataFrame
) -> pl.DataFrame:
    """Scores of the sequences of one block (columns of `SCORE`, in seq_id order).

    Raises:
        ScoreError: a score is not finite.
    """
    parts = []
    for rows in engine.batches(frame):
        part = frame[rows.tolist()]
        scores = engine.score_rows(part["sequence"].to_list(), part["seq_id"].to_list(), inverse)
        parts.append(part.select("seq_id", "length").hstack(scores))
    result = conform(pl.concat(parts), SCORE).sort("seq_id")
    bad = result.filter(~pl.all_horizontal(pl.col(pl.Float64).is_finite()))
    if bad.height:
        raise ScoreError(
            f"{bad.height} sequences have a NaN or infinite score: "
            f"{', '.join(bad['seq_id'].head(10))}"
        )
    return result


def score_shard(
    engine: InfluenceEngine, fisher: Fisher, shard: pl.DataFrame, cache: str | Path
) -> pl.DataFrame:
    """Scores of a shard (columns of `SCORE`), one row a sequence, in seq_id order.

    Rows scored before by the same model, Fisher and settings are taken from `cache`; the others
    are computed in batches of one block and added to it, so a killed job loses at most a block
    and the number of shards changes no bit.

    Raises:
        ScoreError: a score is not finite.
    """
    folder = Path(cache) / score_key(engine, fisher)
    inverse = inverse_curvature(fisher, engine.settings, engine.device)
    results = [pl.DataFrame(schema=dict(SCORE))]
    done, reused, start = 0, 0, time.monotonic()
    shown = start
    for (block,), frame in shard.sort("block", "seq_id").group_by("block", maintain_order=True):
        path = folder / f"{int(block):05d}.parquet"
        known = read_table(path, SCORE) if path.is_file() else results[0].clear()
        missing = frame.join(known, on="seq_id", how="anti", maintain_order="left")
        if missing.height:
            new = score_frame(engine, inverse, missing)
            known = pl.concat([known, new]).sort("seq_id")
            write_table(path, known, SCORE)
        done, reused = done + frame.height, reused + frame.height - missing.height
        results.append(known.join(frame.select("seq_id"), on="seq_id", how="semi"))
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            rate = max(1e-9, (done - reused) / (shown - start))
            left = (shard.height - done) / rate
            logger.info("%d/%d scored, %.0f/s, %.0f s left", done, shard.height, rate, left)
    logger.info("%d rows: %d reused, %d computed", done, reused, done - reused)
    scores = pl.concat(results).sort("seq_id")
    if not scores["seq_id"].equals(shard["seq_id"].sort()):
        raise ScoreError(f"{shard.height} sequences in, {scores.height} scores out")
    return scores
