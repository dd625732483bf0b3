"""The house: imports run downwards only, and a script imports what its stage may know."""

import re
from graphlib import TopologicalSorter

import pytest
from coresift.dag.code import PACKAGE, Sources

SOURCES = Sources()
#: Rooms from the ground up; a module imports from its own room and from those in lines above it.
FLOORS = (
    {"alphabet", "hashing", "settings", "files", "tables"},
    {"dag"},
    {"corpus", "models"},
    {"training"},
    {"influence"},
    {"selection"},
    {"export"},
    {"tasks", "heldout"},
    {"report"},
    {"validate"},
    {"study"},
    {"config"},
    {"docs"},
    {"cost"},
)
VALIDATION = ("validate", "heldout", "report", "selection.names", "influence.settings")
#: Rooms that the scripts of a rule file may reach, directly or not; "room.module" is one file.
REACH = {
    "download": {"dag"},
    "corpus": {"dag", "corpus"},
    "groups": {"dag", "corpus"},
    "split": {"dag", "corpus"},
    "finetune": {"dag", "corpus", "models", "training"},
    "influence": {"dag", "corpus", "models", "influence"},
    "embeddings": {"dag", "corpus", "models", "influence"},
    "targets": {"dag", "corpus", "models", "influence"},
    "select": {"dag", "corpus", "selection", "influence.tables"},
    "export": {"dag", "corpus", "selection", "export"},
    "pretrain": {
        *("dag", "corpus", "models", "training", "heldout"),
        *("selection.tables", "selection.names"),
    },
    "heldout": {"dag", "corpus", "models", "heldout"},
    "evaluate": {"dag", "corpus", "models", "tasks"},
    "nearest": {"dag", "corpus", "tasks"},
    "rows": {"dag", "corpus", "models", "tasks", "report", "heldout", "selection.names"},
    "describe": {"dag", "corpus", "models", "influence", "selection", "report"},
    "validate": {
        *("dag", "corpus", *VALIDATION),
        *("selection.budgets", "selection.errors", "selection.request"),
    },
    "retrain": {"dag", "corpus", "models", "training", "influence", *VALIDATION},
    "stability": {"dag", "corpus", "models", "training", "influence", *VALIDATION},
    "report": {"dag", "corpus", "models", "tasks", "heldout", "report", "selection.names"},
    "study": {
        *("dag", "corpus", "models", "tasks", "heldout", "report", "selection", "validate"),
        *("influence.settings", "study"),
    },
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_below(path):
    floor = next(i for i, names in enumerate(FLOORS) if room(path) in names)
    ground = floor == 0
    return set().union(*FLOORS[:floor]) | (FLOORS[0] if ground else {room(path)})


def scripts_of(root, rules):
    text = (root / f"rules/{rules}.smk").read_text()
    names = re.findall(r'"\.\./workflow/scripts/(\w+)\.py"', text)
    return [root / f"workflow/scripts/{name}.py" for name in names]


def test_every_module_has_a_floor():
    assert {room(path) for path in MODULES} == set().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_downwards(path):
    upwards = [p for p in SOURCES.direct_imports(path) if room(p) not in rooms_below(path)]
    assert not upwards


def test_no_circle():
    graph = {path: set(SOURCES.direct_imports(path)) for path in MODULES}
    TopologicalSorter(graph).prepare()


def test_every_script_belongs_to_a_stage(root):
    listed = [script for rules in REACH for script in scripts_of(root, rules)]
    assert sorted(set(listed)) == sorted((root / "workflow/scripts").glob("*.py"))


@pytest.mark.parametrize("rules", REACH)
def test_a_script_reaches_its_stage_and_what_is_below(root, rules):
    for script in scripts_of(root, rules):
        for path in SOURCES.imported_files(script):
            if PACKAGE not in path.parents or path.name == "__init__.py":
                continue
            names = {room(path), ".".join(path.relative_to(PACKAGE).with_suffix("").parts)}
            assert names & (FLOORS[0] | REACH[rules]), f"{script.name} reaches {path}"


def test_no_script_or_stage_imports_the_whole_configuration(root):
    whole = PACKAGE / "config.py"
    for script in (root / "workflow/scripts").glob("*.py"):
        assert whole not in SOURCES.imported_files(script)
    users = {room(path) for path in MODULES if whole in SOURCES.direct_imports(path)}
    assert users <= {"cost", "docs"}
