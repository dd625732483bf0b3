"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

#: Open files of the locks of this process; Python closes them in its children.
_HELD: list[int] = []


class Held(RuntimeError):
    """Another process has the lock; the message says which."""


def hold_run(run: str, path: str | Path, downloads: Iterable[str]) -> None:
    """Keep other runs of this name, and of the same absent downloads, out until this process ends.

    Raises:
        Held: there is one.
    """
    hold(path, f"run {run}")
    for file in map(Path, downloads):
        if not file.exists():
            hold(file.with_name(f".{file.name}.lock"), f"the download of {file}")


def hold(path: str | Path, what: str) -> None:
    """Take the lock file `path` until this process ends; the file itself stays.

    The kernel gives the lock back when the process dies, so a kill leaves nothing to clean up. On
    a file system without locks there is a warning and no lock.

    Args:
        what: what is locked, for the message.

    Raises:
        Held: another process has it; its host and process id.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 1000).decode(errors="replace") or "another process"
        os.close(handle)
        raise Held(f"{what} is held by {owner} ({path}); wait for its end, or end it") from None
    except OSError as error:
        logger.warning("%s: no locks on this file system (%s); start %s once", path, error, what)
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
    _HELD.append(handle)
