import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The team's real data sets; absent on a user's machine."""
    path = Path(os.environ.get("CORESIFT_SHARED", ROOT.parent / "shared")) / "data"
    if not path.is_dir():
        pytest.skip(f"real data sets not present at {path}")
    return path


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Small odd inputs from users (README.md there); absent on a user's machine."""
    path = Path(os.environ.get("CORESIFT_SHARED", ROOT.parent / "shared")) / "cases"
    if not path.is_dir():
        pytest.skip(f"cases not present at {path}")
    return path


@pytest.fixture
def run_rules(root, tmp_path):
    """Run the real Snakefile in `tmp_path`: config, targets and options -> the finished process."""

    def run(config, *arguments):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "-s", str(root / "Snakefile")]
        command += ["--directory", str(tmp_path), *arguments, "--configfile", str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run
