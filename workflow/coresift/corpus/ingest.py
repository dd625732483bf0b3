"""FASTA -> normalised records in hash buckets, and a table of rejects, in one stream."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from coresift.corpus import modality as kinds
from coresift.corpus.blocks import blocks_of, hash_words, hexadecimal, runs_of
from coresift.corpus.complexity import hard_masked, n_masked, soft_masked
from coresift.corpus.fasta import Block, CorpusError, read_blocks
from coresift.corpus.normalise import (
    ODD,
    Limits,
    Reason,
    normalise,
    normalise_lines,
    reject_reason,
    unreadable,
)
from coresift.corpus.outcome import counts_text, judged_text
from coresift.corpus.tables import PART, REJECT
from coresift.corpus.windows import LongRecords, Windows, cut
from coresift.tables import (
    TableWriter,
    arrow_schema,
    arrow_writer,
    number_array,
    spans_array,
    text_array,
)

logger = logging.getLogger(__name__)

#: Rejected records held before they are written.
REJECTS_HELD = 8192
#: Shares of a file's records above which rejects are warned of: of any reason, and alignments.
WARNED_SHARE, WARNED_ALIGNED = 0.5, 0.01


def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of a block for the next one.

    It gives freed memory back to the system, to be mapped and zeroed again, unless a piece as large
    as this was once freed (mallopt(3), M_MMAP_THRESHOLD): 93 % of the page faults of this module.
    """
    bytearray(31 << 20)


