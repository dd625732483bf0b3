"""One forward and backward of a batch of sequences, its layers' gradients shown to a visitor."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from coresift.hashing import seeded_generator
from coresift.influence.gradients import Curvature, Form, Forms, SquareSums, Summing, Visitor
from coresift.influence.heads import HEADS
from coresift.influence.parameters import resolve_layers
from coresift.influence.settings import Influence
from coresift.models.batching import pad, token_budget_batches
from coresift.models.tokenizer import Encoder

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Most padding in a batch, as a share of its tokens.
MAX_PADDING = 0.05


class GradientError(ValueError):
    """A sequence has a NaN or infinite gradient; the message names it."""


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
    compile: bool = False
    pad_to: int | None = None
    attend_padding: bool = False
    count_padding: bool = False
    count_ambiguous: bool = False

    def of_pass(self) -> dict[str, Any]:
        """The settings that every score of one pass shares."""
        own = {"parameters", "curvature", "damping", "damping_mode"}
        return {name: value for name, value in asdict(self).items() if name not in own}


def resolve_settings(influence: Influence, seed: int) -> Settings:
    """Settings of a config section; those of masks, the seed too, are fixed where none are made.

    The reference preset (FACTS.md) pads every row to 1024 tokens, which are both attended to and
    counted in the loss; `settings.REFERENCE` is what else it fixes.
    """
    reference, masked = influence.preset == "reference", influence.loss == "masked"
    parameters = influence.parameters
    return Settings(
        parameters=parameters if isinstance(parameters, str) else tuple(parameters),
        loss=influence.loss,
        n_masks=influence.n_masks if masked else 1,
        mask_fraction=influence.mask_fraction if masked else 0.0,
        curvature=influence.curvature,
        damping=influence.damping,
        damping_mode=influence.damping_mode,
        max_tokens=influence.max_tokens,
        precision=influence.precision,
        tokens_per_batch=influence.tokens_per_batch,
        seed=seed if masked else 0,
        compile=influence.compile,
        pad_to=influence.max_tokens if reference else None,
        attend_padding=reference,
        count_padding=reference,
        count_ambiguous=influence.ambiguous == "count",
    )


@dataclass(frozen=True)
class Batch:
    """B sequences of K mask patterns each: R = B * K rows of T tokens.

    Attributes:
        ids, attention: (R, T) int64. labels, weights: (B, C), the C tokens of a sequence that the
            loss may count, int64 and float; weights sum to 1 over a sequence, 0 = not counted.
        chosen: (B, C) int64, where those tokens are among the K * T of their sequence; None if they
            are all of them, in order.
        counts: (B,) int64, tokens counted.
    """

    ids: torch.Tensor
    attention: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    chosen: torch.Tensor | None
    counts: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; copies to a GPU do not wait for it."""

        def move(tensor: Any) -> Any:
            if tensor is None:
                return None
            pinned = tensor.pin_memory() if device.type == "cuda" else tensor
            return pinned.to(device, non_blocking=True)

        return Batch(**{name: move(value) for name, value in vars(self).items()})


class _Calls:
    """Shows a visitor the layers of a pass, each once.

    The gradient of a layer that a pass calls several times (ALBERT shares one among its depths) is
    the sum over its calls: that of their tokens in one row.

    Attributes:
        count: calls in the forward pass, by layer.
    """

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.count: Counter[str] = Counter()
        self._parts: dict[str, list[tuple[torch.Tensor, ...]]] = defaultdict(list)

    def visit(self, layer: str, *part: torch.Tensor) -> None:
        """Take one call's x, dy and tokens, as `Visitor.visit` does."""
        if self.count[layer] == 1:
            self.visitor.visit(layer, *part)
        else:
            self._parts[layer].append(part)

    def finish(self) -> None:
        """Show the layers of several calls; the backward pass is over."""
        for layer, parts in self._parts.items():
            x, dy, tokens = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
            self.visitor.visit(layer, x, dy, tokens)


