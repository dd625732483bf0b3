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
from coresift.corpus.normalise import ODD, Limits, normalise, normalise_lines, reject_reason
from coresift.corpus.tables import PART, REJECT
from coresift.tables import TableWriter, arrow_schema, arrow_writer, number_array, text_array

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
    """The good records of a block.

    Attributes:
        letters: the normalised sequences, between other text.
        starts, ends: (n,) int64 where the sequence of each of the block's records lies in it.
        rows: (k,) int64 numbers of the good records.
        first: number in the file of the block's first record, from 1.
    """

    block: Block
    letters: bytearray
    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    first: int

    def words(self) -> np.ndarray:
        """(k, 2) uint64 hashes of the good records."""
        return hash_words(self.letters, self.starts[self.rows], self.ends[self.rows])

    def placed(self, n_buckets: int, n_blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hashes and numbers of the good records by bucket, and (n_buckets + 1,) edges of buckets.

        Within a bucket they are in the order of the file.
        """
        words = self.words()
        buckets = runs_of(blocks_of(words[:, 0], n_blocks), n_buckets, n_blocks)
        order = np.argsort(buckets, kind="stable")
        edges = np.searchsorted(buckets[order], np.arange(n_buckets + 1))
        return words[order], self.rows[order], edges

    def distinct(self) -> pl.DataFrame:
        """The good records' seq_id, sequence and length, the first of equal ones."""
        sequences = [
            self.letters[self.starts[i] : self.ends[i]].decode("ascii") for i in self.rows.tolist()
        ]
        frame = pl.DataFrame({"sequence": pl.Series(sequences, dtype=pl.String)})
        return frame.with_columns(
            pl.Series("seq_id", pl.from_arrow(hexadecimal(self.words())), dtype=pl.String),
            length=pl.col("sequence").str.len_bytes().cast(pl.Int32),
        ).unique("seq_id", keep="first", maintain_order=True)

    def part(self, n_buckets: int, n_blocks: int) -> tuple[pa.RecordBatch, np.ndarray]:
        """Columns of `PART` of the records `placed`, and the edges of the buckets."""
        words, rows, edges = self.placed(n_buckets, n_blocks)
        sequences = text_array(self.letters, self.starts, self.ends, rows)
        columns = [*map(number_array, words.T), sequences, self._names(rows)]
        return pa.record_batch(columns, names=list(PART)), edges

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


class Judge:
    """Turns blocks of records into accepted and rejected ones, and counts them.

    Attributes:
        source: the file's label in tables.
    """

    def __init__(self, source: str, modality: str, limits: Limits) -> None:
        self.source, self.modality, self.limits = source, modality, limits
        self.number = 0
        self.rejects: list[tuple[str, int, str, str, str]] = []
        self.counts: Counter[str] = Counter()
        #: What the first record rejected for each reason says.
        self.first: dict[str, str] = {}
        #: Records of the wrong modality, and their letters.
        self.others = self.other_letters = 0
        #: Records with masked residues, and those residues.
        self.masked = self.masked_residues = 0

    def accept(self, block: Block) -> Accepted:
        """The good records of a block; the others go to `rejects`."""
        letters = normalise_lines(block.text, self.modality)
        # Positions in the text less the newlines before them.
        headers = block.starts - block.header_lines
        starts = block.bodies - block.header_lines - 1
        ends = np.append(headers[1:], len(letters))
        good = np.ones(len(block), bool)
        first = self.number + 1
        for i in self._suspects(letters, headers, starts, ends).tolist():
            sequence = normalise(block.sequence(i), self.modality)
            if kinds.is_other(sequence, self.modality):
                self.others += 1
                self.other_letters += len(sequence)
            reason = reject_reason(sequence, self.modality, self.limits)
            if reason is None and self.limits.max_low_complexity is not None:
                sequence, reason = self._low_complexity(sequence, self.limits.max_low_complexity)
            if reason is None:
                ends[i] = starts[i] + len(sequence)
                letters[starts[i] : ends[i]] = sequence.encode("ascii")
            else:
                good[i] = False
                name = block.identifier(i) or _unnamed(first + i)
                self._reject(first + i, name, *reason)
        self.number += len(block)
        return Accepted(block, letters, starts, ends, np.flatnonzero(good), first)

    def _low_complexity(self, sequence: str, most: float) -> tuple[str, tuple[str, str] | None]:
        """The sequence, masked if so wanted, and why it is rejected."""
        soft = soft_masked(sequence, self.modality)
        n = n_masked(soft)
        if n > most * len(sequence):
            detail = f"{n} of {len(sequence)} residues are of low complexity"
            return sequence, ("low_complexity", detail)
        if n and self.limits.mask:
            self.masked += 1
            self.masked_residues += n
            return hard_masked(soft, self.modality), None
        return sequence, None

    def _reject(self, number: int, name: str, reason: str, detail: str) -> None:
        self.rejects.append((self.source, number, name, reason, detail))
        self.counts[reason] += 1
        self.first.setdefault(reason, f"record {number} ({name}): {detail}")

    def take_rejects(self) -> pl.DataFrame:
        """The records rejected since the last call (columns of `REJECT`)."""
        frame = pl.DataFrame(self.rejects, schema=dict(REJECT), orient="row")
        self.rejects.clear()
        return frame

    def _suspects(
        self, letters: bytearray, headers: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> np.ndarray:
        """Numbers of the records with odd letters, the wrong length or perhaps modality.

        All, where low complexity matters.
        """
        if self.limits.max_low_complexity is not None:
            return np.arange(len(starts))
        spans = np.stack([headers, starts], axis=1).ravel()
        # An empty record at the end has no position of its own; it is too short anyway.
        spans = np.minimum(spans, len(letters) - 1)
        highest = np.maximum.reduceat(np.frombuffer(letters, np.uint8), spans)[1::2]
        lengths = ends - starts
        shortest = max(1, self.limits.min_length)
        wrong = (lengths < shortest) | (lengths > self.limits.max_length)
        unclear = (highest == ODD) | (highest <= kinds.screen(self.modality))
        return np.flatnonzero(wrong | unclear)

    def problems(self, path: str | Path) -> list[str]:
        """What a user should know of the whole file, read to its end.

        Raises:
            CorpusError: the file is of the wrong modality.
        """
        found = []
        share = self.others / self.number
        if share >= kinds.WARNED_SHARE:
            text = (
                f"{path}: {self.others} of {self.number} records ({share:.1%}) look like "
                f"{kinds.OTHER[self.modality]}; modality is {self.modality}"
            )
            if share >= kinds.REFUSED_SHARE and self.other_letters >= kinds.REFUSED_LETTERS:
                raise CorpusError(text)
            found.append(text)
        rejected = self.counts.total()
        aligned = self.counts["aligned"]
        if rejected > WARNED_SHARE * self.number:
            reasons = "; ".join(
                f"{reason}: {count}, first {self.first[reason]}"
                for reason, count in self.counts.most_common()
            )
            found.append(f"{path}: {rejected} of {self.number} records rejected; {reasons}")
        elif aligned >= WARNED_ALIGNED * self.number:
            found.append(
                f"{path}: {aligned} of {self.number} records rejected as aligned, "
                f"first {self.first['aligned']}"
            )
        return found

    def report(self, path: str | Path, problems: list[str]) -> dict[str, Any]:
        """Counts of the whole file, as `ingest` returns them; logged with the problems."""
        rejected = dict(sorted(self.counts.items()))
        accepted = self.number - sum(rejected.values())
        logger.info(
            "%s: %d records, %d accepted, rejected %s", path, self.number, accepted, rejected
        )
        for problem in problems:
            logger.warning("%s", problem)
        return {
            "source": self.source,
            "path": str(path),
            "records": self.number,
            "accepted": accepted,
            "rejected": rejected,
            "first_rejected": self.first,
            "masked": {"records": self.masked, "residues": self.masked_residues},
            "problems": problems,
        }


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

    Memory is bounded by `chunk_bytes` (of records held) whatever the file's size. `source` is the
    file's label in tables.

    Returns:
        Counts: source, path, records, accepted, rejected by reason, masked; and, as text, the
        first reject of each reason and the problems of the file as a whole, which are also logged
        as warnings.

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
