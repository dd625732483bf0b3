"""The machine that a job runs on."""

from __future__ import annotations

from pathlib import Path


def processor() -> str | None:
    """Name of the processor as Linux gives it; None where it gives none."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None
