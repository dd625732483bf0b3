"""Atomic, deterministic files: paths, text, JSON, tensors; YAML that means what it says.

A file appears under its final name only when it is whole (temporary file in the same folder, then
rename). All tensors are safetensors with string metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.lib.format import open_memmap

if TYPE_CHECKING:
    import torch
    import yaml


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it to `path` if the block succeeds.

    The temporary name is hidden and carries host and process id, so that a killed job leaves
    nothing that looks whole and two writers never meet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling folder; it replaces `path` if the block succeeds.

    Its name carries host and process id, as in `atomic_path`; one that is there already is
    the orphan of a killed process.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically with sorted keys, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_yaml(path: str | Path) -> Any:
    """Read a YAML or JSON file.

    Raises:
        ValueError: it is neither, or a mapping has a key twice, of which YAML would take the last.
    """
    import yaml

    text = Path(path).read_text(encoding="utf-8-sig")
    with suppress(ValueError):
        json.loads(text)
        text = text.replace("\t", " ")  # blanks between JSON's tokens, which YAML does not take
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        twice = [] if node is None else _repeated_keys(node)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not readable YAML ({error})") from error
    if twice:
        lines = "; ".join(f"line {line}: {key} is given twice" for line, key in twice)
        raise ValueError(f"{path}: {lines}")
    return value


def _repeated_keys(document: yaml.Node) -> list[tuple[int, str]]:
    """Line and text of every key that stands in its mapping for a second time."""
    found = []
    seen = set()  # an anchored node has several places
    queue = [document]
    while queue:
        node = queue.pop()
        if isinstance(node.value, str) or id(node) in seen:
            continue
        seen.add(id(node))
        items = [item if isinstance(item, tuple) else (None, item) for item in node.value]
        queue += [value for _, value in items]
        scalars = [key for key, _ in items if key is not None and isinstance(key.value, str)]
        names = [(key.tag, key.value) for key in scalars]
        found += [
            (key.start_mark.line + 1, key.value)
            for i, key in enumerate(scalars)
            if names[i] in names[:i]
        ]
    return sorted(found)


def write_tensors(
    path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors atomically as safetensors, with a checksum of them.

    Metadata and checksum are stored as one JSON string: safetensors writes several strings in no
    fixed order, which would change the bytes.
    """
    from safetensors.torch import save_file

    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    stored = {"metadata": dict(metadata), "checksum": _checksum(contiguous)}
    packed = {"metadata": json.dumps(stored, sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata=packed)


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    import torch

    digest = xxhash.xxh3_128()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def open_tensors(path: str | Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Handle (tensors are read on demand) and metadata of a file written by `write_tensors`.

    What is read on demand is not held to the checksum.

    Raises:
        ValueError: the file is not a readable safetensors file of ours.
    """
    with _open(path) as (handle, stored):
        yield handle, stored["metadata"]


@contextmanager
def _open(path: str | Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as handle:
            yield handle, _stored(path, handle.metadata())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error


def _stored(path: str | Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Metadata and checksum of a file."""
    try:
        stored = json.loads((metadata or {}).get("metadata", ""))
    except ValueError:
        stored = None
    if not isinstance(stored, dict) or not isinstance(stored.get("metadata"), dict):
        raise ValueError(f"{path}: not a safetensors file of this workflow, or of an older one")
    return stored


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and metadata written by `write_tensors`.

    Raises:
        ValueError: the file is not a readable safetensors file of ours, or is damaged.
    """
    with _open(path) as (handle, stored):
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    if _checksum(tensors) != stored.get("checksum"):
        raise ValueError(f"{path}: damaged, the checksum differs")
    return tensors, stored["metadata"]


def write_rows(path: str | Path, parts: Sequence[str | Path], name: str) -> None:
    """Lay float16 tensors of several files end to end, as one .npy file, atomically.

    `numpy.load` maps it into memory, and scattered rows are read without the rest. Memory is that
    of one part.

    Args:
        parts: files of `write_tensors` with an (n_i, d) tensor `name`; n_i may be 0.

    Raises:
        ValueError: a part is not a readable file of ours, or is damaged.
    """
    shapes = []
    for part in parts:
        with open_tensors(part) as (handle, _):
            shapes.append(handle.get_slice(name).get_shape())
    ends = np.cumsum([n for n, _ in shapes])
    with atomic_path(path) as temporary:
        rows = open_memmap(temporary, "w+", np.float16, (int(ends[-1]), shapes[0][1]))
        for part, (n, _), end in zip(parts, shapes, ends, strict=True):
            rows[end - n : end] = read_tensors(part)[0][name].numpy()
        rows.flush()


def write_digest(path: str | Path, name: str, file: str | Path) -> None:
    """Write {name: sha256 of a file} as JSON.

    Small enough for Snakemake to see by its content that a large file was made again as it was.
    """
    with open(file, "rb") as handle:
        write_json(path, {name: hashlib.file_digest(handle, "sha256").hexdigest()})
