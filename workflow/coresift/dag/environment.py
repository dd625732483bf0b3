"""The environment of a job's processes."""

from __future__ import annotations

import os
from pathlib import Path


def export_library() -> None:
    """Put this library on PYTHONPATH: jobs, on this machine or another, need no installation."""
    library = str(Path(__file__).resolve().parents[2])
    given = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    if library not in given:
        os.environ["PYTHONPATH"] = os.pathsep.join([library, *given])
