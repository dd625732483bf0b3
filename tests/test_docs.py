"""docs/config.md and config/schema.json are what the settings say; the schema tells the truth."""

import re

import pytest
import yaml
from coresift.config import ConfigError, load_config
from coresift.docs import config_page, config_schema, made
from jsonschema import Draft202012Validator
from snakemake.utils import update_config


@pytest.fixture(scope="module")
def schema():
    return config_schema()


@pytest.fixture(scope="module")
def validator(schema):
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


#: Configs that are given after another one, and which.
OVERLAYS = {
    "validate_demo.yaml": ["demo"],
    "shared_rna.yaml": ["rna"],
    "shared_protein.yaml": ["protein"],
    "study.yaml": ["study_rna"],
    "study_ablation.yaml": ["study_rna"],
    "study_epochs.yaml": ["study_protein"],
    "study_finalists_rna.yaml": ["study_rna", "study"],
    "study_finalists_protein.yaml": ["study_protein", "study"],
    "study_gpu.yaml": ["study_protein", "study"],
    "study_gpu_rna.yaml": ["study_rna", "study", "study_gpu"],
    "study_gpu_protein.yaml": ["study_protein", "study", "study_gpu"],
    "study_gpu_35m.yaml": ["study_rna", "study", "study_gpu"],
    "study_gpu_short.yaml": ["study_rna"],
}


def configs(root):
    return sorted((root / "config").glob("*.yaml"))


def test_make_docs_would_change_nothing(root):
    stale = [path.name for path, text in made(root).items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


def test_every_key_is_described(schema):
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        assert section["description"], name
        for key, field in section["properties"].items():
            assert field.get("description") or "$ref" in field, f"{name}.{key}"


def test_the_page_has_every_key_once_a_section(schema):
    lines = config_page(schema).splitlines()
    rows = sorted(line.split("`")[1] for line in lines if line.startswith("| `"))
    sections = [schema, *schema["$defs"].values()]
    assert rows == sorted(key for section in sections for key in section["properties"])
    tables = [line.count("|") - line.count("\\|") for line in lines if line.startswith("|")]
    assert set(tables) == {5}
    headings = [line.strip("# `") for line in lines if line.startswith("## ")]
    anchors = {re.sub(r"[^\w-]", "", heading) for heading in headings}  # as GitHub makes them
    assert anchors == set(re.findall(r"\(#(\w+)\)", "".join(lines)))


def test_the_page_gives_limits_default_and_meaning(schema):
    rows = config_page(schema).splitlines()
    damping = "| `damping` | number > 0 | `0.1` | added to the curvature before it is inverted |"
    assert damping in rows
    assert any(
        row.startswith("| `fasta` | list (one at least): text | **needed** |") for row in rows
    )
    assert any(row.startswith("| `blocks` | integer ≥ 1, ≤ 65536 | `1024` |") for row in rows)
    assert any(row.startswith("| `preset` | `reference` or `null` | `null` |") for row in rows)


def test_shipped_configs_name_the_schema_and_are_valid(root, validator):
    assert len(configs(root)) >= 3
    for path in configs(root):
        text = path.read_text()
        assert text.startswith("# yaml-language-server: $schema=schema.json\n"), path.name
        values = yaml.safe_load(text)
        if path.name in OVERLAYS:
            names = [*OVERLAYS[path.name], path.stem]
            values = {}
            for name in names:
                update_config(values, yaml.safe_load((root / f"config/{name}.yaml").read_text()))
            load_config(values)
        assert [error.message for error in validator.iter_errors(values)] == []


GOOD = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
DATA = {"path": "x.csv"}


@pytest.mark.parametrize(
    ("part", "valid"),
    [
        ({}, True),
        ({"tasks": {"t": {"kind": "class", "data": DATA}}}, True),
        ({"tasks": {"t": {"preset": "modif", "data": DATA}}}, True),
        ({"tasks": {"t": {"preset": "modif", "n_labels": 3, "data": DATA}}}, True),
        ({"tasks": {"t": {"preset": None, "data": DATA}}}, False),
        ({"tasks": {"t": {"data": DATA}}}, False),
        ({"tasks": {"t": {"preset": "modify", "data": DATA}}}, False),
        ({"tasks": {"t": {"preset": "modif", "heads": 1, "data": DATA}}}, False),
        ({"tasks": {"My task": {"kind": "class", "data": DATA}}}, False),
        ({"influence": {"parameters": ["*.dense.weight"]}}, True),
        ({"influence": {"variants": {"a": {"curvature": "kfac", "loss": None}}}}, True),
        ({"influence": {"dampening": 1}}, False),
        ({"influence": {"damping": 0}}, False),
        ({"selection": {"strategies": ["best"]}}, False),
        ({"selection": {"cci": {"prune_hard": 1.0}}}, False),
        ({"corpus": {"fasta": []}}, False),
        ({"subset": {"size": "many"}}, False),
        ({"device": "cuda:1"}, True),
        ({"device": "gpu"}, False),
    ],
)
def test_the_schema_says_what_the_loader_says(validator, part, valid):
    config = {**GOOD, **part}
    try:
        load_config(config)
        loads = True
    except ConfigError:
        loads = False
    assert (validator.is_valid(config), loads) == (valid, valid)
