"""FASTA -> normalised records in hash buckets, and a table of rejects, in one stream."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from coresift.corpus.blocks import blocks_of, digests
from coresift.corpus.fasta import Block, read_blocks
from coresift.corpus.normalise import ODD, Limits, normalise, normalise_lines, reject_reason
from coresift.io import (
    PART,
    REJECT,
    TableWriter,
    arrow_schema,
    arrow_writer,
    binary_array,
    integer_array,
    text_array,
)

logger = logging.getLogger(__name__)

#: Rejected records held before they are written.
REJECTS_HELD = 8192


def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of a block for the next one.

    It gives freed memory back to the system, to be mapped and zeroed again, unless a piece as large
    as this was once freed (mallopt(3), M_MMAP_THRESHOLD): 93 % of the page faults of this module.
    """
    bytearray(31 << 20)


class _Judge:
    """Turns blocks of records into accepted and rejected ones, and counts them."""

    def __init__(self, source: str, modality: str, limits: Limits) -> None:
        self.source, self.modality, self.limits = source, modality, limits
        self.number = 0
        self.rejects: list[tuple[str, int, str, str, str]] = []
        self.counts: Counter[str] = Counter()

    def accept(self, block: Block) -> tuple[pa.RecordBatch, np.ndarray]:
        """The good records of a block, in order (columns of `PART`), and their hashes.

        The others go to `rejects`.
        """
        letters = normalise_lines(block.text, self.modality)
        # Positions in the text less the newlines before them.
        headers = block.starts - block.header_lines
        starts = block.bodies - block.header_lines - 1
        ends = np.append(headers[1:], len(letters))
        good = np.ones(len(block), bool)
        for i in self._suspects(letters, headers, starts, ends).tolist():
            sequence = normalise(block.sequence(i).decode("ascii"), self.modality)
            reason = reject_reason(sequence, self.modality, self.limits)
            if reason is None:
                ends[i] = starts[i] + len(sequence)
                letters[starts[i] : ends[i]] = sequence.encode("ascii")
            else:
                good[i] = False
                name = self._name(i, block.identifier(i).decode())
                self.rejects.append((self.source, self.number + i + 1, name, *reason))
                self.counts[reason[0]] += 1
        rows = np.flatnonzero(good)
        ids = text_array(block.text, block.starts + 1, block.id_ends, rows)
        if (block.id_ends == block.starts + 1).any():
            named = zip(rows.tolist(), ids.to_pylist(), strict=True)
            ids = pa.array([self._name(i, name) for i, name in named], pa.large_string())
        hashes = digests(letters, starts[rows], ends[rows])
        sequences = text_array(letters, starts, ends, rows)
        self.number += len(block)
        columns = [binary_array(hashes), sequences, ids]
        return pa.record_batch(columns, names=list(PART)), hashes

    def take_rejects(self) -> pl.DataFrame:
        """The records rejected since the last call (columns of `REJECT`)."""
        frame = pl.DataFrame(self.rejects, schema=dict(REJECT), orient="row")
        self.rejects.clear()
        return frame

    def _suspects(
        self, letters: bytearray, headers: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> np.ndarray:
        """Numbers of the records that have odd letters or the wrong length."""
        spans = np.stack([headers, starts], axis=1).ravel()
        # An empty record at the end has no position of its own; it is too short anyway.
        spans = np.minimum(spans, len(letters) - 1)
        highest = np.maximum.reduceat(np.frombuffer(letters, np.uint8), spans)[1::2]
        lengths = ends - starts
        shortest = max(1, self.limits.min_length)
        wrong = (lengths < shortest) | (lengths > self.limits.max_length)
        return np.flatnonzero(wrong | (highest == ODD))

    def _name(self, i: int, identifier: str) -> str:
        """A record's id, or its number in the file where the header has none."""
        return identifier or f"record_{self.number + i + 1}"


class _Buckets:
    """Records held until a chunk is full, then written in runs of one bucket each."""

    def __init__(self, writers: Sequence[pa.ipc.RecordBatchFileWriter], n_blocks: int) -> None:
        self.writers, self.n_blocks, self.schema = writers, n_blocks, arrow_schema(PART)
        self.held: list[tuple[pa.RecordBatch, np.ndarray]] = []
        self.size = 0

    def add(self, records: pa.RecordBatch, hashes: np.ndarray) -> None:
        """Sort a block's records by bucket and hold them."""
        blocks = blocks_of(hashes, self.n_blocks)
        buckets = blocks * len(self.writers) // self.n_blocks
        order = np.argsort(buckets, kind="stable")
        edges = np.searchsorted(buckets[order], np.arange(len(self.writers) + 1))
        self.held.append((records.take(integer_array(order)), edges))
        self.size += records.nbytes

    def flush(self) -> None:
        """Write what is held."""
        for b, writer in enumerate(self.writers):
            runs = [
                records.slice(edges[b], edges[b + 1] - edges[b]) for records, edges in self.held
            ]
            writer.write_table(pa.Table.from_batches(runs, self.schema).combine_chunks())
        self.held, self.size = [], 0


def ingest(
    path: str | Path,
    source: str,
    part_paths: Sequence[str | Path],
    rejects_path: str | Path,
    modality: str,
    limits: Limits,
    n_blocks: int,
    chunk_bytes: int,
) -> dict[str, Any]:
    """Stream one FASTA file into one part a bucket and a table of rejects.

    Memory is bounded by `chunk_bytes` (of records held) whatever the file's size. `source` is the
    file's name in reports.

    Returns:
        Counts: source, records, accepted, and rejected by reason.

    Raises:
        CorpusError: see `read_fasta`; no output is left then.
    """
    _keep_freed_memory()
    judge = _Judge(source, modality, limits)
    start = shown = time.monotonic()
    with ExitStack() as stack:
        writers = [stack.enter_context(arrow_writer(p, PART)) for p in part_paths]
        rejects = stack.enter_context(TableWriter(rejects_path, REJECT))
        buckets = _Buckets(writers, n_blocks)
        for block in read_blocks(path):
            buckets.add(*judge.accept(block))
            if buckets.size >= chunk_bytes:
                buckets.flush()
            if len(judge.rejects) >= REJECTS_HELD:
                rejects.append(judge.take_rejects())
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                rate = judge.number / (shown - start)
                logger.info("%s: %d records, %.0f/s", source, judge.number, rate)
        buckets.flush()
        rejects.append(judge.take_rejects())
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
