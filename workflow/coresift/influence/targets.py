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

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch

from coresift.corpus.fasta import read_blocks
from coresift.corpus.ingest import Judge
from coresift.corpus.normalise import Limits
from coresift.corpus.outcome import counts_text
from coresift.corpus.subset import sample_distinct
from coresift.corpus.tables import HELD_OUT
from coresift.influence.engine import InfluenceEngine
from coresift.influence.fisher import Fisher, compute_part, merge_parts
from coresift.influence.gradients import Curvature, Direction, GradientSums
from coresift.tables import Schema, read_table

#: What is read of a target's sequences.
ROW: Schema = {name: HELD_OUT[name] for name in ("seq_id", "sequence", "length")}
_PURPOSE = "influence target"


class TargetError(ValueError):
    """A target set has no sequence; the message names it."""


def read_fasta_target(
    path: str | Path, name: str, modality: str, limits: Limits, size: int, seed: int
) -> pl.DataFrame:
    """At most `size` distinct sequences of a FASTA file, by seeded hash: columns of `ROW`.

    Records are normalised, judged and counted (in the log) as those of the corpus. Memory is that
    of a sample.

    Args:
        name: of the target, for messages.

    Raises:
        CorpusError: an empty or unreadable file, or one of the other modality.
        TargetError: every record is rejected.
    """
    judge = Judge(name, modality, limits)

    def frames() -> Iterator[pl.DataFrame]:
        for block in read_blocks(path):
            yield judge.accept(block).distinct()
            judge.rejects.clear()

    rows = sample_distinct(frames(), ROW, size, seed, _PURPOSE)
    report = judge.report(path, judge.problems(path))
    if rows.is_empty():
        raise TargetError(f"influence.targets.{name}: {path}: {counts_text(report)}")
    return rows


def read_held_out_target(
    path: str | Path, name: str, held_out: str, size: int, seed: int
) -> pl.DataFrame:
    """At most `size` sequences of a held-out set, by seeded hash: columns of `ROW`.

    Raises:
        TargetError: it has none.
    """
    rows = read_table(path, HELD_OUT).filter(pl.col("set") == held_out)
    if rows.is_empty():
        raise TargetError(f"influence.targets.{name}: {path} has no sequence of set {held_out}")
    return sample_distinct([rows], ROW, size, seed, _PURPOSE)


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
