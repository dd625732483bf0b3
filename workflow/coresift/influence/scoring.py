"""Scoring a shard block by block: resumable, no finished row computed twice."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import torch
import xxhash
from torch import nn

from coresift.dag.pace import Pace
from coresift.hashing import content_hash
from coresift.influence.curvature import Fishers, curvature_of
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.errors import ScoreError
from coresift.influence.fisher import Fisher
from coresift.influence.gradients import Direction, Form
from coresift.influence.settings import Influence
from coresift.influence.tables import MEASURED
from coresift.influence.targets import target_direction
from coresift.models.checkpoint import machine, origin
from coresift.models.tokenizer import Encoder
from coresift.tables import conform, not_finite, read_table, write_table

logger = logging.getLogger(__name__)


def score_key(engine: InfluenceEngine, form: Form) -> str:
    """Hash of everything that decides a score: model, form, settings, machine."""
    digest = hashlib.blake2b(digest_size=16)
    matrices: Mapping[str, torch.Tensor | None]
    if isinstance(form, Direction):
        matrices = form.matrices
        digest.update(b"direction")
    else:
        matrices = form.inverse
    for key, matrix in sorted(matrices.items()):
        digest.update(key.encode())
        basis = form.bases.get(key)
        tensors = (matrix, *(() if basis is None else (basis.inputs, basis.outputs)))
        for tensor in tensors:
            digest.update(b"ones" if tensor is None else tensor.cpu().numpy().tobytes())
    return content_hash(
        [
            *(origin(engine.model, engine.encoder), digest.hexdigest()),
            *(engine.settings.of_pass(), machine(engine.device, __file__)),
        ]
    )


def score_frame(
    engine: InfluenceEngine, forms: Mapping[str, Form], frame: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Scores of the sequences of one block by each form (`MEASURED`, in seq_id order).

    Raises:
        ScoreError: a score is not finite.
    """

    def compute() -> dict[str, list[pl.DataFrame]]:
        parts: dict[str, list[pl.DataFrame]] = {name: [] for name in forms}
        for rows, batch in engine.stream(frame):
            known = frame[rows.tolist()].select("seq_id", "length")
            for name, scores in engine.score_batch(batch, forms).items():
                parts[name].append(known.hstack(scores))
        return parts

    parts = engine.within_memory(frame, compute)
    result = {
        name: conform(pl.concat(part), MEASURED).sort("seq_id") for name, part in parts.items()
    }
    for scores in result.values():
        bad = not_finite(scores)
        if bad.height:
            raise ScoreError(
                f"{bad.height} sequences have a NaN or infinite score: "
                f"{', '.join(bad['seq_id'].head(10))}"
            )
    return result


