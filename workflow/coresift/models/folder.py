"""What a Hugging Face folder must hold, told by names alone: no library is loaded to look."""

from __future__ import annotations

from pathlib import Path

#: Where weights may be, first found first taken (the order of transformers).
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
#: Files that hold a tokenizer's vocabulary; without one transformers makes one up.
VOCABULARIES = (
    *("tokenizer.json", "vocab.txt", "vocab.json"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)


def lacking(folder: str | Path) -> list[str]:
    """What a checkpoint's folder has not, in words; nothing of a whole one."""
    shards = tuple(f"{name}.index.json" for name in WEIGHTS)
    needed = {
        "config.json": ("config.json",),
        f"weights ({' or '.join(WEIGHTS)}, or shards)": (*WEIGHTS, *shards),
        f"tokenizer ({', '.join(VOCABULARIES)})": VOCABULARIES,
    }
    return [
        what
        for what, names in needed.items()
        if not any((Path(folder) / name).is_file() for name in names)
    ]
