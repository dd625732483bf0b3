"""FASTA -> normalised records in hash buckets, and a table of rejects, in one stream."""

from __future__ import annotations

import io
import logging
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dnaio
import numpy as np
import polars as pl
from xopen import xopen

from coresift.config import source_name
from coresift.corpus.blocks import block_expression, sequence_ids
from coresift.corpus.normalise import (
    Limits,
    normalise,
    normalise_joined,
    reject_reason,
    strip_trailing,
    suspects,
)
from coresift.io import PART, REJECT, TableWriter, string_series

logger = logging.getLogger(__name__)

#: Rows held back a bucket: small, since a job has one writer a bucket.
ROW_GROUP = 2048
#: Bytes parsed at a time: a block and its copies stay in the processor's cache.
BLOCK_BYTES = 4 << 20
_HEADER = re.compile(rb">[^\S\n]*(\S*)[^\n]*")
_READ_ERRORS = (EOFError, OSError, zlib.error, UnicodeDecodeError, dnaio.FileFormatError)


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


def read_normalised(path: str | Path, modality: str) -> Iterator[tuple[list[bytes], bytes]]:
    """Stream a FASTA file in blocks of records: ids, and normalised sequences as lines.

    The records are those of `read_fasta`; an id is the first word of the header, which may be
    empty. The sequences are normalised but for trailing stops.

    Raises:
        CorpusError: as `read_fasta`.
    """
    number = 0
    try:
        for block in _record_blocks(path):
            ids, lines = _parse_block(block, modality)
            number += len(ids)
            if ids:
                yield ids, lines
    except _READ_ERRORS as error:
        raise _unreadable(path, number, error) from error
    if number == 0:
        raise _empty(path)


def _record_blocks(path: str | Path) -> Iterator[bytes]:
    """A file's bytes, cut before headers."""
    held = b""
    with xopen(path, "rb", threads=0) as handle:
        while block := handle.read(BLOCK_BYTES):
            held += block
            cut = held.rfind(b"\n>") + 1
            if cut:
                yield held[:cut]
                held = held[cut:]
    if held:
        yield held


def _parse_block(block: bytes, modality: str) -> tuple[list[bytes], bytes]:
    """Ids and normalised sequences of a block of whole records."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    if block.startswith(b">") and block.isascii():
        pieces = _HEADER.split(block)
        bodies = b">".join(pieces[2::2])
        if _plain(bodies):
            return pieces[1::2], normalise_joined(bodies, modality)
    # Comments, blanks, odd line ends or not FASTA at all: the parser that knows them.
    with dnaio.open(io.BytesIO(block), fileformat="fasta", open_threads=0) as reader:
        records = [(record.name, record.sequence) for record in reader]
    ids = [name.split(maxsplit=1)[0].encode() if name.strip() else b"" for name, _ in records]
    return ids, "\n".join(normalise(sequence, modality) for _, sequence in records).encode()


def _plain(bodies: bytes) -> bool:
    """Whether bodies joined by '>' are nothing but lines of letters, each '>' at a line's start."""
    if any(mark in bodies for mark in (b" ", b"\t", b"\r", b"#")):
        return False
    letters = np.frombuffer(bodies, np.uint8)
    return bool((letters[np.flatnonzero(letters == ord(">")) - 1] == ord("\n")).all())


@dataclass
class _Chunk:
    """Records held between two flushes."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    rejects: list[tuple[str, int, str, str, str]] = field(default_factory=list)
    characters: int = 0


class _Judge:
    """Turns blocks of normalised records into accepted and rejected ones, and counts them."""

    def __init__(self, source: str, modality: str, limits: Limits) -> None:
        self.source, self.modality, self.limits = source, modality, limits
        self.number = 0
        self.counts: Counter[str] = Counter()

    def add(self, ids: list[bytes], lines: bytes, chunk: _Chunk) -> None:
        """Judge the records of one block and add them to `chunk`."""
        sequences = lines.split(b"\n")
        ids = [name or b"record_%d" % (self.number + i) for i, name in enumerate(ids, start=1)]
        rejected = []
        for i in suspects(lines, self.modality, self.limits).tolist():
            sequences[i] = strip_trailing(sequences[i], self.modality)
            reason = reject_reason(sequences[i].decode(), self.modality, self.limits)
            if reason is not None:
                self.counts[reason[0]] += 1
                chunk.rejects.append((self.source, self.number + i + 1, ids[i].decode(), *reason))
                rejected.append(i)
        self.number += len(ids)
        for i in reversed(rejected):
            del sequences[i], ids[i]
        hashes = pl.Series("seq_id", sequence_ids(sequences), dtype=pl.String)
        columns = [hashes, string_series("sequence", sequences), string_series("source_id", ids)]
        chunk.frames.append(pl.DataFrame(columns))
        chunk.characters += len(lines) + 64 * len(ids) + 256 * len(rejected)


def ingest(
    path: str | Path,
    part_paths: Sequence[str | Path],
    rejects_path: str | Path,
    modality: str,
    limits: Limits,
    n_blocks: int,
    chunk_bytes: int,
) -> dict[str, Any]:
    """Stream one FASTA file into one part a bucket and a table of rejects.

    Memory is bounded by `chunk_bytes` (characters held) whatever the file's size: while one chunk
    is parsed, a second thread writes the one before it.

    Returns:
        Counts: source, records, accepted, and rejected by reason.

    Raises:
        CorpusError: see `read_fasta`; no output is left then.
    """
    source = source_name(str(path))
    judge = _Judge(source, modality, limits)
    start = shown = time.monotonic()
    with ExitStack() as stack:
        writers = [
            stack.enter_context(TableWriter(p, PART, ROW_GROUP, intermediate=True))
            for p in part_paths
        ]
        rejects = stack.enter_context(TableWriter(rejects_path, REJECT))
        background = stack.enter_context(ThreadPoolExecutor(1))
        pending: Future[None] | None = None
        chunk = _Chunk()
        for ids, lines in read_normalised(path, modality):
            judge.add(ids, lines, chunk)
            if chunk.characters >= chunk_bytes:
                if pending is not None:
                    pending.result()
                pending = background.submit(_flush, chunk, writers, rejects, n_blocks)
                chunk = _Chunk()
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                rate = judge.number / (shown - start)
                logger.info("%s: %d records, %.0f/s", source, judge.number, rate)
        if pending is not None:
            pending.result()
        _flush(chunk, writers, rejects, n_blocks)
    rejected = dict(sorted(judge.counts.items()))
    accepted = judge.number - sum(rejected.values())
    logger.info(
        "%s: %d records, %d accepted, rejected %s", source, judge.number, accepted, rejected
    )
    return {
        "source": source,
        "records": judge.number,
        "accepted": accepted,
        "rejected": rejected,
    }


def _flush(
    chunk: _Chunk, writers: Sequence[TableWriter], rejects: TableWriter, n_blocks: int
) -> None:
    frame = pl.concat([pl.DataFrame(schema=dict(PART)), *chunk.frames])
    buckets = (block_expression(n_blocks) * len(writers) // n_blocks).alias("bucket")
    groups = frame.with_columns(buckets).partition_by("bucket", as_dict=True, include_key=False)
    for (bucket,), part in groups.items():
        writers[bucket].append(part)
    if chunk.rejects:
        rejects.append(pl.DataFrame(chunk.rejects, schema=dict(REJECT), orient="row"))