@dataclass(frozen=True)
class Accepted:
    """The good records and windows of a block.

    Attributes:
        letters: the normalised sequences, between other text.
        starts, ends: (m,) int64 where each of them lies in it.
        rows: (m,) int64 number of the block's record that each is, or is of.
        firsts: (m,) int64 number of a window's first residue, from 1; 0 for a whole record.
        first: number in the file of the block's first record, from 1.
    """

    block: Block
    letters: bytearray
    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    firsts: np.ndarray
    first: int

    def words(self) -> np.ndarray:
        """(m, 2) uint64 hashes."""
        return hash_words(self.letters, self.starts, self.ends)

    def placed(self, n_buckets: int, n_blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hashes by bucket, their (m,) places in `rows`, and (n_buckets + 1,) edges of buckets.

        Within a bucket they are in the order of the file.
        """
        words = self.words()
        buckets = runs_of(blocks_of(words[:, 0], n_blocks), n_buckets, n_blocks)
        order = np.argsort(buckets, kind="stable")
        edges = np.searchsorted(buckets[order], np.arange(n_buckets + 1))
        return words[order], order, edges

    def distinct(self) -> pl.DataFrame:
        """Columns seq_id, sequence and length, the first of equal sequences."""
        spans = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        sequences = [self.letters[start:end].decode("ascii") for start, end in spans]
        frame = pl.DataFrame({"sequence": pl.Series(sequences, dtype=pl.String)})
        return frame.with_columns(
            pl.Series("seq_id", pl.from_arrow(hexadecimal(self.words())), dtype=pl.String),
            length=pl.col("sequence").str.len_bytes().cast(pl.Int32),
        ).unique("seq_id", keep="first", maintain_order=True)

    def part(self, n_buckets: int, n_blocks: int) -> tuple[pa.RecordBatch, np.ndarray]:
        """Columns of `PART` of what is `placed`, and the edges of the buckets."""
        words, order, edges = self.placed(n_buckets, n_blocks)
        columns = [
            *map(number_array, words.T),
            self._sequences(order),
            self._names(self.rows[order]),
            number_array(self.firsts[order]),
        ]
        return pa.record_batch(columns, names=list(PART)), edges

    def _sequences(self, order: np.ndarray) -> pa.Array:
        if (self.starts[1:] < self.ends[:-1]).any():  # windows that overlap
            return spans_array(self.letters, self.starts[order], self.ends[order])
        return text_array(self.letters, self.starts, self.ends, order)

    def _names(self, rows: np.ndarray) -> pa.Array:
        block = self.block
        names = text_array(block.text, block.starts + 1, block.id_ends, rows)
        if (block.id_ends[rows] > block.starts[rows] + 1).all():
            return names
        named = zip(rows.tolist(), names.to_pylist(), strict=True)
        return pa.array([name or _unnamed(self.first + i) for i, name in named], names.type)


def _unnamed(number: int) -> str:
    """Id of a record whose header has none."""
    return f"record_{number}"


def _outside(lengths: np.ndarray, limits: Limits) -> np.ndarray:
    """(m,) bool: lengths, in residues, that are not between the limits."""
    return (lengths < max(1, limits.min_length)) | (lengths > limits.max_length)


class Judge:
    """Turns blocks of records into accepted and rejected ones, and counts them.

    Attributes:
        source: the file's label in tables.
    """

    def __init__(self, source: str, modality: str, limits: Limits) -> None:
        self.source, self.modality, self.limits = source, modality, limits
        self.number = 0
        #: Records, with windows in place of those that are cut.
        self.items = 0
        self.rejects: list[tuple[str, int, str, str, str]] = []
        self.counts: Counter[str] = Counter()
        #: What the first record rejected for each reason says.
        self.first: dict[str, str] = {}
        self.long = LongRecords()
        self.others = kinds.Others(modality)
        #: What has masked residues, and those residues.
        self.masked = self.masked_residues = 0

    def accept(self, block: Block) -> Accepted:
        """The good records and windows of a block; the others go to `rejects`."""
        letters = normalise_lines(block.text, self.modality)
        # Positions in the text less the newlines before them.
        headers = block.starts - block.header_lines
        starts = block.bodies - block.header_lines - 1
        ends = np.append(headers[1:], len(letters))
        suspects = self._suspects(letters, headers, starts, ends)
        unread = self._read(block, np.flatnonzero(suspects), letters, starts, ends)
        windows = cut(ends - starts, self.limits)
        self.long.add(ends - starts, windows, self.limits.max_length)
        spans = starts[windows.rows] + windows.begins, starts[windows.rows] + windows.ends
        wrong = _outside(windows.ends - windows.begins, self.limits)
        doubtful = np.flatnonzero(wrong | suspects[windows.rows])
        bad = self._judge(block, doubtful, unread, letters, windows, *spans)
        good = np.ones(len(windows.rows), bool)
        good[bad] = False
        first = self.number + 1
        self.number += len(block)
        self.items += len(windows.rows)
        starts, ends = (span[good] for span in spans)
        rows, firsts = windows.rows[good], windows.firsts[good]
        return Accepted(block, letters, starts, ends, rows, firsts, first)

    def _read(
        self,
        block: Block,
        suspects: np.ndarray,
        letters: bytearray,
        starts: np.ndarray,
        ends: np.ndarray,
    ) -> dict[int, Reason]:
        """Put the letters of suspects in place of odd ones, and their ends.

        Returns:
            Why records cannot be read, by number; those are left without letters.
        """
        unread = {}
        for i in suspects.tolist():
            sequence = normalise(block.sequence(i), self.modality)
            self.others.see(sequence)
            reason = unreadable(sequence, self.modality)
            if reason is not None:
                unread[i] = reason
                ends[i] = starts[i]
            else:
                ends[i] = starts[i] + len(sequence)
                letters[starts[i] : ends[i]] = sequence.encode("ascii")
        return unread

    def _judge(
        self,
        block: Block,
        doubtful: np.ndarray,
        unread: dict[int, Reason],
        letters: bytearray,
        windows: Windows,
        starts: np.ndarray,
        ends: np.ndarray,
    ) -> list[int]:
        """Which of the doubtful are rejected; what is masked moves to the end of the letters."""
        bad = []
        for j in doubtful.tolist():
            i = int(windows.rows[j])
            sequence = letters[starts[j] : ends[j]].decode("ascii")
            reason = unread.get(i) or reject_reason(sequence, self.modality, self.limits)
            if reason is None and self.limits.max_low_complexity is not None:
                soft = soft_masked(sequence, self.modality)
                reason = self._low_complexity(soft, self.limits.max_low_complexity)
                if reason is None and self.limits.mask and n_masked(soft):
                    # Not in place: windows may overlap.
                    starts[j], ends[j] = len(letters), len(letters) + len(soft)
                    letters += hard_masked(soft, self.modality).encode("ascii")
            if reason is not None:
                bad.append(j)
                self._reject(block, i, windows.place(j), *reason)
        return bad

    def _low_complexity(self, soft: str, most: float) -> Reason | None:
        """Why a sequence, softly masked, is rejected; what is masked is counted."""
        n = n_masked(soft)
        if n > most * len(soft):
            return "low_complexity", f"{n} of {len(soft)} residues are of low complexity"
        if n and self.limits.mask:
            self.masked += 1
            self.masked_residues += n
        return None

    def _reject(self, block: Block, i: int, place: str, reason: str, detail: str) -> None:
        number = self.number + 1 + i
        name = (block.identifier(i) or _unnamed(number)) + place
        self.rejects.append((self.source, number, name, reason, detail))
        self.counts[reason] += 1
        if place:
            self.long.rejected[reason] += 1
        self.first.setdefault(reason, f"record {number} ({name}): {detail}")

    def take_rejects(self) -> pl.DataFrame:
        """The records rejected since the last call (columns of `REJECT`)."""
        frame = pl.DataFrame(self.rejects, schema=dict(REJECT), orient="row")
        self.rejects.clear()
        return frame

    def _suspects(
        self, letters: bytearray, headers: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> np.ndarray:
        """(n,) bool: records with odd letters or perhaps the wrong modality.

        All, where low complexity matters.
        """
        if self.limits.max_low_complexity is not None:
            return np.ones(len(starts), bool)
        spans = np.stack([headers, starts], axis=1).ravel()
        # An empty record at the end has no position of its own; it is too short anyway.
        spans = np.minimum(spans, len(letters) - 1)
        highest = np.maximum.reduceat(np.frombuffer(letters, np.uint8), spans)[1::2]
        long = ends - starts > self.limits.max_length
        return (highest == ODD) | kinds.unclear(highest, long, self.modality)

    def problems(self, path: str | Path) -> list[str]:
        """What a user should know of the whole file, read to its end.

        Raises:
            CorpusError: the file is of the wrong modality.
        """
        found = []
        text, refused = self.others.judge(path, self.number)
        if refused:
            raise CorpusError(text)
        if text:
            found.append(text)
        rejected, judged = self.counts.total(), judged_text(self.number, self.items)
        aligned = self.counts["aligned"]
        if rejected > WARNED_SHARE * self.items:
            reasons = "; ".join(
                f"{reason}: {count}, first {self.first[reason]}"
                for reason, count in self.counts.most_common()
            )
            found.append(f"{path}: {rejected} of {judged} rejected; {reasons}")
        elif aligned >= WARNED_ALIGNED * self.number:
            found.append(
                f"{path}: {aligned} of {self.number} records rejected as aligned, "
                f"first {self.first['aligned']}"
            )
        return found

    def report(self, path: str | Path, problems: list[str]) -> dict[str, Any]:
        """Counts of the whole file, as `ingest` returns them; logged with the problems."""
        rejected = dict(sorted(self.counts.items()))
        report = {
            "source": self.source,
            "path": str(path),
            "records": self.number,
            "long": self.long.report(),
            "items": self.items,
            "accepted": self.items - sum(rejected.values()),
            "rejected": rejected,
            "first_rejected": self.first,
            "masked": {"records": self.masked, "residues": self.masked_residues},
            "problems": problems,
        }
        logger.info("%s: %s", path, counts_text(report))
        for problem in problems:
            logger.warning("%s", problem)
        return report


class Buckets:
    """Rows held until a chunk is full, then written in one run a bucket."""

    def __init__(
        self, writers: Sequence[pa.ipc.RecordBatchFileWriter], schema: pa.Schema, chunk_bytes: int
    ) -> None:
        self.writers, self.schema, self.chunk_bytes = writers, schema, chunk_bytes
        self.held: list[tuple[pa.RecordBatch, np.ndarray]] = []
        self.size = 0

    def add(self, rows: pa.RecordBatch, edges: np.ndarray) -> None:
        """Hold rows sorted by bucket, and the (n_buckets + 1,) edges of the buckets."""
        self.held.append((rows, edges))
        self.size += rows.nbytes
        if self.size >= self.chunk_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        for b, writer in enumerate(self.writers):
            runs = [rows.slice(edges[b], edges[b + 1] - edges[b]) for rows, edges in self.held]
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

    Memory is bounded by `chunk_bytes` (of records held) and by the longest record, whatever the
    file's size. `source` is the file's label in tables.

    Returns:
        Counts: source, path, records; long, of `LongRecords.report`; items, the records with
        windows in place of those that are cut; of these accepted, rejected by reason, masked; and,
        as text, the first reject of each reason and the problems of the file as a whole, which are
        also logged as warnings.

    Raises:
        CorpusError: see `read_fasta`, or the file is of the wrong modality (`corpus.modality`); no
            output is left then.
    """
    _keep_freed_memory()
    judge = Judge(source, modality, limits)
    start = shown = time.monotonic()
    with ExitStack() as stack:
        writers = [stack.enter_context(arrow_writer(p, PART)) for p in part_paths]
        rejects = stack.enter_context(TableWriter(rejects_path, REJECT))
        buckets = Buckets(writers, arrow_schema(PART), chunk_bytes)
        for block in read_blocks(path):
            buckets.add(*judge.accept(block).part(len(writers), n_blocks))
            if len(judge.rejects) >= REJECTS_HELD:
                rejects.append(judge.take_rejects())
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                rate = judge.number / (shown - start)
                logger.info("%s: %d records, %.0f/s", source, judge.number, rate)
        problems = judge.problems(path)
        buckets.flush()
        rejects.append(judge.take_rejects())
    return judge.report(path, problems)
