"""What one pass of a model costs: floating-point operations in closed form, memory by a dry run.

A multiplication and its addition are two operations. Only matrix products are counted: they are
what grows with the model; what else a pass does is in the measured seconds an operation.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoModelForMaskedLM, PreTrainedModel

from coresift.influence.curvature import gradient_shapes
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.gradients import Basis, Curvature, Forms
from coresift.influence.settings import Influence
from coresift.models.batching import token_budget_batches
from coresift.models.checkpoint import build_model, position_limit, read_config
from coresift.models.precision import autocast
from coresift.models.settings import model_presets
from coresift.models.tokenizer import Encoder, build_tokenizer
from coresift.tasks.heads import make_head
from coresift.tasks.settings import Task

#: forward; training step; scoring of the LM head; scoring of every linear layer.
Pass = Literal["forward", "train", "head", "linear"]


@dataclass(frozen=True)
class Load:
    """What a pass reads.

    Attributes:
        sequences: sequences. tokens: padded tokens. squares: sum over rows of (padded length)^2.
        counted: share of the tokens that the LM head sees.
    """

    sequences: float
    tokens: float
    squares: float
    counted: float = 1.0

    def __mul__(self, factor: float) -> Load:
        parts = (self.sequences * factor, self.tokens * factor, self.squares * factor)
        return Load(*parts, self.counted)

    def __add__(self, other: Load) -> Load:
        sums = (self.sequences + other.sequences, self.tokens + other.tokens)
        return Load(*sums, self.squares + other.squares, self.counted)


@dataclass(frozen=True)
class Flops:
    """Operations in linear layers (grow with tokens) and in attention (with length squared)."""

    linear: float
    attention: float

    @property
    def total(self) -> float:
        """All operations."""
        return self.linear + self.attention


def batched_load(lengths: np.ndarray, budget: int, max_padding: float = 1.0) -> Load:
    """Load of rows of `lengths` tokens cut into batches as the pipeline cuts them."""
    batches = token_budget_batches(lengths, budget, max_padding)
    widths = np.array([lengths[b].max() for b in batches], dtype=np.float64)
    rows = np.array([len(b) for b in batches])
    return Load(len(lengths), float((rows * widths).sum()), float((rows * widths**2).sum()))


def flops(config: Any, path: Pass, load: Load, products: int = 1, rotations: int = 0) -> Flops:
    """Operations of one pass of an encoder with an MLM head.

    Forward, a token: 2 d_in d_out in each linear layer of the encoder, 4 d T a layer in attention;
    the head has d^2 + d V multiplications. A training step is three times that (gradients of inputs
    and of weights). A score needs the gradients of inputs down to its lowest layer (for `linear`
    not those of the first q, k and v), and for every basis that the curvatures use the product
    dY^T X of every scored layer. A Kronecker factor or a rotation into its eigenbasis costs
    d_in^2 + d_out^2 a token and layer.

    Args:
        config: Hugging Face config of the model: hidden_size (d), num_hidden_layers, vocab_size
            (V), and whatever its layers are made by.
        path: which pass.
        load: what it reads.
        products: times that G = dY^T X is made. rotations: times that X and dY are multiplied by a
            square matrix of their width, or by themselves.
    """
    d = config.hidden_size
    sizes = encoder_layers(config)
    head, decoder = 2 * d * d * load.counted, 2 * d * config.vocab_size * load.counted
    encoder = sum(2 * inputs * outputs for inputs, outputs in sizes)
    attention = config.num_hidden_layers * 4 * d
    linear = encoder + head + decoder
    if path == "train":
        linear, attention = 3 * linear, 3 * attention
    elif path == "head":
        linear += decoder + products * head + rotations * 2 * head
    elif path == "linear":
        rotation = sum(2 * (n * n + m * m) for n, m in sizes) + 2 * head
        if not config.tie_word_embeddings:  # a decoder of its own is a scored layer as well
            head += decoder
            rotation += 2 * (d * d + config.vocab_size**2) * load.counted
        linear += linear - 6 * d * d + products * (encoder + head) + rotations * rotation
        attention = 3 * attention
    return Flops(linear * load.tokens, attention * load.squares)


def encoder_layers(config: Any) -> list[tuple[int, int]]:
    """(inputs, outputs) of every linear layer of the encoder, in model order."""
    with torch.device("meta"):
        model = AutoModelForMaskedLM.from_config(config)
    return [
        (module.in_features, module.out_features)
        for name, module in cast(nn.Module, model.base_model).named_modules()
        if isinstance(module, nn.Linear) and "contact_head" not in name
    ]


def make_model(name: str, modality: str) -> tuple[PreTrainedModel, Encoder]:
    """A model of a preset's, or a checkpoint directory's, shape with random weights.

    Raises:
        ValueError: no such preset, nor a checkpoint.
    """
    if name in model_presets() or name.endswith(".json"):
        model, tokenizer = build_model(name, modality, 0)
    else:
        try:
            config = read_config(Path(name))
        except ValueError as error:
            presets = ", ".join(model_presets())
            raise ValueError(f"{error}, nor a preset ({presets})") from error
        model = AutoModelForMaskedLM.from_config(config)
        longest = position_limit(model) or config.max_position_embeddings - 2
        tokenizer = build_tokenizer(modality, longest)
    encoder = Encoder.from_tokenizer(tokenizer, modality)
    return model, encoder


class PeakMemory(TorchDispatchMode):
    """Bytes of tensors alive at once, at most, while the mode is on.

    Args:
        model: its weights and buffers are alive from the start.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()
        for tensor in (*model.parameters(), *model.buffers()):
            self._count(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf)
        self.peak = max(self.peak, self.now)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            size = storage.nbytes()
            self._known[storage] = size
            self.now += size
            weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size


