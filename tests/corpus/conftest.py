import subprocess
import sys

import pytest
import yaml


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
