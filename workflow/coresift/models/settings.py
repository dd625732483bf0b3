"""Settings of the models: the architectures that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from coresift.files import read_json, read_yaml

#: Encoders that the package multimolecule adds to transformers.
MULTIMOLECULE = frozenset(
    {"ernierna", "rinalmo", "rnabert", "rnaernie", "rnafm", "rnamsm", "splicebert", "utrlm"}
)
#: Encoders whose positions are always rotary.
ROTARY = frozenset({"esmc", "eurobert", "modernbert", "roformer"})
_PRESETS = Path(__file__).resolve().parents[3] / "resources" / "models"


@cache
def model_presets() -> dict[str, dict[str, Any]]:
    """The files of resources/models: name -> the architecture, in transformers' keys."""
    paths = {path.stem: path for path in _PRESETS.glob("*.yaml")}
    return {name: read_yaml(path) for name, path in sorted(paths.items())}


def architecture(preset: str) -> dict[str, Any]:
    """Values of an architecture: a preset's, or of a Hugging Face config.json.

    Raises:
        ValueError: neither a preset nor such a file, or no `model_type` in it.
    """
    if not preset.endswith(".json"):
        presets = model_presets()
        if preset not in presets:
            allowed = f"{', '.join(presets)}, or the path of a config.json"
            raise ValueError(f"no model preset {preset!r}; allowed: {allowed}")
        return presets[preset]
    try:
        values = read_json(preset)
    except (OSError, ValueError) as error:
        raise ValueError(f"{preset}: not a readable config.json ({error})") from None
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise ValueError(f"{preset}: no model_type; not a Hugging Face config.json")
    return values


def reads_any_position(values: Mapping[str, Any]) -> bool:
    """Whether an architecture's positions are relative, so that training teaches all of them."""
    kind = values.get("position_embedding_type", "absolute")
    return values["model_type"] in ROTARY or kind == "rotary"


def widened(values: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """An architecture with its hidden states and layers `factor` times as wide; at 1 as it is.

    Else the hidden states are a multiple of twice the heads: rotary positions need even heads.

    Raises:
        ValueError: its config has other keys for its widths.
    """
    if factor == 1:
        return dict(values)
    missing = {"hidden_size", "intermediate_size", "num_attention_heads"} - set(values)
    if missing:
        raise ValueError(
            f"validate.stability.widths: a base of model_type {values.get('model_type')} cannot be "
            f"made in another width, it has no {', '.join(sorted(missing))}; give widths: []"
        )
    unit = 2 * values["num_attention_heads"]
    return {
        **values,
        "hidden_size": max(1, round(factor * values["hidden_size"] / unit)) * unit,
        "intermediate_size": max(1, round(factor * values["intermediate_size"])),
    }


def _known(preset: str) -> str:
    architecture(preset)
    return preset


#: Name of a file in resources/models, or path of a Hugging Face config.json.
Preset = Annotated[str, AfterValidator(_known)]
