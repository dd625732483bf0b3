"""FASTA files, plain or compressed: record by record, or a block of records at a time."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dnaio
import numpy as np
from xopen import xopen

#: Bytes parsed at a time: a block and its copies stay in the processor's cache.
BLOCK_BYTES = 1 << 20
_READ_ERRORS = (EOFError, OSError, zlib.error, UnicodeDecodeError, dnaio.FileFormatError)
_NEWLINE, _HEADER = ord("\n"), ord(">")
#: Newlines, blanks and control characters are those up to this one.
_BLANK = ord(" ")


class CorpusError(ValueError):
    """An input file cannot be read; the message names the file, the record and the cause."""


def _unreadable(path: str | Path, number: int, error: Exception) -> CorpusError:
    """The error of a file that could be read up to record `number`."""
    if isinstance(error, FileNotFoundError):
        return CorpusError(f"{path}: no such file")
    if isinstance(error, (EOFError, zlib.error)):
        return CorpusError(
            f"{path}: truncated or corrupt compressed file after record {number} ({error})"
        )
    return CorpusError(f"{path}: not a readable FASTA file, after record {number}: {error}")


def _empty(path: str | Path) -> CorpusError:
    return CorpusError(f"{path}: empty file, no FASTA record")


def read_fasta(path: str | Path) -> Iterator[tuple[int, str, str]]:
    """Stream (record number from 1, header, sequence) of a FASTA file, plain or compressed.

    Raises:
        CorpusError: the file is empty, not FASTA, truncated or cannot be decompressed.
    """
    number = 0
    try:
        with dnaio.open(path, fileformat="fasta", open_threads=0) as reader:
            for number, record in enumerate(reader, start=1):
                yield number, record.name, record.sequence
    except _READ_ERRORS as error:
        raise _unreadable(path, number, error) from error
    if number == 0:
        raise _empty(path)


@dataclass(frozen=True)
class Block:
    """Whole records of a FASTA file, as positions in their text; sequences are wrapped.

    Attributes:
        text: the records, each a header's line and lines of letters.
        starts: (n,) int64 positions of the headers, of their '>'.
        id_ends: (n,) int64 ends of the headers' first words, which begin after the '>'.
        bodies: (n,) int64 positions of the sequences.
        header_lines: (n,) int64 number of the line of each header.
    """

    text: bytearray
    starts: np.ndarray
    id_ends: np.ndarray
    bodies: np.ndarray
    header_lines: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def identifier(self, i: int) -> bytearray:
        """First word of record i's header."""
        return self.text[self.starts[i] + 1 : self.id_ends[i]]

    def sequence(self, i: int) -> bytearray:
        """Sequence of record i, unwrapped."""
        end = self.starts[i + 1] if i + 1 < len(self) else len(self.text)
        return self.text[self.bodies[i] : end].replace(b"\n", b"")


def read_blocks(path: str | Path) -> Iterator[Block]:
    """Stream the records of `read_fasta` in blocks.

    An id ends at the first blank or control character.

    Raises:
        CorpusError: as `read_fasta`.
    """
    number = 0
    try:
        for text in _texts(path):
            block = _parse(text)
            number += len(block)
            if len(block):
                yield block
    except _READ_ERRORS as error:
        raise _unreadable(path, number, error) from error
    if number == 0:
        raise _empty(path)


def _texts(path: str | Path) -> Iterator[bytearray]:
    """A file's bytes, cut before headers."""
    held = bytearray()
    with xopen(path, "rb", threads=0) as handle:
        while block := handle.read(BLOCK_BYTES):
            cut = block.rfind(b"\n>") + 1
            if cut:
                view = memoryview(block)
                held += view[:cut]
                yield held
                held = bytearray(view[cut:])
            else:
                held += block
    if held:
        yield held


def _parse(text: bytearray) -> Block:
    """Positions of the records of a text cut before headers."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    # One byte is searched for far faster than two.
    odd = b"\r" in text or (b"#" in text and b"\n#" in text)
    if text.startswith(b">") and not odd and text.isascii():
        block, plain = _positions(text)
        if plain:
            return block
    return _positions(_rewritten(text))[0]


def _positions(text: bytearray) -> tuple[Block, bool]:
    """Records of a text that starts with a header, and whether it is nothing but plain lines.

    Plain: no blank beside or between letters, none before an id.
    """
    if not text.endswith(b"\n"):
        text += b"\n"
    characters = np.frombuffer(text, np.uint8)
    blanks = np.flatnonzero(characters <= _BLANK)
    breaks = np.flatnonzero(characters[blanks] == _NEWLINE)
    newlines = blanks[breaks]
    line_starts = np.concatenate([[0], newlines + 1])
    header_lines = np.flatnonzero(characters[line_starts[:-1]] == _HEADER)
    first_blanks = np.concatenate([[0], breaks + 1])[header_lines]
    starts, bodies = line_starts[header_lines], line_starts[header_lines + 1]
    id_ends = blanks[first_blanks]
    block = Block(text, starts, id_ends, bodies, header_lines)
    in_headers = int((breaks[header_lines] - first_blanks).sum())
    before_id = (id_ends == starts + 1) & (id_ends != bodies - 1)
    return block, in_headers == len(blanks) - len(newlines) and not before_id.any()


def _rewritten(text: bytearray) -> bytearray:
    """Records as a header's word and one line each; comments, blanks and odd line ends are gone."""
    lines = []
    with dnaio.open(io.BytesIO(text), fileformat="fasta", open_threads=0) as reader:
        for record in reader:
            words = record.name.split(maxsplit=1)
            lines.append(f">{words[0] if words else ''}\n{record.sequence}\n")
    return bytearray("".join(lines), "ascii")
