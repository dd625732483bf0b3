"""The commit of the code that is running."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_commit(root: str | Path) -> str | None:
    """The commit that a working tree is at, and whether it has changes; None where there is none.

    A folder inside another project's repository has none.
    """

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if git("rev-parse", "--show-prefix"):
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" with uncommitted changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
