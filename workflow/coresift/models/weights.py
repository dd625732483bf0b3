"""The weights of a Hugging Face folder: read whole, nothing executed, no name guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from coresift.models.folder import WEIGHTS

#: First bytes of files that stand for a large one that was not fetched.
POINTERS = {b"version https://git-lfs": "git lfs pull", b"/annex/objects/": "git annex get"}

#: Weights that a folder may lack, or have beside the model's, and why that changes no result.
BENIGN = {
    r"(^|\.)contact_head\.": "ESM's contact head, beside the path of the MLM loss",
    r"(^|\.)pooler\.": "the pooler of a sequence classifier",
    r"^cls\.seq_relationship\.": "BERT's head for the next sentence",
    r"^classifier\.": "the head of a classifier",
    r"(^|\.)position_ids$": "0, 1, 2, ...",
    r"(^|\.)(original_)?inv_freq$": "rotary frequencies, from the config",
    r"(^|\.)embed_positions\.weight$": "RoFormer's sinusoids, from the config",
}
#: What torch.compile, FSDP and activation checkpointing put anywhere into a name.
INNER_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
#: What DataParallel, DDP and Lightning put before a name.
OUTER_WRAPPERS = ("module", "model")

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class CheckpointError(ValueError):
    """A checkpoint folder cannot be used; the message names the folder and the cause."""


class NoHeadError(CheckpointError):
    """A checkpoint has no LM head: its encoder can be evaluated, its predictions cannot."""


@contextmanager
def named(path: str | Path, what: str) -> Iterator[None]:
    """Turn an error of a library into a `CheckpointError` that names the folder or file."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # parsers of damaged files raise whatever they like
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
        raise CheckpointError(f"{path}: {what} ({cause})") from error


def is_benign(name: str) -> bool:
    """Whether a weight may be missing or left over, see `BENIGN`."""
    return any(re.search(pattern, name) for pattern in BENIGN)


def some(names: Iterable[str], most: int = 8) -> str:
    """Names for a message: sorted, the first few."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def check_fetched(path: Path) -> None:
    """Refuse a pointer file in the place of a large one.

    Raises:
        CheckpointError: the file is one, or cannot be read.
    """
    with named(path, "not readable"), path.open("rb") as handle:
        start = handle.read(64)
    for mark, remedy in POINTERS.items():
        if start.startswith(mark):
            raise CheckpointError(f"{path}: a pointer to a file that was not fetched; `{remedy}`")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it is missing, damaged, or something else.
    """
    check_fetched(path)
    with named(path, "not readable JSON"):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return value


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder by the name it has there, in the dtype it has there.

    Raises:
        CheckpointError: there are none; or a file is missing, not fetched, truncated, damaged,
            needs more than tensors, or does not hold what the index says.
    """
    for file in WEIGHTS:
        if (folder / file).is_file():
            return _read_file(folder / file)
        if (folder / f"{file}.index.json").is_file():
            return _read_shards(folder / f"{file}.index.json")
    found = some((path.name for path in folder.iterdir()), 20)
    raise CheckpointError(
        f"{folder}: no weights ({' or '.join(WEIGHTS)}, or shards); it has {found}"
    )


def _read_shards(index: Path) -> dict[str, torch.Tensor]:
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise CheckpointError(f"{index}: no weight_map from weights to files")
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(set(places.values())):
        path = index.parent / file
        if Path(file).name != file or not path.is_file():
            raise CheckpointError(f"{index.parent}: the shard {file!r} of {index.name} is missing")
        part = _read_file(path)
        promised = {name for name, place in places.items() if place == file}
        if promised != set(part):
            raise CheckpointError(
                f"{path}: not the weights that {index.name} says: {some(promised ^ set(part))}"
            )
        tensors |= part
    return tensors


def _read_file(path: Path) -> dict[str, torch.Tensor]:
    check_fetched(path)
    if path.suffix == ".safetensors":
        with (
            named(path, "truncated or damaged weights"),
            safe_open(str(path), framework="pt") as handle,
        ):
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    with named(path, "truncated or damaged weights"):
        try:
            # Not mapped into memory: torch looks at the records' headers only as it reads them.
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            needed = re.search(r"GLOBAL (\S+)", str(error))
            if needed is None:
                raise
            raise CheckpointError(
                f"{path}: its pickle needs {needed[1]}, not only tensors, and is not executed; "
                "save it as safetensors"
            ) from error
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{path}: holds a {type(tensors).__name__}, not weights by name")
    other = [str(n) for n, t in tensors.items() if not isinstance(t, torch.Tensor)]
    if other:
        raise CheckpointError(f"{path}: entries that are not weights: {some(other)}")
    return {str(name): tensor for name, tensor in tensors.items()}


def check_floats(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse quantised weights: integers, and floats that are scaled elsewhere.

    Raises:
        CheckpointError: there are such weights; they are named.
    """
    odd = {n: t.dtype for n, t in tensors.items() if t.dtype not in FLOATS and not is_benign(n)}
    if odd:
        listed = some(f"{name} ({dtype})" for name, dtype in odd.items())
        raise CheckpointError(f"{path}: weights that are not floating-point numbers: {listed}")


def unwrapped(names: Iterable[str], fits: Callable[[str], bool]) -> dict[str, str]:
    """The name in the model of each name in a file: without what wrappers put into it.

    An outer wrapper's name may be the model's own (ModernBERT's `model.`), so it is dropped only
    where more names fit the model without it.
    """
    found = {
        name: ".".join(part for part in name.split(".") if part not in INNER_WRAPPERS)
        for name in names
    }
    for _ in range(4):  # wrappers of wrappers
        for wrapper in OUTER_WRAPPERS:
            bare = {name: value.removeprefix(f"{wrapper}.") for name, value in found.items()}
            if sum(map(fits, bare.values())) > sum(map(fits, found.values())):
                found = bare
    return found