class InfluenceEngine:
    """Shows the gradients of a frozen model's linear layers, batch by batch, to visitors.

    Args:
        model: a masked language model; put in eval mode, its parameters frozen.
        encoder: its token encoder.
        settings: see `Settings`.
        device: where to compute.

    Attributes:
        layers: the parameter set of `settings`.
        tokens_per_batch: padded tokens of a batch; halved where memory runs out.
    """

    def __init__(
        self, model: nn.Module, encoder: Encoder, settings: Settings, device: torch.device
    ) -> None:
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.model = model.to(device=device, dtype=self.dtype).eval().requires_grad_(False)
        self.encoder = encoder
        self.settings = settings
        self.device = device
        self.layers = resolve_layers(model, settings.parameters)
        self.tokens_per_batch = settings.tokens_per_batch
        names = {name for name, _ in model.named_modules()}
        known = (name.removesuffix(".weight") for name in HEADS)
        self._head = next((name for name in known if name in names), None)
        base = cast(nn.Module, getattr(model, "base_model", model))
        self._base = next(name for name, module in model.named_modules() if module is base)
        if settings.precision == "bf16":
            # Products of bf16 values are exact in TF32, and on a GPU's tensor cores.
            torch.backends.cuda.matmul.allow_tf32 = True
        if settings.compile:
            cast(nn.Module, model.base_model).compile(dynamic=True)

    def batches(self, frame: pl.DataFrame) -> Iterator[np.ndarray]:
        """Row indices of length-bucketed batches within the token budget."""
        yield from token_budget_batches(
            self.token_counts(frame), self.tokens_per_batch, MAX_PADDING
        )

    def token_counts(self, frame: pl.DataFrame) -> np.ndarray:
        """Tokens of every sequence as it goes into a batch, its mask patterns included."""
        lengths = np.minimum(frame["sequence"].str.len_bytes().to_numpy() + 2, self._max_tokens)
        if self._width is not None:
            lengths = np.full(len(lengths), self._width)
        return lengths * self.settings.n_masks

    @property
    def _max_tokens(self) -> int:
        return min(self.settings.max_tokens, self.encoder.max_tokens)

    @property
    def _width(self) -> int | None:
        """Tokens that every row is padded to: of `pad_to` what the model has positions for."""
        return self.settings.pad_to and min(self.settings.pad_to, self._max_tokens)

    def collate(self, sequences: Sequence[str], seq_ids: Sequence[str]) -> Batch:
        """Token ids, labels and masks of a batch, on the device."""
        settings, encoder = self.settings, self.encoder
        rows = [encoder.encode(s[: self._max_tokens - 2]) for s in sequences]
        width = [] if self._width is None else [np.full(self._width, encoder.pad_id)]
        ids, attention = (t[: len(rows)] for t in pad([*rows, *width], encoder.pad_id))
        chosen = None
        if settings.loss == "masked":
            ids, attention, labels, weights, chosen = self._mask(rows, seq_ids, ids, attention)
        else:
            labels = ids
            weights = torch.ones_like(ids) if settings.count_padding else attention
            if not settings.count_ambiguous:
                weights, _ = pad(self._canonical(rows), 0)
        counts = (weights != 0).sum(1)
        weights = weights.to(self.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp_min(1)
        if settings.attend_padding:
            attention = torch.ones_like(attention)
        batch = Batch(ids, attention, labels, weights, chosen, counts)
        return batch.to(self.device)

    def _canonical(self, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Whether each token of each row is a canonical residue, 0 or 1."""
        found = self.encoder.is_canonical(np.concatenate(rows)).astype(np.int64)
        return np.split(found, np.cumsum([len(row) for row in rows])[:-1])

    def _mask(
        self,
        rows: Sequence[np.ndarray],
        seq_ids: Sequence[str],
        ids: torch.Tensor,
        attention: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Masked ids, attention, labels, weights and places of the masked tokens of each row."""
        settings = self.settings
        k, width = settings.n_masks, ids.shape[1]
        residues = [np.ones(len(row), dtype=np.int64) for row in rows]
        if not settings.count_ambiguous:
            residues = self._canonical(rows)
        patterns = [
            mask_patterns(eligible[1:-1] != 0, seq_id, settings)
            for eligible, seq_id in zip(residues, seq_ids, strict=True)
        ]
        size = k * max(1, *(int(p[0].sum()) for p in patterns))
        places = np.ones((len(rows), size), dtype=np.int64)
        weights = np.zeros((len(rows), size))
        for i, pattern in enumerate(patterns):
            mask, residue = np.nonzero(pattern)
            found = mask * width + residue + 1
            places[i] = found[:1] if len(found) else 1  # a place without weight is masked as well
            places[i, : len(found)] = found
            weights[i, : len(found)] = 1
        chosen = torch.from_numpy(places)
        repeated = ids.repeat(1, k)
        masked = repeated.scatter(1, chosen, self.encoder.mask_id).view(-1, width)
        attention = attention.repeat_interleave(k, dim=0)
        return masked, attention, repeated.gather(1, chosen), torch.from_numpy(weights), chosen

    def stream(self, frame: pl.DataFrame) -> Iterator[tuple[np.ndarray, Batch]]:
        """Row indices and batch of each batch, the next one made while this one is computed."""

        def make(rows: np.ndarray) -> tuple[np.ndarray, Batch]:
            part = frame[rows.tolist()]
            return rows, self.collate(part["sequence"].to_list(), part["seq_id"].to_list())

        with ThreadPoolExecutor(1) as pool:
            upcoming = None
            for rows in self.batches(frame):
                ready, upcoming = upcoming, pool.submit(make, rows)
                if ready is not None:
                    yield ready.result()
            if upcoming is not None:
                yield upcoming.result()

    def run(
        self, batch: Batch, visitor: Visitor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One forward and backward; the visitor sees the layers it names.

        The gradient of the loss by the logits is known, softmax minus one-hot, so autograd starts
        there; its mean L2 norm is the error norm.

        Returns:
            Mean loss, mean error norm and token count of each sequence, (B,).
        """
        calls = _Calls(visitor)
        with torch.enable_grad(), self._hooks(batch, calls):
            logits = self._logits(batch)
        with torch.no_grad():
            labels = batch.labels[..., None]
            log_p = F.log_softmax(logits, dim=-1)
            loss = -(log_p.gather(-1, labels)[..., 0] * batch.weights).sum(1)
            error = log_p.exp_()
            error.scatter_add_(-1, labels, error.new_full((), -1).expand(labels.shape))
            error_norm = (torch.linalg.vector_norm(error, dim=-1) * batch.weights).sum(1)
            error *= batch.weights[..., None]
        logits.backward(error)
        calls.finish()
        return loss, error_norm, batch.counts

    def _logits(self, batch: Batch) -> torch.Tensor:
        """(B, C, vocabulary) logits of the tokens the loss may count, in the engine's dtype."""
        autocast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.settings.precision == "bf16"
            else nullcontext()
        )
        with autocast:
            logits = self.model(input_ids=batch.ids, attention_mask=batch.attention).logits
        if self._head is None:
            logits = choose(logits, batch)
        return logits.to(self.dtype)

    @contextmanager
    def _hooks(self, batch: Batch, calls: _Calls) -> Iterator[None]:
        n = len(batch.labels)
        attended, counted = batch.attention.bool().view(n, -1), batch.weights != 0

        def hook(name: str) -> Callable[..., torch.Tensor]:
            # The LM head's layers, those outside the encoder, see the chosen tokens only.
            of_head = self._head is not None and not name.startswith(f"{self._base}.")
            tokens = counted if of_head else attended

            def forward(_: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
                x = inputs[0].detach()
                calls.count[name] += 1
                # Parameters are frozen, so the graph begins at the first scored layer:
                # nothing before it is kept for backward.
                first = not output.requires_grad
                y = output.detach().requires_grad_() if first else output

                def backward(dy: torch.Tensor) -> None:
                    calls.visit(
                        name,
                        x.reshape(n, -1, x.shape[-1]).to(self.dtype),
                        dy.reshape(n, -1, dy.shape[-1]).to(self.dtype),
                        tokens,
                    )

                y.register_hook(backward)
                return y.clone() if first else y  # what follows may work in place: not on a leaf

            return forward

        handles: list[RemovableHandle] = []
        if self._head is not None:
            handles.append(
                self.model.get_submodule(self._head).register_forward_pre_hook(
                    lambda _, inputs: (choose(inputs[0], batch), *inputs[1:])
                )
            )
        for name in sorted(calls.visitor.layers):
            handles.append(self.model.get_submodule(name).register_forward_hook(hook(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every scored tensor by name."""
        return dict(tensor for layer in self.layers for tensor in layer.tensors)

    def within_memory(self, frame: pl.DataFrame, compute: Callable[[], T]) -> T:
        """`compute()` over a frame; where memory runs out, again with half the token budget.

        The budget stays halved: what comes later is computed in smaller batches as well, which
        changes results by rounding only.

        Raises:
            RuntimeError: memory runs out with the longest sequence alone.
        """
        while True:
            try:
                return compute()
            except RuntimeError as error:  # torch.OutOfMemoryError is a RuntimeError
                smallest = int(self.token_counts(frame).max())
                if "out of memory" not in str(error) or self.tokens_per_batch <= smallest:
                    raise
            self.tokens_per_batch //= 2
            logger.warning("out of memory; going on with %d tokens a batch", self.tokens_per_batch)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def sums(self, frame: pl.DataFrame, make: Callable[[], Summing]) -> dict[str, torch.Tensor]:
        """What a visitor of `make()` sums over the sequences of a frame, on the CPU.

        Raises:
            GradientError: a sequence has a NaN or infinite gradient.
        """

        def compute() -> dict[str, torch.Tensor]:
            visitor = make()
            for _, batch in self.stream(frame):
                self.run(batch, visitor)
            return {key: total.cpu() for key, total in visitor.sums.items()}

        sums = self.within_memory(frame, compute)
        if not all(total.isfinite().all() for total in sums.values()):
            # Only now is it worth looking at every sequence.
            norm = {"norm": Curvature({f"{layer}.weight": None for layer in make().layers})}
            scores = [
                frame[rows.tolist()].select("seq_id").hstack(self.score_batch(batch, norm)["norm"])
                for rows, batch in self.stream(frame)
            ]
            bad = pl.concat(scores).filter(~pl.col("influence").is_finite())["seq_id"]
            raise GradientError(
                f"{len(bad)} sequences have a NaN or infinite gradient: {', '.join(bad.head(10))}"
            )
        return sums

    def fisher_sums(self, frame: pl.DataFrame) -> dict[str, torch.Tensor]:
        """Sum over the sequences of g * g for every scored tensor, on the CPU."""
        return self.sums(frame, lambda: SquareSums(self.shapes(), self.device, self.dtype))

    def score_batch(self, batch: Batch, forms: Mapping[str, Form]) -> dict[str, pl.DataFrame]:
        """Values of several forms of the gradients of one batch, in one forward and backward.

        Returns:
            For each form: columns influence (its value), loss, grad_norm, error_norm (floats) and
            n_tokens, in row order.
        """
        visitor = Forms(list(forms.values()), len(batch.labels), self.device, self.dtype)
        loss, error_norm, counts = (t.cpu().numpy() for t in self.run(batch, visitor))
        values, norms = visitor.values.cpu().numpy(), visitor.squared_norms.sqrt().cpu().numpy()
        return {
            name: pl.DataFrame(
                {
                    "influence": values[i],
                    "loss": loss,
                    "grad_norm": norms[i],
                    "error_norm": error_norm,
                    "n_tokens": counts,
                }
            )
            for i, name in enumerate(forms)
        }


def choose(states: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(R, T, d) states -> (B, C, d), those of the tokens the loss may count."""
    states = states.reshape(len(batch.labels), -1, states.shape[-1])
    if batch.chosen is None:
        return states
    return states.gather(1, batch.chosen[..., None].expand(-1, -1, states.shape[-1]))


def mask_patterns(eligible: np.ndarray, seq_id: str, settings: Settings) -> np.ndarray:
    """(n_masks, length) bool: seeded masks of a sequence, the same in any batch.

    Each pattern masks round(mask_fraction * n) of the n eligible residues, at least one where there
    is one. Every masked residue becomes <mask> (no 80/10/10): a score wants one question, not
    augmentation.

    Args:
        eligible: (length,) bool, residues that may be masked.
    """
    patterns = np.zeros((settings.n_masks, len(eligible)), dtype=bool)
    count = int(eligible.sum())
    if count == 0:
        return patterns
    n = max(1, round(settings.mask_fraction * count))
    draws = seeded_generator(settings.seed, "influence_mask", seq_id).random(patterns.shape)
    draws[:, ~eligible] = 1  # above every draw
    chosen = np.argsort(draws, axis=1, kind="stable")[:, :n]
    np.put_along_axis(patterns, chosen, True, axis=1)
    return patterns
