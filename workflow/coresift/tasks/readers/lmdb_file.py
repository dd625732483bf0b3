"""LMDB databases read page by page, so that a damaged one is an error.

The lmdb library maps a file into memory and follows the page numbers in it without a check: a
file that is cut short, or a flipped bit, ends the process (SIGBUS, SIGSEGV) or gives fewer keys.
Format: data version 1 on 64-bit little-endian machines (mdb.c of LMDB 0.9).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC, DATA_VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
#: A leaf's value that stands on pages of its own; other flags mark databases within the database.
BIG_DATA = 1
#: Page number, flags, then where the list of nodes ends and the nodes begin, or a page count.
_HEADER = struct.Struct("<QHHHH")
_PAGES = struct.Struct("<12xI")
_NODE = struct.Struct("<HHHH")
_NUMBER = struct.Struct("<Q")
#: Magic, version, address, map size; free list and main database; last page, transaction.
_META = struct.Struct("<IIQQ 48s48s QQ")
#: Page size (of the free list's), flags, depth; branch, leaf and overflow pages; entries, root.
_DATABASE = struct.Struct("<IHHQQQQQ")
_EMPTY = 2**64 - 1


class DatabaseError(ValueError):
    """The file is not a whole LMDB database."""


class Database:
    """Keys and values of a database's main table.

    Raises:
        DatabaseError, OSError: it is not a whole database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / "data.mdb" if path.is_dir() else path
        self._handle: BinaryIO
        with self._path.open("rb") as self._handle:
            size, root, entries = self._meta()
            self._size = size
            self._seen: set[int] = set()
            self._places = {} if root == _EMPTY else dict(self._walk(root, 64))
        if len(self._places) != entries or sorted(self._places) != list(self._places):
            raise DatabaseError(f"{len(self._places)} keys in order, it says {entries}")

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __getitem__(self, key: bytes) -> bytes:
        """The value of a key.

        Raises:
            KeyError: there is none.
        """
        start, size = self._places[key]
        with self._path.open("rb") as self._handle:
            return self._read(start, size)

    def _read(self, start: int, size: int) -> bytes:
        self._handle.seek(start)
        data = self._handle.read(size)
        if len(data) != size:
            raise DatabaseError(f"cut short: {size} bytes wanted at byte {start}")
        return data

    def _meta(self) -> tuple[int, int, int]:
        """Page size; root page and number of entries of the newer of two states."""
        states, size = [], 0
        for number in (0, 1):
            page = self._read(number * size, _HEADER.size + _META.size)
            magic, version, _, _, free, main, _, transaction = _META.unpack_from(page, _HEADER.size)
            if magic != MAGIC or version != DATA_VERSION or _HEADER.unpack_from(page)[2] != META:
                raise DatabaseError(f"page {number} is not that of an LMDB database of version 1")
            found = _DATABASE.unpack(free)[0]
            if found not in (size or found, 0) or found.bit_count() != 1 or found < 512:
                raise DatabaseError(f"pages of {found} bytes")
            size = found
            _, _, _, _, _, _, entries, root = _DATABASE.unpack(main)
            states.append((transaction, root, entries))
        _, root, entries = max(states, key=lambda state: state[0])
        return size, root, entries

    def _page(self, number: int, pages: int = 1) -> bytes:
        """A page, each read once."""
        if number in self._seen:
            raise DatabaseError(f"page {number} is in two places")
        self._seen.add(number)
        data = self._read(number * self._size, pages * self._size)
        if _HEADER.unpack_from(data)[0] != number:
            raise DatabaseError(f"page {number} is not at its place")
        return data

    def _walk(self, number: int, depth: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Keys of a page and of those below it, with the start and size of their values."""
        page = self._page(number)
        _, _, flags, lower, upper = _HEADER.unpack_from(page)
        if flags not in (BRANCH, LEAF) or not _HEADER.size <= lower <= upper <= self._size:
            raise DatabaseError(f"page {number} is damaged")
        if depth == 0:
            raise DatabaseError("the pages are nested too deep")
        for (start,) in struct.iter_unpack("<H", page[_HEADER.size : lower]):
            if start < upper or start + _NODE.size > self._size:
                raise DatabaseError(f"page {number} is damaged")
            low, high, marks, length = _NODE.unpack_from(page, start)
            value = start + _NODE.size + length
            if flags == BRANCH:
                yield from self._walk(low | high << 16 | marks << 32, depth - 1)
                continue
            key, size = page[start + _NODE.size : value], low | high << 16
            if marks not in (0, BIG_DATA) or value + (8 if marks else size) > self._size:
                raise DatabaseError(f"page {number} is damaged")
            if marks == BIG_DATA:
                yield key, (self._big(_NUMBER.unpack_from(page, value)[0], size), size)
            else:
                yield key, (number * self._size + value, size)

    def _big(self, number: int, size: int) -> int:
        """Start of a value on pages of its own."""
        page = self._page(number)
        held = _PAGES.unpack_from(page)[0] * self._size - _HEADER.size
        if _HEADER.unpack_from(page)[2] != OVERFLOW or size > held:
            raise DatabaseError(f"page {number} is damaged")
        return number * self._size + _HEADER.size
