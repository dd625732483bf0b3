"""FASTA files, plain or compressed: record by record, or a block of records at a time.

The format, in bytes:

- Lines end in LF, CR LF or CR. Blank lines and comments (`#`) are skipped; so are blanks at the
  ends of a line and a byte order mark at its start.
- A header is a line that begins with `>`; nothing stands before the first. Its id is its first
  word, which a blank or control character ends. Headers are UTF-8; bytes that are not are kept as
  `\\xNN`.
- Other lines are sequence. Blanks in them are ignored, and so is a number that stands apart at
  either end: a coordinate, as GenBank, EMBL and Clustal write them. Nothing else is left out; other
  digits are letters that no alphabet has.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from xopen import xopen

logger = logging.getLogger(__name__)

#: Bytes parsed at a time: a block and its copies stay in the processor's cache.
BLOCK_BYTES = 1 << 20
_NEWLINE, _HEADER = ord("\n"), ord(">")
#: Newlines, blanks and control characters are those up to this one.
_BLANK = ord(" ")
_BLANKS = bytes(range(_BLANK + 1))
#: How files of other formats begin.
_OTHER_FORMATS = {
    codecs.BOM_UTF16_LE: "UTF-16 text",
    codecs.BOM_UTF16_BE: "UTF-16 text",
    b"@": "FASTQ",
    b"# STOCKHOLM": "an alignment in Stockholm format",
    b"CLUSTAL": "an alignment in Clustal format",
    b"LOCUS ": "GenBank",
    b"ID ": "EMBL",
}
#: Start of a gzip file with extra fields, the field that makes it bgzip, and bgzip's last block.
_GZIP_EXTRA, _BGZIP_FIELD = b"\x1f\x8b\x08\x04", b"BC\x02\x00"
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class CorpusError(ValueError):
    """An input file cannot be read; the message names the file, the record and the cause."""


class _FormatError(ValueError):
    """A line is not FASTA."""


class _ReadError(Exception):
    """The cause why a file's bytes cannot be had: decompressors have no error in common."""


def _unreadable(path: str | Path, number: int, error: BaseException) -> CorpusError:
    """The error of a file of which `number` records were read whole."""
    if isinstance(error, FileNotFoundError):
        return CorpusError(f"{path}: no such file")
    if isinstance(error, OSError) and error.errno is not None:
        return CorpusError(f"{path}: cannot be read ({error.strerror})")
    return CorpusError(
        f"{path}: truncated or corrupt compressed file, somewhere after record {number} ({error})"
    )


def read_fasta(path: str | Path) -> Iterator[tuple[int, str, str]]:
    """Stream (record number from 1, header, sequence) of a FASTA file, plain or compressed.

    A byte of the sequence outside ASCII becomes U+FFFD, which no alphabet has.

    Raises:
        CorpusError: the file is empty, not FASTA, truncated or cannot be decompressed.
    """
    number = 0
    for block in read_blocks(path):
        for i in range(len(block)):
            number += 1
            yield number, block.header(i), block.sequence(i)


@dataclass(frozen=True)
class Block:
    """Whole records of a FASTA file, as positions in their text; sequences are wrapped.

    Attributes:
        text: the records, each a header's line and lines of letters.
        starts: (n,) int64 positions of the headers, of their '>'.
        id_ends: (n,) int64 ends of the ids, which begin after the '>' and are UTF-8.
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

    def identifier(self, i: int) -> str:
        """Id of record i."""
        return self.text[self.starts[i] + 1 : self.id_ends[i]].decode("utf-8")

    def header(self, i: int) -> str:
        """Header of record i, without its '>' and the blanks around it."""
        line = self.text[self.starts[i] + 1 : self.bodies[i]]
        return line.strip(_BLANKS).decode("utf-8", "backslashreplace")

    def sequence(self, i: int) -> str:
        """Sequence of record i, unwrapped."""
        end = self.starts[i + 1] if i + 1 < len(self) else len(self.text)
        lines = self.text[self.bodies[i] : end].replace(b"\n", b"")
        return lines.decode("ascii", "replace")


def read_blocks(path: str | Path) -> Iterator[Block]:
    """Stream the records of `read_fasta` in blocks.

    A bgzip file without the block that ends it is probably cut: that is logged as a warning.

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
        cut = _lacks_bgzip_end(path)
    except _ReadError as error:
        raise _unreadable(path, number, error.args[0]) from error
    except _FormatError as error:
        raise CorpusError(f"{path}: not a readable FASTA file: {error}") from error
    if number == 0:
        raise CorpusError(f"{path}: empty file, no FASTA record")
    if cut:
        logger.warning(
            "%s: the block that ends a bgzip file is missing after record %d; "
            "the file is probably cut short",
            path, number,
        )  # fmt: skip


