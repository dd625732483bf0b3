import os
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from snakemake_runs import snakemake

ROOT = Path(__file__).resolve().parents[1]

# No test is timed: a machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Whole runs are begun early, so that no worker is left alone with one at the end.

    The first file of them makes the finished project that they share; the others come once the
    first half of the small tests is through, or their worker would only wait for it.
    """
    first = [item for item in items if item.path.name == "test_reruns.py"]
    whole = [item for item in items if item.path.parent.name == "workflow" and item not in first]
    small = [item for item in items if item.path.parent.name != "workflow"]
    middle = small[len(small) // 2].path if small else None
    half = [item.path for item in small].index(middle) if small else 0
    items[:] = [*first, *small[:half], *whole, *small[half:]]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


def shared(name: str, what: str) -> Path:
    """A folder of the team's; a test that asks for it is skipped where it is absent."""
    path = Path(os.environ.get("CORESIFT_SHARED", ROOT.parent / "shared")) / name
    if not path.is_dir():
        pytest.skip(f"{what} not present at {path}")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The team's real data sets; absent on a user's machine."""
    return shared("data", "real data sets")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Small odd inputs, see their README; absent on a user's machine."""
    return shared("cases", "cases")


@pytest.fixture
def run_rules(root, tmp_path):
    """Run the real Snakefile in `tmp_path`: config, targets and options -> the finished process.

    The config is a mapping or the text of a file.
    """

    def run(config, *arguments):
        path = tmp_path / "config.yaml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        options = ["--cores", "2", "-s", root / "Snakefile", "--directory", tmp_path]
        return snakemake([*options, *arguments, "--configfile", path], root)

    return run