@contextmanager
def _nothing_computed() -> Iterator[None]:
    """Tensors have shapes and no data. `Module.to` cannot replace them, and need not."""
    with FakeTensorMode(), patch.object(nn.Module, "to", lambda module, *_, **__: module):
        yield


def training_bytes(name: str, modality: str, precision: str, width: int, budget: int) -> int:
    """Most bytes alive in a training step: weights, gradients, two moments, activations.

    By a dry run in which nothing is computed, so any model and batch fits. Attention counts as
    fused: it keeps no (T, T) matrix.

    Args:
        name: preset or checkpoint directory.
        width: tokens of the longest row. budget: padded tokens of a batch.
    """
    return _model_bytes(name, modality, precision, width, budget, True)


def forward_bytes(name: str, modality: str, precision: str, width: int, budget: int) -> int:
    """Most bytes alive in a forward pass, as for `training_bytes`."""
    return _model_bytes(name, modality, precision, width, budget, False)


def _model_bytes(
    name: str, modality: str, precision: str, width: int, budget: int, train: bool
) -> int:
    with _nothing_computed(), torch.set_grad_enabled(train):
        model, encoder = make_model(name, modality)
        for module in model.train().modules():
            if isinstance(vars(module).get("dropout"), float):
                vars(module)["dropout"] = 0.0  # inside attention it would keep a (T, T) matrix
        width = min(width, encoder.max_tokens)  # what is longer is cropped
        ids = torch.full((max(1, budget // width), width), encoder.mask_id)
        with PeakMemory(model) as memory:
            with autocast(torch.device("cpu"), precision):
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            loss = logits.float().logsumexp(-1).sum()
            if train:
                loss.backward()
        moments = 2 * 4 * sum(p.numel() for p in model.parameters()) if train else 0
        return moments + memory.peak


def head_bytes(task: Task, features: int, width: int) -> int:
    """Most bytes alive in a step of a pairwise head on its largest batch, optimiser included.

    By a dry run, see `training_bytes`.

    Args:
        features: width of the states. width: tokens of the longest sequence; as many of them as
            `pairs_per_batch` allows are a batch.
    """
    n = max(1, min(task.batch_size, task.pairwise.pairs_per_batch // width**2))
    with _nothing_computed():
        head = make_head(task, features, 1)
        states = [torch.ones(width, features, requires_grad=True) for _ in range(n)]
        with PeakMemory(head) as memory:
            torch.stack([values.sum() for values in head(states)]).sum().backward()
        return 2 * 4 * sum(p.numel() for p in head.parameters()) + memory.peak


def scoring_bytes(name: str, modality: str, influence: Influence, width: int) -> int:
    """Most bytes alive in scoring a batch: weights, inverse curvature, activations, gradient tiles.

    By a dry run, see `training_bytes`.
    """
    with _nothing_computed():
        model, encoder = make_model(name, modality)
        settings = resolve_settings(influence.model_copy(update={"compile": False}), 0)
        engine = InfluenceEngine(model, encoder, settings, torch.device("cpu"))
        width = min(width, encoder.max_tokens)
        n = max(1, settings.tokens_per_batch // (width * settings.n_masks))
        letter = chr(int(np.flatnonzero(encoder.table == encoder.letter_ids[0])[0]))
        batch = engine.collate([letter * (width - 2)] * n, [""] * n)
        joint = settings.curvature in ("kfac", "ekfac")
        shapes = gradient_shapes(engine, [settings.parameters], joint)
        with PeakMemory(model) as memory:
            bases = {
                key: Basis(*(torch.ones(d, d, dtype=engine.dtype) for d in reversed(shape)))
                for key, shape in shapes.items()
                if joint
            }
            inverse = {key: torch.ones(s, dtype=engine.dtype) for key, s in shapes.items()}
            curvature = Curvature(inverse, bases)
            engine.run(batch, Forms([curvature], n, engine.device, engine.dtype))
        return memory.peak
