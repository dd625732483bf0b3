"""The configuration of a card: paths without the folders that say nothing elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import PurePath
from typing import Any

#: The keys of the configuration that hold paths; * is any name or number. Names under `downloads`
#: are paths too.
PATH_KEYS = (
    *("corpus.fasta.*", "corpus.groups.*.table", "heldout.files.*", "subset.fasta.*"),
    *("base.checkpoint", "evaluate.checkpoints.*", "influence.targets.*.fasta", "study.kept"),
    *(f"tasks.*.data.{k}" for k in ("path", "train", "valid", "test", "fasta", "fasta_b")),
    # The name of a preset, or a config.json.
    *("base.preset", "pretrain.preset", "validate.preset"),
)
_KEYS = [tuple(key.split(".")) for key in PATH_KEYS]


def portable(config: Mapping[str, Any]) -> Any:
    """A configuration, or sections of it, with as much of absolute paths as tells them apart.

    That is the name where no other path has it, else a folder with it, and so on.
    """
    given = {path for key, path in _strings(config) if _is_path(key)}
    given |= set(config.get("downloads", {}))
    short = _shortened(given)
    changed = _changed(config, (), short)
    if "downloads" in config:
        changed["downloads"] = {short[k]: value for k, value in config["downloads"].items()}
    return changed


def _is_path(key: tuple[str, ...]) -> bool:
    return any(
        len(key) == len(pattern) and all(p in ("*", k) for p, k in zip(pattern, key, strict=True))
        for pattern in _KEYS
    )


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and values of a mapping, numbers and values of a list."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _strings(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield key, value
    for name, item in _items(value):
        yield from _strings(item, (*key, str(name)))


def _changed(value: Any, key: tuple[str, ...], short: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return short[value] if _is_path(key) else value
    items = [(name, _changed(item, (*key, str(name)), short)) for name, item in _items(value)]
    if isinstance(value, Mapping):
        return dict(items)
    return [item for _, item in items] if isinstance(value, list | tuple) else value


def _shortened(paths: set[str]) -> dict[str, str]:
    """What each path becomes: a relative one itself, of others the fewest last parts."""
    short = {path: path for path in paths if not os.path.isabs(path)}
    left = sorted(paths - set(short))
    for n in count(1):
        if not left:
            break
        ends = {path: str(PurePath(*PurePath(path).parts[1:][-n:])) for path in left}
        taken = [*short.values(), *ends.values()]
        for path, end in ends.items():
            if taken.count(end) == 1:
                short[path] = end
            elif n >= len(PurePath(path).parts) - 1:
                short[path] = path  # as a relative one: nothing shorter tells the two apart
        left = [path for path in left if path not in short]
    return short