def _chunks(path: str | Path) -> Iterator[bytes]:
    """A file's bytes, decompressed."""
    try:
        with xopen(Path(path), "rb", threads=0) as handle:
            while chunk := handle.read(BLOCK_BYTES):
                yield chunk
    except Exception as error:
        raise _ReadError(error) from error


def _lacks_bgzip_end(path: str | Path) -> bool:
    """Whether a file is bgzip and does not end in bgzip's empty block."""
    with open(path, "rb") as handle:
        head = handle.read(12)
        if not head.startswith(_GZIP_EXTRA):
            return False
        if _BGZIP_FIELD not in handle.read(int.from_bytes(head[10:], "little")):
            return False
        handle.seek(-len(_BGZIP_END), 2)
        return handle.read() != _BGZIP_END


def _texts(path: str | Path) -> Iterator[bytearray]:
    """A file's bytes, cut before headers."""
    held = bytearray()
    for chunk in _chunks(path):
        cut = chunk.rfind(b"\n>") + 1 or chunk.rfind(b"\r>") + 1
        if cut:
            view = memoryview(chunk)
            held += view[:cut]
            yield held
            held = bytearray(view[cut:])
        else:
            held += chunk
    if held:
        yield held


def _parse(text: bytearray) -> Block:
    """Positions of the records of a text cut before headers."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    # One byte is searched for far faster than two.
    odd = b"\r" in text or (b"#" in text and b"\n#" in text)
    if text.startswith(b">") and not odd:
        block, plain = _positions(text)
        if plain:
            return block
    return _positions(_rewritten(text))[0]


def _positions(text: bytearray) -> tuple[Block, bool]:
    """Records of a text that starts with a header, and whether it is nothing but plain lines.

    Plain: no blank beside or between letters, none before an id, ASCII but for descriptions.
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
    plain = in_headers == len(blanks) - len(newlines) and not before_id.any()
    if plain and not text.isascii():
        others = np.flatnonzero(characters > 0x7F)
        records = np.searchsorted(starts, others, "right") - 1
        plain = bool(((others >= id_ends[records]) & (others < bodies[records])).all())
    return block, plain


def _rewritten(text: bytearray) -> bytearray:
    """The plain lines that the lines of a text stand for; line by line, and so slowly."""
    lines: list[bytes] = []
    for number, raw in enumerate(text.replace(b"\r", b"\n").split(b"\n"), start=1):
        line = bytes(raw.removeprefix(codecs.BOM_UTF8).strip())
        if line.startswith(b">"):
            lines.append(_plain_header(line))
        elif line and not lines:
            _check_first(number, line)
        elif line and not line.startswith(b"#"):
            lines.append(_letters(line))
    return bytearray(b"".join(line + b"\n" for line in lines))


def _check_first(number: int, line: bytes) -> None:
    """Raise if a line before the first header is more than a comment."""
    for start, name in _OTHER_FORMATS.items():
        if line.startswith(start):
            raise _FormatError(f"line {number} begins as {name} does: {line[:30]!r}")
    if not line.startswith(b"#"):
        raise _FormatError(f"line {number}: a record begins with '>', not {line[:30]!r}")


def _plain_header(line: bytes) -> bytes:
    """A header without blanks before its id, and the id in UTF-8."""
    words = line[1:].strip(_BLANKS)
    end = next((i for i, c in enumerate(words) if c <= _BLANK), len(words))
    name = words[:end].decode("utf-8", "backslashreplace").encode()
    return b">" + name + words[end:]


def _letters(line: bytes) -> bytes:
    """A line of sequence without blanks and without the coordinates at its ends."""
    words = line.split()
    if len(words) > 1 and words[0].isdigit() and not words[1].startswith(b">"):
        del words[0]
    if len(words) > 1 and words[-1].isdigit():
        del words[-1]
    return b"".join(words)