class ScoreCache:
    """Finished scores of one form, a file a block: no finished row is computed twice.

    Several processes may use a cache at once: a file is whole or absent and a row is in it once;
    one that overwrites another's rows costs their computation only. A damaged file counts as
    absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, block: int) -> pl.DataFrame:
        """Scores of a block so far (`MEASURED`), one row a sequence, in seq_id order."""
        path = self._path(block)
        nothing = pl.DataFrame(schema=dict(MEASURED))
        if not path.is_file():
            return nothing
        try:
            scores = read_table(path, MEASURED)
            found = pq.read_metadata(path).metadata or {}
            if found.get(b"checksum") != _checksum(scores).encode():
                raise ValueError(f"{path}: damaged, the checksum differs")
        except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
            logger.warning("computed again: %s", error)
            return nothing
        return scores

    def add(self, block: int, scores: pl.DataFrame) -> None:
        """Add the rows that a block does not have yet, atomically."""
        known = self.read(block)
        new = scores.join(known.select("seq_id"), on="seq_id", how="anti")
        rows = conform(pl.concat([known, new]), MEASURED).sort("seq_id")
        write_table(self._path(block), rows, MEASURED, {"checksum": _checksum(rows)})

    def _path(self, block: int) -> Path:
        return self.folder / f"{block:05d}.parquet"


def _checksum(scores: pl.DataFrame) -> str:
    """Hash of every value of a table of scores."""
    digest = xxhash.xxh3_128()
    for column in scores:
        digest.update(repr(column.to_list()).encode())  # Python writes floats exactly
    return digest.hexdigest()


def score_block(
    engine: InfluenceEngine,
    forms: Mapping[str, Form],
    caches: Mapping[str, ScoreCache],
    block: int,
    frame: pl.DataFrame,
) -> tuple[dict[str, pl.DataFrame], int]:
    """Scores of a block by each form, those that a cache lacks computed and added to it.

    Sequences that lack the same scores share one pass, so that a score added to the config costs
    its own computation only.

    Returns:
        Scores (`MEASURED`) in seq_id order, and the number of sequences computed.
    """
    lacking: dict[tuple[str, ...], list[str]] = defaultdict(list)
    wanted = frame.select("seq_id")
    parts = {n: [c.read(block).join(wanted, on="seq_id", how="semi")] for n, c in caches.items()}
    known = {name: set(found["seq_id"]) for name, (found,) in parts.items()}
    for seq_id in frame["seq_id"]:
        lacking[tuple(name for name in forms if seq_id not in known[name])].append(seq_id)
    lacking.pop((), None)
    for names, seq_ids in lacking.items():
        missing = frame.filter(pl.col("seq_id").is_in(seq_ids))
        new = score_frame(engine, {name: forms[name] for name in names}, missing)
        for name, scores in new.items():
            caches[name].add(block, scores)
            # The file is not read again: another process may have replaced it.
            parts[name].append(scores)
    results = {name: pl.concat(found).sort("seq_id") for name, found in parts.items()}
    return results, sum(map(len, lacking.values()))


def score_shard(
    engine: InfluenceEngine,
    forms: Mapping[str, Form],
    shard: pl.DataFrame,
    cache: str | Path,
) -> dict[str, pl.DataFrame]:
    """Scores of a shard by each form (`MEASURED`), one row a sequence, in seq_id order.

    Rows scored before with the same model, form and settings are taken from `cache`; the
    others are computed in batches of one block and added to it, so a killed job loses at most a
    block and the number of shards changes no bit.

    Raises:
        ScoreError: a score is not finite.
    """
    caches = {
        name: ScoreCache(Path(cache) / score_key(engine, form)) for name, form in forms.items()
    }
    results = {name: [pl.DataFrame(schema=dict(MEASURED))] for name in forms}
    done, computed, pace = 0, 0, Pace()
    for (block,), frame in shard.sort("block", "seq_id").group_by("block", maintain_order=True):
        scores, n = score_block(engine, forms, caches, int(block), frame)
        computed += n
        done += frame.height
        for name, rows in scores.items():
            results[name].append(rows)
        if said := pace.due(computed, shard.height - done):
            logger.info("%d/%d scored, %.0f/s, %.0f s left", done, shard.height, *said)
    logger.info("%d rows: %d reused, %d computed", done, done - computed, computed)
    whole = {name: pl.concat(parts).sort("seq_id") for name, parts in results.items()}
    for name, frame in whole.items():
        if not frame["seq_id"].equals(shard["seq_id"].sort()):
            raise ScoreError(f"{name}: {shard.height} sequences in, {frame.height} scores out")
        empty = frame.filter(pl.col("n_tokens") == 0)["seq_id"]
        if len(empty):
            logger.warning(
                "%s: %d sequences have no token that the loss counts (influence.ambiguous): "
                "their scores are 0: %s",
                name, len(empty), ", ".join(empty.head(10)),
            )  # fmt: skip
    return whole


def score_all(
    model: nn.Module,
    encoder: Encoder,
    influence: Influence,
    seed: int,
    device: torch.device,
    fishers: Mapping[str, Mapping[str, str | Path]],
    targets: Mapping[str, str | Path],
    shard: pl.DataFrame,
    cache: str | Path,
) -> dict[str, pl.DataFrame]:
    """Every score of the config over a shard, one pass a loss, by name; see `score_shard`.

    Args:
        fishers: path of the merged sums by loss and kind.
        targets: path of the gradients' sums over a target by its column.

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
        forms: dict[str, Form] = {**curvatures}
        if "influence" in curvatures:
            for name, path in targets.items():
                forms[name] = target_direction(
                    curvatures["influence"], Fisher.load(path), device, engine.dtype
                )
        results |= score_shard(engine, forms, shard, cache)
    return {name: results[name] for name in (*sections, *targets)}
