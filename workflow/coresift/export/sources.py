"""Size and SHA-256 of the files that a corpus is made of."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def describe_sources(paths: Mapping[str, str | Path]) -> dict[str, dict[str, Any]]:
    """Of each source: file (its name without the folder), bytes, sha256 (hex digits)."""
    found = {}
    for number, (name, path) in enumerate(paths.items(), start=1):
        start = time.monotonic()
        with Path(path).open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        size = Path(path).stat().st_size
        found[name] = {"file": Path(path).name, "bytes": size, "sha256": digest}
        rate = size / 1e6 / max(time.monotonic() - start, 1e-9)
        logger.info("file %d of %d: %s, %.0f MB/s", number, len(paths), path, rate)
    return found
