"""FASTA -> normalised records in hash buckets, and a table of rejects, in one stream."""

from __future__ import annotations

import logging
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dnaio
import polars as pl

from coresift.config import source_name
from coresift.corpus.blocks import block_expression, sequence_id
from coresift.corpus.normalise import Limits, normalise, reject_reason
from coresift.io import PART, REJECT, TableWriter

logger = logging.getLogger(__name__)

#: Rows held back a bucket: small, since a job has one writer a bucket.
ROW_GROUP = 8192


class CorpusError(ValueError):
    """An input file cannot be read; the message names the file, the record and the cause."""


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
    except FileNotFoundError as error:
        raise CorpusError(f"{path}: no such file") from error
    except (EOFError, zlib.error) as error:
        raise CorpusError(
            f"{path}: truncated or corrupt compressed file after record {number} ({error})"
        ) from error
    except (dnaio.FileFormatError, dnaio.UnknownFileFormat, UnicodeDecodeError, OSError) as error:
        raise CorpusError(
            f"{path}: not a readable FASTA file, after record {number}: {error}"
        ) from error
    if number == 0:
        raise CorpusError(f"{path}: empty file, no FASTA record")


@dataclass
class _Chunk:
    """Records held between two flushes."""

    ids: list[str] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    source_ids: list[str] = field(default_factory=list)
    rejects: list[tuple[str, int, str, str, str]] = field(default_factory=list)
    characters: int = 0


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

    Memory is bounded by `chunk_bytes` (characters held) whatever the file's size.

    Returns:
        Counts: source, records, accepted, and rejected by reason.

    Raises:
        CorpusError: see `read_fasta`; no output is left then.
    """
    source = source_name(str(path))
    counts: Counter[str] = Counter()
    start = shown = time.monotonic()
    with ExitStack() as stack:
        writers = [stack.enter_context(TableWriter(p, PART, ROW_GROUP)) for p in part_paths]
        rejects = stack.enter_context(TableWriter(rejects_path, REJECT))
        chunk = _Chunk()
        number = 0
        for number, header, raw in read_fasta(path):
            sequence = normalise(raw, modality)
            source_id = header.split(maxsplit=1)[0] if header.strip() else f"record_{number}"
            reason = reject_reason(sequence, modality, limits)
            if reason is None:
                chunk.ids.append(sequence_id(sequence))
                chunk.sequences.append(sequence)
                chunk.source_ids.append(source_id)
                chunk.characters += len(sequence) + 64
            else:
                counts[reason[0]] += 1
                chunk.rejects.append((source, number, source_id, *reason))
                chunk.characters += 256
            if chunk.characters >= chunk_bytes:
                _flush(chunk, writers, rejects, n_blocks)
                chunk = _Chunk()
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                logger.info("%s: %d records, %.0f/s", source, number, number / (shown - start))
        _flush(chunk, writers, rejects, n_blocks)
    accepted = number - sum(counts.values())
    logger.info("%s: %d records, %d accepted, rejected %s", source, number, accepted, dict(counts))
    return {
        "source": source,
        "records": number,
        "accepted": accepted,
        "rejected": dict(sorted(counts.items())),
    }


def _flush(
    chunk: _Chunk, writers: Sequence[TableWriter], rejects: TableWriter, n_blocks: int
) -> None:
    frame = pl.DataFrame(
        {"seq_id": chunk.ids, "sequence": chunk.sequences, "source_id": chunk.source_ids},
        schema=dict(PART),
    )
    buckets = (block_expression(n_blocks) * len(writers) // n_blocks).alias("bucket")
    groups = frame.with_columns(buckets).partition_by("bucket", as_dict=True, include_key=False)
    for (bucket,), part in groups.items():
        writers[bucket].append(part)
    if chunk.rejects:
        rejects.append(pl.DataFrame(chunk.rejects, schema=dict(REJECT), orient="row"))
