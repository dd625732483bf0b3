"""Per-sequence gradients of linear layers from one forward and backward of a batch.

The gradient of sequence b for a linear layer is G_b = dY_b^T X_b, a sum over tokens of the outer
products of output gradient and input (Goodfellow 2015, arXiv 1510.01799). Everything the pipeline
needs is a sum over G_b^2, so G_b lives only inside a hook and is dropped at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from coresift.config import Influence
from coresift.hashing import seeded_generator
from coresift.influence.parameters import Layer, resolve_layers
from coresift.models.batching import pad, token_budget_batches
from coresift.models.tokenizer import Encoder

logger = logging.getLogger(__name__)

#: Elements of G_b materialised at a time (float32: 256 MB).
MAX_ELEMENTS = 1 << 26


@dataclass(frozen=True)
class Settings:
    """What decides a score, apart from the weights and the Fisher."""

    parameters: str | tuple[str, ...]
    loss: str
    n_masks: int
    mask_fraction: float
    curvature: str
    damping: float
    damping_mode: str
    max_tokens: int
    precision: str
    tokens_per_batch: int
    seed: int
    pad_to: int | None = None
    attend_padding: bool = False
    count_padding: bool = False


def resolve_settings(influence: Influence, seed: int) -> Settings:
    """Settings of a config section; `preset: reference` overrides what the published code fixes.

    The reference (FACTS.md): head only, unmasked, every row padded to 1024 tokens that are both
    attended to and counted in the loss, damping 1e-8 absolute.
    """
    parameters = influence.parameters
    values: dict[str, Any] = {
        "parameters": parameters if isinstance(parameters, str) else tuple(parameters),
        "loss": influence.loss,
        "n_masks": influence.n_masks if influence.loss == "masked" else 1,
        "mask_fraction": influence.mask_fraction,
        "curvature": influence.curvature,
        "damping": influence.damping,
        "damping_mode": influence.damping_mode,
        "max_tokens": influence.max_tokens,
        "precision": influence.precision,
        "tokens_per_batch": influence.tokens_per_batch,
        "seed": seed,
    }
    if influence.preset == "reference":
        values |= {
            "parameters": "head",
            "loss": "unmasked",
            "n_masks": 1,
            "curvature": "diag_fisher",
            "damping": 1e-8,
            "damping_mode": "absolute",
            "max_tokens": 1024,
            "pad_to": 1024,
            "attend_padding": True,
            "count_padding": True,
        }
    return Settings(**values)


@dataclass(frozen=True)
class Batch:
    """Rows of B sequences, K mask patterns each, flattened to R = B * K rows of T tokens.

    Attributes:
        ids, labels: (R, T) int64. attention: (R, T) int64.
        counted: (R, T) bool, tokens in the loss.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    attention: torch.Tensor
    counted: torch.Tensor


