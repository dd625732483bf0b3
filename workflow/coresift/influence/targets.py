"""Influence on a target set V: I(z; V) = g_V^T C g_z.

g_V is the gradient of L(V) = 1/|V| sum_z l(z), the mean over the sequences of V (not over their
tokens) of the mean loss of each. This is the influence function on a validation set (Koh & Liang
2017, arXiv 1703.04730, eq. 2) with the sign of a gain: to first order, a weight e more on z in
training lowers L(V) by e I(z; V). So I is signed, higher is better for V, and with V = {z} it is
the self-influence of z.

C is a diagonal in a basis, so that I(z; V) = <M, G_z> with the fixed matrices M = C g_V: no more
than a product of each gradient tile with a vector (`gradients.Direction`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch

from coresift.corpus.dedup import deduplicate
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.corpus.tables import HELD_OUT
from coresift.influence.engine import InfluenceEngine
from coresift.influence.fisher import Fisher, compute_part, merge_parts
from coresift.influence.gradients import Curvature, Direction, GradientSums
from coresift.tables import read_table

#: Longer records of a target are cropped, as the pool's are, not rejected.
_ANY_LENGTH = 1 << 40


class TargetError(ValueError):
    """A target set has no sequence; the message names it."""


def read_fasta_target(
    path: str | Path, name: str, modality: str, max_ambiguous: float, chunk_bytes: int
) -> pl.DataFrame:
    """Distinct sequences of a FASTA file, read as the corpus is: seq_id, sequence, length.

    Rejected records are counted in the log.

    Args:
        name: of the target, for messages.
        max_ambiguous, chunk_bytes: see `corpus.settings.Corpus`.

    Raises:
        CorpusError: see `ingest`; among others a file of the other modality, or an empty one.
        TargetError: every record is rejected.
    """
    with TemporaryDirectory() as folder:
        part, rejects = Path(folder) / "part", Path(folder) / "rejects"
        limits = Limits(1, _ANY_LENGTH, max_ambiguous)
        counts = ingest(path, name, [part], rejects, modality, limits, 1, chunk_bytes)
        rows = pl.DataFrame(pl.from_arrow(deduplicate([part], 1)))
    if rows.is_empty():
        rejected = counts["rejected"]
        raise TargetError(f"influence.targets.{name}: all of {path} is rejected: {rejected}")
    return rows.select("seq_id", "sequence", "length")


def read_held_out_target(path: str | Path, name: str, held_out: str) -> pl.DataFrame:
    """The sequences of a held-out set: seq_id, sequence, length.

    Raises:
        TargetError: it has none.
    """
    rows = read_table(path, HELD_OUT).filter(pl.col("set") == held_out)
    if rows.is_empty():
        raise TargetError(f"influence.targets.{name}: {path} has no sequence of set {held_out}")
    return rows.select("seq_id", "sequence", "length").sort("seq_id")


def target_sums(
    engine: InfluenceEngine,
    rows: pl.DataFrame,
    metadata: Mapping[str, Any],
    path: str | Path,
    work: str | Path,
) -> None:
    """Write the sums over V of the gradients of the engine's parameter set, and |V|, as a `Fisher`.

    Args:
        rows: V, columns seq_id and sequence.
        metadata: what else the sums are made of.
        work: file prefix of what a killed job resumes from; nothing is left at the end.

    Raises:
        GradientError: a sequence has a NaN or infinite gradient.
    """
    shapes = engine.shapes()
    part = Path(f"{work}.part")
    compute_part(
        engine,
        rows,
        lambda: GradientSums(shapes, engine.device, engine.dtype),
        *(0, 1, metadata, part, f"{work}.checkpoint"),
    )
    merge_parts([part]).save(path)
    part.unlink()


def target_direction(
    curvature: Curvature, total: Fisher, device: torch.device, dtype: torch.dtype
) -> Direction:
    """M = C g_V, in the bases of the curvature.

    Args:
        total: sums of the gradients over V, by tensor, and the number of its sequences.
    """
    matrices = {}
    for key, inverse in curvature.inverse.items():
        gradient = gradient_matrix(key, total.sums) / total.count
        basis = curvature.bases.get(key)
        if basis is not None:
            gradient = basis.outputs.double().cpu().T @ gradient @ basis.inputs.double().cpu()
        if inverse is not None:
            gradient = gradient * inverse.double().cpu().view_as(gradient)
        matrices[key] = gradient.to(device=device, dtype=dtype)
    return Direction(matrices, curvature.bases)


def gradient_matrix(key: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The gradient matrix of a key (`gradients`), float64, from those of its layer's tensors."""
    layer, _, kinds = key.rpartition(".")
    columns = [tensors[f"{layer}.{kind}"].double().cpu() for kind in kinds.split("+")]
    return torch.cat([column.view(len(column), -1) for column in columns], dim=1)
