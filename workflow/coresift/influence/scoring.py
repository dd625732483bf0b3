"""Scoring a shard block by block: resumable, no finished row computed twice."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from torch import nn

from coresift.hashing import content_hash
from coresift.influence.curvature import Fishers, curvature_of
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.errors import ScoreError
from coresift.influence.gradients import Curvature
from coresift.influence.settings import Influence
from coresift.influence.tables import SCORE
from coresift.models.checkpoint import model_hash
from coresift.models.tokenizer import Encoder
from coresift.tables import conform, not_finite, read_table, write_table

logger = logging.getLogger(__name__)


def score_key(engine: InfluenceEngine, curvature: Curvature) -> str:
    """Hash of everything that decides a score: weights, inverse curvature and settings."""
    digest = hashlib.blake2b(digest_size=16)
    for key, inverse in sorted(curvature.inverse.items()):
        digest.update(key.encode())
        basis = curvature.bases.get(key)
        tensors = (inverse, *(() if basis is None else (basis.inputs, basis.outputs)))
        for tensor in tensors:
            digest.update(b"ones" if tensor is None else tensor.cpu().numpy().tobytes())
    return content_hash([model_hash(engine.model), digest.hexdigest(), engine.settings.of_pass()])


def score_frame(
    engine: InfluenceEngine, curvatures: Mapping[str, Curvature], frame: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Scores of the sequences of one block by each curvature (`SCORE`, in seq_id order).

    Raises:
        ScoreError: a score is not finite.
    """

    def compute() -> dict[str, list[pl.DataFrame]]:
        parts: dict[str, list[pl.DataFrame]] = {name: [] for name in curvatures}
        for rows, batch in engine.stream(frame):
            known = frame[rows.tolist()].select("seq_id", "length")
            for name, scores in engine.score_batch(batch, curvatures).items():
                parts[name].append(known.hstack(scores))
        return parts

    parts = engine.within_memory(frame, compute)
    result = {name: conform(pl.concat(part), SCORE).sort("seq_id") for name, part in parts.items()}
    for scores in result.values():
        bad = not_finite(scores)
        if bad.height:
            raise ScoreError(
                f"{bad.height} sequences have a NaN or infinite score: "
                f"{', '.join(bad['seq_id'].head(10))}"
            )
    return result


class ScoreCache:
    """Finished scores of one curvature, a file a block: no finished row is computed twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, block: int) -> pl.DataFrame:
        """Scores of a block so far (`SCORE`)."""
        path = self._path(block)
        return read_table(path, SCORE) if path.is_file() else pl.DataFrame(schema=dict(SCORE))

    def add(self, block: int, scores: pl.DataFrame) -> None:
        """Add rows to a block, atomically."""
        write_table(self._path(block), pl.concat([self.read(block), scores]).sort("seq_id"), SCORE)

    def _path(self, block: int) -> Path:
        return self.folder / f"{block:05d}.parquet"


def score_block(
    engine: InfluenceEngine,
    curvatures: Mapping[str, Curvature],
    caches: Mapping[str, ScoreCache],
    block: int,
    frame: pl.DataFrame,
) -> int:
    """Add the scores that a block lacks to the caches; returns the sequences computed.

    Sequences that lack the same scores share one pass, so that a score added to the config costs
    its own computation only.
    """
    lacking: dict[tuple[str, ...], list[str]] = defaultdict(list)
    known = {name: set(cache.read(block)["seq_id"]) for name, cache in caches.items()}
    for seq_id in frame["seq_id"]:
        lacking[tuple(name for name in curvatures if seq_id not in known[name])].append(seq_id)
    lacking.pop((), None)
    for names, seq_ids in lacking.items():
        missing = frame.filter(pl.col("seq_id").is_in(seq_ids))
        new = score_frame(engine, {name: curvatures[name] for name in names}, missing)
        for name, scores in new.items():
            caches[name].add(block, scores)
    return sum(map(len, lacking.values()))


def score_shard(
    engine: InfluenceEngine,
    curvatures: Mapping[str, Curvature],
    shard: pl.DataFrame,
    cache: str | Path,
) -> dict[str, pl.DataFrame]:
    """Scores of a shard by each curvature (`SCORE`), one row a sequence, in seq_id order.

    Rows scored before with the same model, curvature and settings are taken from `cache`; the
    others are computed in batches of one block and added to it, so a killed job loses at most a
    block and the number of shards changes no bit.

    Raises:
        ScoreError: a score is not finite.
    """
    caches = {
        name: ScoreCache(Path(cache) / score_key(engine, curvature))
        for name, curvature in curvatures.items()
    }
    results = {name: [pl.DataFrame(schema=dict(SCORE))] for name in curvatures}
    done, computed, start = 0, 0, time.monotonic()
    shown = start
    for (block,), frame in shard.sort("block", "seq_id").group_by("block", maintain_order=True):
        computed += score_block(engine, curvatures, caches, int(block), frame)
        done += frame.height
        for name, found in caches.items():
            rows = found.read(int(block)).join(frame.select("seq_id"), on="seq_id", how="semi")
            results[name].append(rows)
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            rate = max(1e-9, computed / (shown - start))
            left = (shard.height - done) / rate
            logger.info("%d/%d scored, %.0f/s, %.0f s left", done, shard.height, rate, left)
    logger.info("%d rows: %d reused, %d computed", done, done - computed, computed)
    scores = {name: pl.concat(parts).sort("seq_id") for name, parts in results.items()}
    for name, frame in scores.items():
        if not frame["seq_id"].equals(shard["seq_id"].sort()):
            raise ScoreError(f"{name}: {shard.height} sequences in, {frame.height} scores out")
    return scores


def score_all(
    model: nn.Module,
    encoder: Encoder,
    influence: Influence,
    seed: int,
    device: torch.device,
    fishers: Mapping[str, Mapping[str, str | Path]],
    shard: pl.DataFrame,
    cache: str | Path,
) -> dict[str, pl.DataFrame]:
    """Every score of the config over a shard, one pass a loss, by name; see `score_shard`.

    Args:
        fishers: path of the merged sums by loss and kind.

    Raises:
        ScoreError: a score is not finite.
    """
    results: dict[str, pl.DataFrame] = {}
    sections = influence.scores()
    for loss in dict.fromkeys(section.loss for section in sections.values()):
        settings = {
            name: resolve_settings(section, seed)
            for name, section in sections.items()
            if section.loss == loss
        }
        engine = InfluenceEngine(model, encoder, next(iter(settings.values())), device)
        sums = Fishers(fishers.get(loss, {}), device, engine.dtype)
        curvatures = {name: curvature_of(engine, s, sums) for name, s in settings.items()}
        results |= score_shard(engine, curvatures, shard, cache)
    return {name: results[name] for name in sections}
