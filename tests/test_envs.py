"""envs/ pins what requirements.lock pins, and holds what the rules' scripts import."""

import ast
import importlib.metadata
import re
import sys

import pytest
import yaml
from coresift.dag.code import Sources
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVS = ("corpus", "torch", "report")
SOURCES = Sources()


def pins(lines):
    """Canonical package name -> version of `name==version` lines."""
    rows = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version.strip() for name, version in rows}


@pytest.fixture(scope="module")
def lock(root):
    return pins((root / "requirements.lock").read_text().splitlines())


def read_env(root, name):
    """Conda dependencies and pip's lines of an environment file."""
    env = yaml.safe_load((root / f"envs/{name}.yaml").read_text())
    *conda, pip = env["dependencies"]
    return env["channels"], conda, pip["pip"]


def module_imports(path):
    """Third-party packages a file imports when it is loaded."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"coresift"}


def scripts_by_env(root):
    """Environment -> scripts of the rules that name it."""
    found = {name: set() for name in ENVS}
    rule = re.compile(r'"\.\./envs/(\w+)\.yaml".*?"\.\./workflow/scripts/(\w+)\.py"', re.S)
    for path in sorted((root / "rules").glob("*.smk")):
        for env, script in rule.findall(path.read_text()):
            found[env].add(script)
    return found


def requirements(name):
    """Canonical names of what an installed package needs here, extras aside."""
    parsed = map(Requirement, importlib.metadata.requires(name) or [])
    return {
        canonicalize_name(r.name)
        for r in parsed
        if r.marker is None or r.marker.evaluate({"extra": ""})
    }


def test_every_file_and_script_is_covered(root):
    assert {path.stem for path in (root / "envs").glob("*.yaml")} == set(ENVS)
    scripts = scripts_by_env(root)
    rules = {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    assert set().union(*scripts.values()) == rules


@pytest.mark.parametrize("name", ENVS)
def test_pins_are_the_locks_and_complete(root, lock, name):
    channels, conda, pip = read_env(root, name)
    assert all("==" in line for line in pip)
    own = pins(pip)
    assert own == {package: lock.get(package) for package in own}
    needed = set().union(*map(requirements, own)) & set(lock)
    assert needed <= set(own), f"add to envs/{name}.yaml: {sorted(needed - set(own))}"
    assert conda[:2] == ["python=3.11", "pip"]
    others = conda[2:]
    assert all(re.fullmatch(r"[a-z0-9]+=[\w.]+", line) for line in others)
    assert ("bioconda" in channels) == bool(others)


@pytest.mark.parametrize("name", ENVS)
def test_what_scripts_import_is_listed(root, name):
    _, _, pip = read_env(root, name)
    packages = importlib.metadata.packages_distributions()
    for script in scripts_by_env(root)[name]:
        files = SOURCES.imported_files(root / f"workflow/scripts/{script}.py")
        for module in set().union(*map(module_imports, files)):
            given = {canonicalize_name(dist) for dist in packages[module]}
            assert given & set(pins(pip)), f"{script} imports {module}: not in envs/{name}.yaml"


def test_container_installs_the_lock(root):
    text = (root / "envs/coresift.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.M | re.S))
    assert text.startswith("#")
    assert re.search(r"^Bootstrap: docker\nFrom: python:3\.11\S*$", text, re.M)
    assert sections["files"].split() == ["requirements.lock", "/opt/requirements.lock"]
    assert "pip install --no-cache-dir -r /opt/requirements.lock" in sections["post"]
    assert 'exec snakemake "$@"' in sections["runscript"]
