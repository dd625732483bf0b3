"""What input files hold, told apart from when they were written."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import xxhash

from coresift.files import write_json
from coresift.hashing import content_hash

#: Coarsest clock of a file system (FAT, NFS: 2 s), and some difference between a server's and ours.
SETTLED_NS = 5_000_000_000


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Files below a folder, those in hidden folders aside."""
    for parent, inner, names in os.walk(folder, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if name.endswith(endings))
        yield from (path for path in paths if path.is_file())


class Fingerprints:
    """Content hashes of input files and folders; a file is read again only where it may differ.

    A touched file keeps its hash, so touching it reruns nothing; a changed one does not. Hashes are
    kept by names, sizes, inodes and times of change (ctime too, which no `cp -p` or `touch -d` can
    set back), and not for what changed in the last `SETTLED_NS`: a second change in one tick of the
    clock would look the same.
    """

    def __init__(self, cache_path: str | Path) -> None:
        self._path = Path(cache_path)
        try:
            kept = json.loads(self._path.read_text())
        except (OSError, ValueError):
            kept = {}
        self._kept: dict[str, list[str]] = kept if isinstance(kept, dict) else {}
        self._known = dict(self._kept)

    def __call__(
        self, path: str | Path, endings: tuple[str, ...] = ("",), algorithm: str = "xxh3_128"
    ) -> str:
        """Hash of a file's bytes, or of a folder's names and bytes, or 'missing'.

        Args:
            endings: of a folder, only files whose names end so count.
            algorithm: xxh3_128, or any name that hashlib knows.
        """
        root = Path(path)
        if not root.exists():
            return "missing"
        files = sorted(_files(root, endings)) if root.is_dir() else [root]
        now = time.time_ns()
        stats = [(file.relative_to(root).as_posix(), file.stat()) for file in files]
        state = content_hash(
            [[name, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats]
        )
        fast = algorithm == "xxh3_128"
        key = "|".join([str(path), *endings, *([] if fast else [algorithm])])
        known = self._known.get(key)
        if known is not None and known[0] == state:
            return known[1]
        digest = xxhash.xxh3_128() if fast else hashlib.new(algorithm)
        for file, (name, stat) in zip(files, stats, strict=True):
            if root.is_dir():
                digest.update(f"{name}\0{stat.st_size}\0".encode())
            with file.open("rb") as handle:
                while chunk := handle.read(1 << 24):
                    digest.update(chunk)
        self._known[key] = [state, digest.hexdigest()]
        if all(stat.st_ctime_ns < now - SETTLED_NS for _, stat in stats):
            self._kept[key] = self._known[key]
            with suppress(OSError):  # a read-only folder: a dry run hashes again
                write_json(self._path, self._kept)
        return digest.hexdigest()
