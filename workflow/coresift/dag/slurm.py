"""What Snakemake's Slurm executor (2.8.0) leaves undone."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path


def cancel_run(logs: Iterable[str | Path]) -> list[str]:
    """Cancel every Slurm job of the run of Snakemake that wrote these log files.

    On Ctrl-C the executor cancels the jobs it has taken note of, and misses those that it is
    submitting at that moment. All jobs of a run bear the run's id as their name.

    Args:
        logs: Snakemake's own log files; those of a run without Slurm name no id.

    Returns:
        The ids cancelled: one of Slurm, none of a local run.
    """
    text = "".join(Path(log).read_text(encoding="utf-8") for log in logs)
    names = re.findall(r"^SLURM run ID: (\S+)$", text, re.MULTILINE)
    for name in names:
        subprocess.run(["scancel", f"--name={name}"], check=False)
    return names
