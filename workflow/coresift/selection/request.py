"""What a draw depends on: a selection's name with every setting filled in, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """One selection, whatever its budget and seed; made by `selection.settings.Selection.request`.

    Attributes:
        name: the selection's.
        strategy: a key of `names.STRATEGIES`.
        score: the column of the scores that it ranks, if any.
        feature: the column of the pool's features that it reads, if any.
        by: the column of the groups that it reads, if any.
        reference: the selection that it is matched to, if any.
        options: of the strategy, e.g. the values of `selection.settings.Cci`.
        salt: what makes its random order its own; the same for two selections whose draws are
            shared.
    """

    name: str
    strategy: str
    score: str | None = None
    feature: str | None = None
    by: str | None = None
    reference: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    salt: str = ""
