"""Model presets, and loading and saving Hugging Face checkpoints."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from coresift.alphabet import ALPHABETS
from coresift.models.esm import EsmForMaskedLM
from coresift.models.tokenizer import Encoder, build_tokenizer, load_tokenizer

PRESETS = Path(__file__).resolve().parents[3] / "resources" / "models"


def preset_names() -> list[str]:
    """Names of the presets in resources/models."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def build_model(preset: str, modality: str, seed: int) -> tuple[EsmForMaskedLM, Any]:
    """A model of a preset with seeded random weights, and its tokenizer.

    Raises:
        ValueError: no such preset.
    """
    path = PRESETS / f"{preset}.yaml"
    if not path.is_file():
        raise ValueError(f"no model preset {preset!r}; allowed: {', '.join(preset_names())}")
    vocabulary = ALPHABETS[modality].vocabulary
    architecture = yaml.safe_load(path.read_text(encoding="utf-8"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EsmForMaskedLM.from_shape(
            vocab_size=len(vocabulary),
            pad_token_id=vocabulary.index("<pad>"),
            mask_token_id=vocabulary.index("<mask>"),
            **architecture,
        )
    # Positions start after the padding id, as in ESM and RoBERTa.
    return model, build_tokenizer(modality, model.config.max_position_embeddings - 2)


def load_model(directory: str | Path, modality: str, max_tokens: int) -> tuple[Any, Any, Encoder]:
    """Model, tokenizer and encoder of a Hugging Face directory; nothing is downloaded.

    Raises:
        ValueError: not a checkpoint directory.
        VocabularyError: its vocabulary does not fit the modality.
    """
    directory = Path(directory)
    if not (directory / "config.json").is_file():
        raise ValueError(f"{directory}: no config.json; not a Hugging Face checkpoint directory")
    tokenizer = load_tokenizer(directory)
    model = EsmForMaskedLM.from_pretrained(directory) or _any_model(directory)
    max_tokens = min(max_tokens, position_limit(model) or max_tokens)
    encoder = Encoder.from_tokenizer(tokenizer, modality, max_tokens)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"{directory}: the tokenizer has {len(tokenizer)} tokens, "
            f"the model {model.config.vocab_size}"
        )
    return model, tokenizer, encoder


def _any_model(directory: Path) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(directory, local_files_only=True)


def position_limit(model: torch.nn.Module) -> int | None:
    """Longest input that a table of absolute positions allows; None without one (rotary).

    Where the table has a padding row (ESM, RoBERTa), positions start after it.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    return None


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling folder; it replaces `path` if the block succeeds.

    Its name carries the process id: an orphan of a killed run and its successor never meet.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_model(directory: str | Path, model: Any, tokenizer: Any) -> None:
    """Save model and tokenizer for `AutoModelForMaskedLM` and `AutoTokenizer`, atomically."""
    with atomic_directory(directory) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def model_hash(model: torch.nn.Module) -> str:
    """32 hex digits of the weights: names, shapes and float32 bytes, in name order."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def choose_device(name: str) -> torch.device:
    """`auto` = CUDA where there is one, else the CPU; any other name as torch reads it."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def configure_torch(threads: int) -> None:
    """Fix what decides the bits of a result: thread count and deterministic kernels."""
    torch.set_num_threads(threads)
    # Sets what `use_deterministic_algorithms(warn_only=True)` sets, without importing inductor.
    torch.set_deterministic_debug_mode("warn")
