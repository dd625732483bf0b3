"""Embeddings of the pool: mean-pooled last hidden states, block by block, resumable."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch

from coresift.dag.pace import Pace
from coresift.files import read_tensors, write_tensors
from coresift.hashing import content_hash
from coresift.influence.errors import ScoreError
from coresift.models.batching import token_budget_batches
from coresift.models.checkpoint import machine, origin
from coresift.models.states import EncoderStates

logger = logging.getLogger(__name__)


def embedding_key(states: EncoderStates, tokens_per_batch: int) -> str:
    """Hash of all that decides an embedding's bits: model, input length, batches, machine."""
    device = next(states.parameters()).device
    known = origin(states.model, states.encoder)
    return content_hash(
        [known, states.form, states.room, tokens_per_batch, machine(device, __file__)]
    )


@torch.no_grad()
def embed_frame(
    states: EncoderStates, frame: pl.DataFrame, tokens_per_batch: int
) -> dict[str, torch.Tensor]:
    """(hidden,) float16 embedding of each sequence (columns seq_id, sequence, length), by seq_id.

    Raises:
        ScoreError: a value is not finite in float16.
    """
    seq_ids, sequences = frame["seq_id"].to_list(), frame["sequence"].to_list()
    lengths = np.minimum(frame["length"].to_numpy(), states.room) + 2
    found: dict[str, torch.Tensor] = {}
    for batch in token_budget_batches(lengths, tokens_per_batch):
        rows = states([sequences[i] for i in batch])
        for i, row in zip(batch, torch.cat(rows).half().cpu(), strict=True):
            found[seq_ids[i]] = row
    bad = [seq_id for seq_id, row in found.items() if not row.isfinite().all()]
    if bad:
        raise ScoreError(f"{len(bad)} sequences have a NaN or infinite embedding: {bad[:10]}")
    return found


class EmbeddingCache:
    """Finished embeddings, a file a block: no finished row is computed twice.

    As `scoring.ScoreCache`: several processes may use it at once, and a damaged file counts as
    absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, block: int) -> dict[str, torch.Tensor]:
        """Embeddings of a block so far, by seq_id."""
        path = self._path(block)
        if not path.is_file():
            return {}
        try:
            tensors, metadata = read_tensors(path)
        except ValueError as error:
            logger.warning("computed again: %s", error)
            return {}
        return dict(zip(metadata["seq_ids"], tensors["states"], strict=True))

    def add(self, block: int, new: dict[str, torch.Tensor]) -> None:
        """Add rows to a block, atomically."""
        rows = dict(sorted({**new, **self.read(block)}.items()))
        states = torch.stack(list(rows.values()))
        write_tensors(self._path(block), {"states": states}, {"seq_ids": list(rows)})

    def _path(self, block: int) -> Path:
        return self.folder / f"{block:05d}.safetensors"


def embed_shard(
    states: EncoderStates, shard: pl.DataFrame, tokens_per_batch: int, cache: str | Path
) -> torch.Tensor:
    """(n, hidden) float16 embeddings of a shard, rows in seq_id order.

    Rows embedded before by the same model and settings are taken from `cache`; the others are
    computed in batches of one block and added to it, so a killed job loses at most a block and the
    number of shards changes no bit. Time is that of one forward pass over the shard; memory that
    of its rows and one batch.

    Args:
        states: form mean, in evaluation mode or not: it is put into it.
        shard: columns seq_id, sequence, length, block.
        tokens_per_batch: padded tokens of one forward pass.
        cache: folder of finished rows; it can be deleted at any time.

    Raises:
        ScoreError: a value is not finite in float16.
    """
    states.eval()
    finished = EmbeddingCache(Path(cache) / embedding_key(states, tokens_per_batch))
    width = cast(Any, states.model.config).hidden_size
    results = [torch.empty((0, width), dtype=torch.float16)]
    done, computed, pace = 0, 0, Pace()
    for (block,), frame in shard.sort("block", "seq_id").group_by("block", maintain_order=True):
        known = finished.read(int(block))
        missing = frame.filter(~pl.col("seq_id").is_in(list(known)))
        if missing.height:
            new = embed_frame(states, missing, tokens_per_batch)
            finished.add(int(block), new)
            known |= new
        results.append(torch.stack([known[seq_id] for seq_id in frame["seq_id"]]))
        computed += missing.height
        done += frame.height
        if said := pace.due(computed, shard.height - done):
            logger.info("%d/%d embedded, %.0f/s, %.0f s left", done, shard.height, *said)
    logger.info("%d rows: %d reused, %d computed", done, done - computed, computed)
    return torch.cat(results)
