"""The code that a rule runs: a script and what it imports."""

from __future__ import annotations

import ast
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import xxhash

from coresift.files import write_json

PACKAGE = Path(__file__).resolve().parents[1]


def _module_path(name: str) -> Path | None:
    """File of a coresift module, or None if it is not one."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Undocumented(ast.NodeTransformer):
    """Drops what is written for people: docstrings and the descriptions of settings."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        self.generic_visit(node)
        return node


@dataclass(frozen=True)
class Source:
    """What counts of a source file.

    Attributes:
        digest: 32 hex digits of its code without comments, documentation and layout.
        names: of this package, what it may import: modules, and names that may be modules.
    """

    digest: str
    names: tuple[str, ...]


def parse(text: bytes) -> Source:
    """Parse a source file."""
    tree = _Undocumented().visit(ast.parse(text))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    own = sorted(name for name in names if name.split(".")[0] == PACKAGE.name)
    return Source(xxhash.xxh3_128_hexdigest(ast.dump(tree).encode()), tuple(own))


@cache
def _parser() -> bytes:
    """What a parsed source depends on beyond its bytes: Python's syntax trees and this file."""
    return sys.version.encode() + Path(__file__).read_bytes()


class Sources:
    """Source files, parsed once a content.

    Args:
        kept: file of what an earlier process parsed, see `keep`; what cannot be read is parsed.
    """

    def __init__(self, kept: str | Path | None = None) -> None:
        self._path = kept
        self._kept = {} if kept is None else _read(Path(kept))
        self._used: dict[str, Source] = {}
        self._of_path: dict[Path, tuple[str, tuple[Path, ...]]] = {}

    def _file(self, path: Path) -> tuple[str, tuple[Path, ...]]:
        """Digest of a resolved file, and the coresift files that it imports itself."""
        if path not in self._of_path:
            text = path.read_bytes()
            key = xxhash.xxh3_128_hexdigest(_parser() + text)
            source = self._used[key] = self._kept.get(key) or parse(text)
            found = {p for p in map(_module_path, source.names) if p is not None}
            self._of_path[path] = source.digest, tuple(sorted(found))
        return self._of_path[path]

    def direct_imports(self, path: str | Path) -> tuple[Path, ...]:
        """The coresift files that a file imports itself, wherever in it."""
        return self._file(Path(path).resolve())[1]

    def imported_files(self, script: str | Path) -> list[Path]:
        """The script and every coresift file it imports, transitively."""
        seen: set[Path] = set()
        queue = [Path(script).resolve()]
        while queue:
            path = queue.pop()
            if path not in seen:
                seen.add(path)
                queue.extend(self._file(path)[1])
        return sorted(seen)

    def digest(self, script: str | Path) -> str:
        """16 hex digits of the code a script runs: it and its coresift imports.

        Snakemake watches a rule's script but not what the script imports; as a `params` value this
        makes an edited module rerun the rules that use it, and no others.
        """
        root = PACKAGE.parent
        digest = xxhash.xxh3_64()
        for path in self.imported_files(script):
            name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
            digest.update(f"{name}\0{self._file(path)[0]}\0".encode())
        return digest.hexdigest()

    def keep(self) -> None:
        """Write what was asked for, for later processes, if it is more or less than they have."""
        if self._path is not None and self._used != self._kept:
            values = {key: [source.digest, *source.names] for key, source in self._used.items()}
            with suppress(OSError):  # a read-only folder: a dry run parses again
                write_json(self._path, values)


def _read(path: Path) -> dict[str, Source]:
    """What `Sources.keep` wrote; nothing if it cannot be read."""
    try:
        kept = json.loads(path.read_text()).items()
        return {key: Source(str(digest), tuple(names)) for key, (digest, *names) in kept}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


#: Of this process.
_SOURCES = Sources()


def code_digest(script: str | Path) -> str:
    """The same as `Sources.digest`, of files that this process has not to parse often."""
    return _SOURCES.digest(script)
