"""What the sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["rna", "protein"]


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


Positive = Annotated[int, Field(ge=1)]


class ConfigError(ValueError):
    """The configuration is wrong; the message lists every problem, one a line."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def plain(value: Any) -> Any:
    """A section (or a scalar) as JSON-ready data, for `params` and file metadata."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