class InfluenceEngine:
    """Computes sums over squared per-sequence gradients for a frozen model.

    Args:
        model: a masked language model; put in eval mode, its parameters frozen.
        encoder: its token encoder.
        settings: see `Settings`.
        device: where to compute.
    """

    def __init__(
        self, model: nn.Module, encoder: Encoder, settings: Settings, device: torch.device
    ) -> None:
        dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
        self.encoder = encoder
        self.settings = settings
        self.device = device
        self.layers = resolve_layers(model, settings.parameters)

    def batches(self, frame: pl.DataFrame) -> Iterator[np.ndarray]:
        """Row indices of length-bucketed batches within the token budget."""
        width = self._max_tokens
        lengths = np.minimum(frame["sequence"].str.len_bytes().to_numpy() + 2, width)
        if self.settings.pad_to:
            lengths = np.full(len(lengths), self.settings.pad_to)
        yield from token_budget_batches(
            lengths * self.settings.n_masks, self.settings.tokens_per_batch
        )

    @property
    def _max_tokens(self) -> int:
        return min(self.settings.max_tokens, self.encoder.max_tokens)

    def collate(self, sequences: Sequence[str], seq_ids: Sequence[str]) -> Batch:
        """Token ids, labels and masks of a batch."""
        settings, encoder = self.settings, self.encoder
        rows = [encoder.encode(s[: self._max_tokens - 2]) for s in sequences]
        if settings.pad_to:
            rows.append(np.full(settings.pad_to, encoder.pad_id))
        labels, attention = pad(rows, encoder.pad_id)
        if settings.pad_to:
            labels, attention = labels[:-1], attention[:-1]
        labels = labels.repeat_interleave(settings.n_masks, dim=0)
        attention = attention.repeat_interleave(settings.n_masks, dim=0)
        if settings.loss == "masked":
            counted = torch.zeros_like(labels, dtype=torch.bool)
            for i, (row, seq_id) in enumerate(zip(rows, seq_ids, strict=True)):
                patterns = mask_patterns(len(row) - 2, seq_id, settings)
                k = settings.n_masks
                counted[i * k : (i + 1) * k, 1 : len(row) - 1] = torch.from_numpy(patterns)
            ids = labels.masked_fill(counted, encoder.mask_id)
        else:
            ids = labels
            counted = torch.ones_like(ids, dtype=torch.bool)
            if not settings.count_padding:
                counted = attention.bool()
        if settings.attend_padding:
            attention = torch.ones_like(attention)
        return Batch(*(t.to(self.device) for t in (ids, labels, attention, counted)))

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Per sequence: mean loss (with grad), mean error norm, and counted tokens, each (B,)."""
        autocast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.settings.precision == "bf16"
            else nullcontext()
        )
        with autocast:
            logits = self.model(input_ids=batch.ids, attention_mask=batch.attention).logits
        if self.settings.precision == "bf16":
            logits = logits.float()
        k = self.settings.n_masks
        log_p = F.log_softmax(logits, dim=-1)
        nll = -log_p.gather(-1, batch.labels[..., None])[..., 0]
        counts = batch.counted.sum(1)
        loss = (nll * batch.counted).sum(1) / counts
        with torch.no_grad():
            p = log_p.exp()
            squared = p.square().sum(-1) - 2 * (-nll).exp() + 1
            error = (squared.clamp_min(0).sqrt() * batch.counted).sum(1) / counts
        return loss.view(-1, k).mean(1), error.view(-1, k).mean(1), counts.view(-1, k).sum(1)

    def run(
        self, batch: Batch, visit: Callable[[str, torch.Tensor], None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One forward and backward; `visit(name, G)` sees the gradients (b, *shape) in slices.

        Slices of one tensor come in row order. Returns loss, error norm and token count, (B,).
        """
        with torch.enable_grad(), self._hooks(visit, batch.ids.shape[0]):
            loss, error, counts = self.losses(batch)
            loss.sum().backward()
        return loss.detach(), error, counts

    @contextmanager
    def _hooks(self, visit: Callable[[str, torch.Tensor], None], n_rows: int) -> Iterator[None]:
        handles: list[RemovableHandle] = []
        n = n_rows // self.settings.n_masks

        def forward(layer: Layer) -> Callable[..., torch.Tensor]:
            def hook(_: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
                x = inputs[0].detach()
                # Parameters are frozen, so the graph begins at the first scored layer:
                # nothing before it is kept for backward.
                y = output if output.requires_grad else output.detach().requires_grad_()
                y.register_hook(lambda dy: self._visit_layer(layer, x, dy, n, visit))
                return y

            return hook

        for layer in self.layers:
            handles.append(layer.module.register_forward_hook(forward(layer)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _visit_layer(
        self,
        layer: Layer,
        x: torch.Tensor,
        dy: torch.Tensor,
        n: int,
        visit: Callable[[str, torch.Tensor], None],
    ) -> None:
        accumulate = torch.float64 if self.settings.precision == "float64" else torch.float32
        x = x.reshape(n, -1, x.shape[-1]).to(accumulate)
        dy = dy.reshape(n, -1, dy.shape[-1]).to(accumulate)
        if layer.weight:
            step = max(1, MAX_ELEMENTS // (x.shape[-1] * dy.shape[-1]))
            for i in range(0, n, step):
                visit(f"{layer.name}.weight", dy[i : i + step].mT @ x[i : i + step])
        if layer.bias:
            visit(f"{layer.name}.bias", dy.sum(1))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every scored tensor by name."""
        return dict(tensor for layer in self.layers for tensor in layer.tensors)

    def fisher_sums(self, frame: pl.DataFrame) -> dict[str, torch.Tensor]:
        """Sum over the sequences of g * g for every scored tensor, float64 on the CPU."""
        sums = {name: torch.zeros(s, dtype=torch.float64) for name, s in self.shapes().items()}

        def visit(name: str, gradient: torch.Tensor) -> None:
            sums[name] += gradient.square().sum(0).double().cpu()

        for rows in self.batches(frame):
            part = frame[rows.tolist()]
            self.run(self.collate(part["sequence"].to_list(), part["seq_id"].to_list()), visit)
        return sums

    def score_rows(
        self, sequences: Sequence[str], seq_ids: Sequence[str], inverse: Mapping[str, torch.Tensor]
    ) -> pl.DataFrame:
        """Score one batch; halves it and goes on where memory runs out.

        Args:
            sequences: normalised sequences of one batch.
            seq_ids: their ids (they seed the masks).
            inverse: 1 / (F + damping) by tensor name, on `device`.

        Returns:
            Columns influence, loss, grad_norm, error_norm (Float64) and n_tokens, in row order.
        """
        try:
            return self._score_rows(sequences, seq_ids, inverse)
        except RuntimeError as error:  # torch.OutOfMemoryError is a RuntimeError
            if "out of memory" not in str(error) or len(sequences) == 1:
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(sequences) // 2
        logger.warning("out of memory with %d sequences; going on with %d", len(sequences), half)
        return pl.concat(
            [
                self.score_rows(sequences[:half], seq_ids[:half], inverse),
                self.score_rows(sequences[half:], seq_ids[half:], inverse),
            ]
        )

    def _score_rows(
        self, sequences: Sequence[str], seq_ids: Sequence[str], inverse: Mapping[str, torch.Tensor]
    ) -> pl.DataFrame:
        parts: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {n: [] for n in inverse}

        def visit(name: str, gradient: torch.Tensor) -> None:
            squared = gradient.square_().flatten(1)
            quadratic = squared @ inverse[name].flatten()
            parts[name].append((quadratic.double(), squared.sum(1).double()))

        batch = self.collate(sequences, seq_ids)
        loss, error, counts = self.run(batch, visit)
        sums = [torch.stack([torch.cat(c) for c in zip(*p, strict=True)]) for p in parts.values()]
        influence, squared_norm = torch.stack(sums).sum(0).cpu().numpy()
        return pl.DataFrame(
            {
                "influence": influence,
                "loss": loss.double().cpu().numpy(),
                "grad_norm": np.sqrt(squared_norm),
                "error_norm": error.double().cpu().numpy(),
                "n_tokens": counts.cpu().numpy(),
            }
        )


def mask_patterns(length: int, seq_id: str, settings: Settings) -> np.ndarray:
    """(n_masks, length) bool: seeded masks of a sequence, the same in any batch.

    Each pattern masks round(mask_fraction * length) residues, at least one. Every masked residue
    becomes <mask> (no 80/10/10): a score wants one question, not augmentation.
    """
    n = max(1, round(settings.mask_fraction * length))
    draws = seeded_generator(settings.seed, "influence_mask", seq_id).random(
        (settings.n_masks, length)
    )
    chosen = np.argsort(draws, axis=1, kind="stable")[:, :n]
    patterns = np.zeros((settings.n_masks, length), dtype=bool)
    np.put_along_axis(patterns, chosen, True, axis=1)
    return patterns
