"""What is written about the configuration: docs/config.md and config/schema.json, by `make docs`.

Both are made from the stages' settings, so that a key is described once, where it is defined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from coresift.config import Config
from coresift.files import write_text
from coresift.tasks.settings import task_presets

ROOT = Path(__file__).resolve().parents[2]

Schema = dict[str, Any]

_HEAD = """# Configuration

Made by `make docs` from the stages' `settings.py`; do not edit. A wrong key or value fails before
any job starts. An editor with a YAML language server completes and checks a file that begins with
`# yaml-language-server: $schema=config/schema.json` (a path relative to the file).

A list, mapping or section without a default is empty, or made of the defaults of its own keys.

"""


class _Untitled(GenerateJsonSchema):
    """Keys without a title, which would only repeat their name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def config_schema() -> Schema:
    """JSON schema of a configuration file.

    It is as strict as `load_config` about one key, not about several together. In a task that names
    a preset, no key is required: the preset may give it.
    """
    schema = Config.model_json_schema(schema_generator=_Untitled)
    for node in _objects(schema):
        if "patternProperties" in node:
            node["additionalProperties"] = False
    task = schema["$defs"]["Task"]
    preset = {"type": "string", "enum": [*task_presets()]}
    task["properties"]["preset"]["anyOf"][0] = preset
    needed = {"required": task.pop("required")}
    task["anyOf"] = [needed, {"required": ["preset"], "properties": {"preset": preset}}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _objects(node: Any) -> Iterator[Schema]:
    """Every mapping inside a JSON value, itself included."""
    if isinstance(node, dict):
        yield node
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    ):
        yield from _objects(child)


def config_page(schema: Schema) -> str:
    """The page of every key: type and limits, default, meaning; a table a section.

    Args:
        schema: of `config_schema`.
    """
    return _HEAD + "\n".join(_section("", schema, schema, {}))


def _section(path: str, node: Schema, schema: Schema, shown: dict[str, str]) -> Iterator[str]:
    """Heading, text and table of a section, then the sections inside it.

    Args:
        shown: paths of the sections with a table so far, by title; extended.
    """
    if path:
        yield f"## `{path}`\n"
    if node["title"] in shown:
        yield f"The keys of `{shown[node['title']]}`.\n"
        return
    shown[node["title"]] = path
    yield f"{node['description']}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    inner = []
    for name, field in node["properties"].items():
        names, section = _inner(field, schema)
        value = _value(field)
        if section is not None:
            child = f"{path}.{name}{names}".lstrip(".")
            inner.append((child, section))
            value = value.replace("section", f"[section](#{re.sub('[^a-z_]', '', child)})")
        meaning = field.get("description") or section["description"]
        cells = (f"`{name}`", value, _default(name, field, node), meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
    for child, section in inner:
        yield from _section(child, section, schema, shown)


def _inner(field: Schema, schema: Schema) -> tuple[str, Any]:
    """The section that a key holds, or one under each name (`.<name>`), or none."""
    for choice in field.get("anyOf", [field]):
        if "$ref" in choice:
            return "", _resolve(choice, schema)
        for named in _named(choice):
            if "$ref" in named:
                return ".<name>", _resolve(named, schema)
    return "", None


def _named(choice: Schema) -> list[Schema]:
    """What a mapping with names of the user's holds: one schema, or none."""
    values = [*choice.get("patternProperties", {}).values(), choice.get("additionalProperties")]
    return [value for value in values if isinstance(value, dict)]


def _resolve(reference: Schema, schema: Schema) -> Schema:
    return schema["$defs"][reference["$ref"].rsplit("/", 1)[-1]]


def _default(name: str, field: Schema, node: Schema) -> str:
    if name in node.get("required", []):
        return "**needed**"
    if "anyOf" in node and name in node["anyOf"][0]["required"]:  # see config_schema
        return "**needed** without preset"
    if "default" not in field:  # a section, or a mapping of them
        return ""
    return f"`{json.dumps(field['default'])}`"


def _value(field: Schema) -> str:
    """Type and limits in words."""
    if "anyOf" in field:
        return " or ".join(map(_value, field["anyOf"]))
    if "$ref" in field:
        return "section"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    kind: str = field["type"]
    if kind == "object":
        (held,) = _named(field)
        return f"name: {_value(held)}"
    if kind == "array":
        least = " (one at least)" if field.get("minItems") else ""
        return f"list{least}: {_value(field['items'])}"
    words = {"null": "`null`", "boolean": "`true`, `false`", "string": "text"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    limits += [f"`{field['pattern']}`"] if "pattern" in field else []
    return f"{words.get(kind, kind)} {', '.join(limits)}".strip()


def made(root: Path = ROOT) -> dict[Path, str]:
    """Path and text of every file that `make docs` writes."""
    schema = config_schema()
    return {
        root / "docs/config.md": config_page(schema),
        root / "config/schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for path, text in made().items():
        write_text(path, text)
        print(path.relative_to(ROOT))
