"""What of an optimisation decides no byte of its result; by itself, for every training reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Keys of `settings.Optimisation`.
INERT = frozenset({"checkpoint_steps"})


def deciding(options: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a result depends on."""
    return {key: value for key, value in options.items() if key not in INERT}


def complete(options: Mapping[str, Any], resources: Any) -> dict[str, Any]:
    """The options of a training rule, with what it is given as resources: it reruns nothing."""
    return {**options, **{key: getattr(resources, key) for key in sorted(INERT)}}
