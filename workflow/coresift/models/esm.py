"""ESM's masked language model: transformers' names, arithmetic and files without its imports.

Importing any model of transformers takes longer than torch itself (torch._dynamo, sympy,
torch.distributed and scipy come along), seconds of CPU in every job. Weights, outputs, gradients
and files are those of `transformers.EsmForMaskedLM`, bit for bit; tests/models/test_esm.py.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from coresift.files import read_json, write_json

#: What `config.json` says beside the shape. Another value of these is another model.
CONFIG = {
    "add_cross_attention": False,
    "architectures": ["EsmForMaskedLM"],
    "dtype": "float32",
    "esmfold_config": None,
    "is_decoder": False,
    "is_folding_model": False,
    "model_type": "esm",
    "tie_word_embeddings": True,
}
#: Values of transformers' `EsmConfig` where a preset gives none.
DEFAULTS = {
    "bos_token_id": None,
    "eos_token_id": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "rope_theta": 10000.0,
    "use_cache": True,
    "vocab_list": None,
}
SHAPE = (
    "attention_probs_dropout_prob",
    "emb_layer_norm_before",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "layer_norm_eps",
    "mask_token_id",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "pad_token_id",
    "position_embedding_type",
    "rope_theta",
    "token_dropout",
    "vocab_size",
)
#: Share of residues that were <mask> when ESM was trained; `token_dropout` scales by it.
MASK_RATIO = 0.15 * 0.8
TIED = "lm_head.decoder.weight"
#: Ends of parameter names here and in transformers' files.
STORED = {
    "LayerNorm.weight": "LayerNorm.gamma",
    "LayerNorm.bias": "LayerNorm.beta",
    "rotary_embeddings.inv_freq": "encoder.layer.*.attention.self.rotary_embeddings.inv_freq",
}


def gelu(x: torch.Tensor) -> torch.Tensor:
    """ESM's own; `F.gelu` rounds otherwise."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class Embeddings(nn.Module):
    """Token ids -> (B, T, hidden); absolute positions start after the padding id."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        size, self.padding_idx = config.hidden_size, config.pad_token_id
        self.word_embeddings = nn.Embedding(config.vocab_size, size, self.padding_idx)
        self.layer_norm = (
            nn.LayerNorm(size, config.layer_norm_eps) if config.emb_layer_norm_before else None
        )
        self.position_embeddings = (
            nn.Embedding(config.max_position_embeddings, size, self.padding_idx)
            if config.position_embedding_type == "absolute"
            else None
        )
        self.mask_token_id = config.mask_token_id if config.token_dropout else None

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Embeddings, zero where the mask is."""
        x = self.word_embeddings(input_ids)
        if self.mask_token_id is not None:
            masked = input_ids == self.mask_token_id
            x = x.masked_fill(masked.unsqueeze(-1), 0.0)
            lengths = input_ids.shape[1] if attention_mask is None else attention_mask.sum(-1)
            observed = masked.sum(-1).float() / lengths
            x = (x * (1 - MASK_RATIO) / (1 - observed)[:, None, None]).to(x.dtype)
        if self.position_embeddings is not None:
            real = input_ids.ne(self.padding_idx).int()
            positions = torch.cumsum(real, dim=1).type_as(real) * real
            x = x + self.position_embeddings(positions.long() + self.padding_idx)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        if attention_mask is not None:
            x = (x * attention_mask.unsqueeze(-1)).to(x.dtype)
        return x


