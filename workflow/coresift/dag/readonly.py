"""Planning in a folder that cannot be written to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def read_only_records(folder: str | Path) -> None:
    """Let Snakemake (9.27.1) plan where it cannot make its folder `.snakemake`.

    It makes the folder for a dry run too, and fails on a read-only checkout. Its records of earlier
    runs are read where they are; what it makes goes to `folder`. No effect where it can write.
    """
    records = Path(".snakemake").absolute()
    if os.access(records if records.exists() else records.parent, os.W_OK):
        return
    from snakemake import workflow

    folder = Path(folder)
    folder.mkdir(parents=True)
    for name in ("metadata", "incomplete"):
        if (records / name).is_dir():
            (folder / name).symlink_to(records / name)

    class Elsewhere(workflow.FilePersistence):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "path": folder})

    workflow.FilePersistence = Elsewhere
