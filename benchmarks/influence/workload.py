"""What every method is given: the same weights, sequences, D_sub and batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from coresift.corpus.blocks import sequence_id
from coresift.corpus.fasta import read_fasta
from coresift.corpus.normalise import Limits, normalise, reject_reason
from coresift.corpus.settings import Corpus
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.settings import Influence
from coresift.models.batching import pad
from coresift.models.checkpoint import load_model
from transformers import masking_utils

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
#: Methods that hold a gradient a sequence get at most this many of its elements (float32: 1 GiB).
MAX_GRADIENTS = 1 << 28


def pool() -> pl.DataFrame:
    """Distinct valid sequences of the demo's RNA FASTA, in hash order: seq_id, sequence."""
    corpus = Corpus(fasta=["demo"])
    limits = Limits(corpus.min_length, corpus.max_length, corpus.max_ambiguous)
    rows = {}
    for path in sorted((ROOT / "resources/demo").glob("rna_[12].fasta.gz")):
        for _, _, raw in read_fasta(path):
            sequence = normalise(raw, "rna")
            if reject_reason(sequence, "rna", limits) is None:
                rows[sequence_id(sequence)] = sequence
    frame = pl.DataFrame({"seq_id": list(rows), "sequence": list(rows.values())})
    return frame.sort("seq_id")


def mixture(frame: pl.DataFrame, n: int) -> pl.DataFrame:
    """`n` rows at even quantiles of length: the pool's length distribution, whatever `n`."""
    order = frame.sort(pl.col("sequence").str.len_bytes(), "seq_id")
    rows = ((np.arange(n) + 0.5) * frame.height / n).astype(int)
    return order[rows.tolist()].sort("seq_id")


@dataclass(frozen=True)
class Workload:
    """One model and one sample.

    Attributes:
        checkpoint: Hugging Face directory, loaded afresh by each worker.
        n: sequences scored. subset: how many of them are D_sub, from which F comes.
        budget: padded tokens of a batch.
    """

    checkpoint: str
    n: int
    subset: int
    budget: int

    def frame(self) -> pl.DataFrame:
        """The sequences, in hash order."""
        return mixture(pool(), self.n)

    def engine(self, parameters: str, loss: str = "unmasked") -> InfluenceEngine:
        """Our engine; with one mask a sequence, so that every method sees the same tokens."""
        model, _, encoder = load_model(self.checkpoint, "rna", 1024)
        influence = Influence(
            parameters=parameters,
            loss=loss,
            n_masks=1,
            tokens_per_batch=self.budget,
            ambiguous="count",
        )
        return InfluenceEngine(model, encoder, resolve_settings(influence, 0), CPU)


@dataclass
class Rows:
    """Sequences of one method, and the model it may change.

    Attributes:
        names: scored tensors. batches, subset: (ids, attention) of each batch, int64 (B, T).
        order: row in `Workload.frame` of each sequence of `batches`, in their order.
    """

    model: torch.nn.Module
    names: list[str]
    batches: list[tuple[torch.Tensor, torch.Tensor]]
    subset: list[tuple[torch.Tensor, torch.Tensor]]
    order: np.ndarray

    def in_order(self, scores: list[torch.Tensor]) -> np.ndarray:
        """Scores of the batches -> scores in the order of `Workload.frame`."""
        result = np.empty(len(self.order))
        result[self.order] = torch.cat(scores).double().numpy()
        return result

    def weights(self) -> dict[str, torch.Tensor]:
        """The scored tensors by name."""
        return {name: self.model.get_parameter(name).detach() for name in self.names}


def peer_rows(workload: Workload, parameters: str) -> Rows:
    """The engine's own batches, cut where a gradient a sequence would not fit in memory."""
    engine = workload.engine(parameters)
    names = list(engine.shapes())
    size = sum(engine.model.get_parameter(name).numel() for name in names)
    frame = workload.frame()
    most = max(1, MAX_GRADIENTS // size)

    def batches(rows: pl.DataFrame) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], np.ndarray]:
        cut = [
            batch[i : i + most]
            for batch in engine.batches(rows)
            for i in range(0, len(batch), most)
        ]
        encoded = [[engine.encoder.encode(s) for s in rows["sequence"][b.tolist()]] for b in cut]
        return [pad(e, engine.encoder.pad_id) for e in encoded], np.concatenate(cut)

    scored, order = batches(frame)
    subset, _ = batches(mixture(frame, workload.subset))
    for name, parameter in engine.model.named_parameters():
        parameter.requires_grad_(name in names)
    return Rows(engine.model, names, scored, subset, order)


def allow_vmap() -> None:
    """Let transformers build an attention mask under vmap.

    It looks whether a mask is all ones, to skip it; control flow on data stops vmap.
    """
    masking_utils._ignore_bidirectional_mask_sdpa = lambda *_: False


def mean_losses(logits: torch.Tensor, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """(B,) mean loss of each unmasked sequence over its real tokens."""
    nll = torch.nn.functional.cross_entropy(logits.mT, ids, reduction="none")
    return (nll * attention).sum(-1) / attention.sum(-1)


def diagonal_inverse(squares: dict[str, torch.Tensor], n: int) -> dict[str, torch.Tensor]:
    """1 / (F + 0.1 mean F) from sums of squared gradients: the engine's default damping."""
    size = sum(s.numel() for s in squares.values())
    mean = float(sum(s.sum() for s in squares.values())) / n / size
    return {name: 1 / (s / n + 0.1 * mean) for name, s in squares.items()}