class Rotary(nn.Module):
    """Cosines and sines of rotary positions."""

    inv_freq: torch.Tensor

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        size = config.hidden_size // config.num_attention_heads
        powers = torch.arange(0, size, 2, dtype=torch.float) / size
        self.register_buffer("inv_freq", 1.0 / (config.rope_theta**powers))

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two (1, 1, T, hidden / heads) tensors of the dtype of `x`, (B, T, hidden)."""
        positions = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
        angles = positions[..., None].float() * self.inv_freq.to(x.device, torch.float)
        angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Queries or keys turned by their positions, in float32."""
    # Two casts, as transformers has it: each rounds its gradient.
    first, second = x.float().chunk(2, dim=-1)
    return (x.float() * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


class SelfAttention(nn.Module):
    """Heads of softmax attention; the queries are scaled, not the products."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        size, heads = config.hidden_size, config.num_attention_heads
        if size % heads:
            raise ValueError(f"hidden_size {size} is not a multiple of num_attention_heads {heads}")
        self.size = size // heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.dropout = config.attention_probs_dropout_prob

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None,
        rotation: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """(B, T, hidden) -> the same; `mask` is (B, 1, T, T), true where attended."""
        split = (*x.shape[:-1], -1, self.size)
        query, key, value = (
            layer(x).view(split).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        query = query * self.size**-0.5
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=1.0)
        return out.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1)


class Residual(nn.Module):
    """A linear layer and dropout, added to the input of its block."""

    def __init__(self, features: int, config: SimpleNamespace) -> None:
        super().__init__()
        self.dense = nn.Linear(features, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: torch.Tensor, skipped: torch.Tensor) -> torch.Tensor:
        """`skipped` plus the layer's output."""
        return self.dropout(self.dense(x)) + skipped


class Attention(nn.Module):
    """Norm, attention, projection."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Residual(config.hidden_size, config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None,
        rotation: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """(B, T, hidden) -> the same."""
        return self.output(self.self(self.LayerNorm(x), mask, rotation), x)


class Intermediate(nn.Module):
    """The wide half of a feed-forward block."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, hidden) -> (B, T, intermediate)."""
        return gelu(self.dense(x))


class Layer(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Residual(config.intermediate_size, config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None,
        rotation: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """(B, T, hidden) -> the same."""
        x = self.attention(x, mask, rotation)
        return self.output(self.intermediate(self.LayerNorm(x)), x)


class Blocks(nn.Module):
    """The blocks and the last norm."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])
        self.emb_layer_norm_after = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)


class ContactHead(nn.Module):
    """Weights that a checkpoint of ESM holds; contacts are not predicted here."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.regression = nn.Linear(config.num_hidden_layers * config.num_attention_heads, 1)


def padded(attention: torch.Tensor) -> bool:
    """Whether a batch may have padding; without, attention takes no mask and a faster kernel."""
    known = type(attention) is torch.Tensor  # a fake tensor has no values
    return not (known and bool(attention.all()))


class EsmModel(nn.Module):
    """Embeddings and encoder."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.rotary_embeddings = (
            Rotary(config) if config.position_embedding_type == "rotary" else None
        )
        self.encoder = Blocks(config)
        self.contact_head = ContactHead(config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> SimpleNamespace:
        """`last_hidden_state` (B, T, hidden) of token ids (B, T); padding is not attended to."""
        x = self.embeddings(input_ids=input_ids, attention_mask=attention_mask)
        mask = None
        if attention_mask is not None and padded(attention_mask):
            n, width = input_ids.shape
            mask = attention_mask.to(x.device, torch.bool)[:, None, None, :]
            mask = mask.expand(n, 1, width, width)
        rotation = None if self.rotary_embeddings is None else self.rotary_embeddings(x)
        for layer in self.encoder.layer:
            x = layer(x, mask, rotation)
        return SimpleNamespace(last_hidden_state=self.encoder.emb_layer_norm_after(x))


class LMHead(nn.Module):
    """Hidden states -> logits; the decoder's weight is the embedding's."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, hidden) -> (B, T, vocabulary)."""
        return self.decoder(self.layer_norm(gelu(self.dense(x)))) + self.bias


class EsmForMaskedLM(nn.Module):
    """Encoder and LM head with random weights, drawn as transformers draws them.

    Attributes:
        config: the values of `config.json`.
    """

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.esm = EsmModel(config).apply(self._draw)
        self.lm_head = LMHead(config).apply(self._draw)
        self.lm_head.decoder.weight = self.esm.embeddings.word_embeddings.weight

    def _draw(self, module: nn.Module) -> None:
        """Normal weights, zero biases; a padding row is zero."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, 0.0, self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding):
            nn.init.zeros_(module.weight[module.padding_idx])

    def _stored_names(self) -> dict[str, str]:
        """Names of what a file holds: here -> there."""
        names = {name: name for name in self.state_dict() if name != TIED}
        for name in names:
            for end, stored in STORED.items():
                if name.endswith(end):
                    names[name] = name.removesuffix(end) + stored
        return names

    @property
    def base_model(self) -> EsmModel:
        """The encoder, as transformers calls it."""
        return self.esm

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> SimpleNamespace:
        """`logits` (B, T, vocabulary) of token ids (B, T)."""
        states = self.esm(input_ids, attention_mask).last_hidden_state
        return SimpleNamespace(logits=self.lm_head(states))

    @classmethod
    def from_shape(cls, **shape: Any) -> EsmForMaskedLM:
        """A model of the values in `SHAPE`; `DEFAULTS` where none is given.

        Raises:
            ValueError: a value is unknown or missing.
        """
        values = {**DEFAULTS, **shape}
        wrong = set(values).symmetric_difference({*SHAPE, *DEFAULTS})
        if wrong:
            raise ValueError(f"ESM's shape: unknown or missing: {', '.join(sorted(wrong))}")
        return cls(SimpleNamespace(**CONFIG, **values))

    @classmethod
    def from_pretrained(cls, directory: Path) -> EsmForMaskedLM | None:
        """The model of a checkpoint directory; None where only transformers can read it.

        That is another architecture, or weights that are not one float32 file of just the
        parameters here.
        """
        config, weights = read_json(directory / "config.json"), directory / "model.safetensors"
        same = all(key in config and config[key] == value for key, value in CONFIG.items())
        if not (same and set(SHAPE) <= set(config) and weights.is_file()):
            return None
        if config["position_embedding_type"] not in ("absolute", "rotary"):
            return None
        # Not on the meta device: a random fill of it imports torch._dynamo.
        with torch.random.fork_rng(devices=[]):
            model = cls(SimpleNamespace(**config))
        names = model._stored_names()
        state = model.state_dict()
        shapes = {stored: list(state[name].shape) for name, stored in names.items()}
        try:
            tensors = load_file(weights)
        except SafetensorError:
            return None
        if {name: list(t.shape) for name, t in tensors.items()} != shapes:
            return None
        if any(t.dtype != torch.float32 for t in tensors.values()):
            return None
        loaded = {name: tensors[stored] for name, stored in names.items()}
        model.load_state_dict({**loaded, TIED: loaded["esm.embeddings.word_embeddings.weight"]})
        return model.eval()

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `config.json` and `model.safetensors`, the bytes that transformers writes."""
        config = {**vars(self.config), "transformers_version": version("transformers")}
        write_json(Path(directory) / "config.json", config)
        state = self.state_dict()
        tensors = {stored: state[name] for name, stored in self._stored_names().items()}
        save_file(tensors, Path(directory) / "model.safetensors", {"format": "pt"})
