"""What the sections of the configuration are made of."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Modality = Literal["rna", "protein"]


#: Of forward passes: that of the weights, or autocast.
Precision = Literal["float32", "bf16"]


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


Positive = Annotated[int, Field(ge=1)]


#: Tokens of an input: <cls>, a residue and <eos> at least.
InputLength = Annotated[int, Field(ge=3)]


def _literal(path: str) -> str:
    if any(c in "{}" or not c.isprintable() for c in path):
        raise ValueError(
            "braces and control characters cannot stand in a path: "
            "the workflow reads {x} as a wildcard"
        )
    return path


#: A file or folder, relative to the folder where the workflow runs; every other character than
#: those refused is taken literally.
FilePath = Annotated[str, AfterValidator(_literal)]


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    if groups != 1:
        raise ValueError(f"needs exactly one group in parentheses, has {groups}")
    return pattern


#: A regular expression whose one group is what is wanted.
OneGroup = Annotated[str, AfterValidator(_one_group)]


class ConfigError(ValueError):
    """The configuration is wrong; the message lists every problem, one a line."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def plain(value: Any) -> Any:
    """A section (or a scalar) as JSON-ready data, for `params` and file metadata."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
