"""A coreset for any other tool: FASTA, Parquet with all that is known of a sequence, and ids."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.export import Record, fasta_text, gzip_writer
from coresift.corpus.subset import PoolError
from coresift.export.tables import dataset_schema
from coresift.files import atomic_path
from coresift.tables import (
    Schema,
    TableWriter,
    arrow_writer,
    conform,
    read_arrow,
    scan_rows,
    to_arrow,
)

logger = logging.getLogger(__name__)

#: Ranks that are in memory at once.
RANKS = 1 << 17


@dataclass(frozen=True)
class Beside:
    """What stands in other tables about the sequences of the pool.

    Attributes:
        scores, groups: tables in seq_id order.
        score: the column of `scores` that becomes `score`.
        groupings: the columns of `groups` that are taken.
    """

    scores: str | Path
    score: str
    groups: str | Path
    groupings: Sequence[str]

    @property
    def schema(self) -> Schema:
        """Columns of the dataset."""
        return dataset_schema(self.groupings)

    def added(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of a bucket of the pool with score and groups.

        Raises:
            ValueError: a table lacks a sequence.
        """
        score = pl.col(self.score).alias("score")
        for path, columns in ((self.scores, [score]), (self.groups, [*self.groupings])):
            rows = scan_rows(path, frame["seq_id"]).select("seq_id", *columns).collect()
            joined = frame.join(rows, on="seq_id", how="inner", maintain_order="left")
            if joined.height != frame.height:
                lost = frame.height - joined.height
                raise ValueError(f"{path}: {lost} of {frame.height} sequences are not in it")
            frame = joined
        return frame


def ordered_rows(
    coreset: pl.DataFrame, pool: Sequence[str | Path], beside: Beside, ranks: int = RANKS
) -> Iterator[pl.DataFrame]:
    """Rows of `dataset_schema` in rank order, `ranks` at a time.

    The pool is read once, bucket by bucket, and its rows are put aside by rank on disk (TMPDIR):
    memory is that of one bucket and of `ranks` rows, beside the coreset's own table.

    Args:
        coreset: columns of `CORESET`.

    Raises:
        PoolError: a sequence of the coreset is not in the pool.
    """
    n_parts = -(-coreset.height // ranks)
    found, start = 0, time.monotonic()
    with TemporaryDirectory(prefix="coresift-") as folder:
        paths = [Path(folder, f"{part}.arrow") for part in range(n_parts)]
        with ExitStack() as stack:
            writers = [stack.enter_context(arrow_writer(p, beside.schema)) for p in paths]
            columns = ["seq_id", "sequence", "source_ids", "n_windows", "length"]
            for number, frame in enumerate(iter_pool(pool, columns), start=1):
                rows = beside.added(frame.join(coreset, on="seq_id", how="inner"))
                rows = conform(rows.rename({"seq_id": "id"}), beside.schema)
                for part, writer in enumerate(writers):
                    writer.write_table(to_arrow(rows.filter(pl.col("rank") // ranks == part)))
                found += rows.height
                rate = number / max(time.monotonic() - start, 1e-9)
                logger.info("bucket %d of %d, %d rows, %.1f/s", number, len(pool), found, rate)
        if found != coreset.height:
            raise PoolError(
                f"{coreset.height - found} sequences of the coreset are not in the pool"
            )
        for path in paths:
            yield pl.DataFrame(pl.from_arrow(read_arrow([path], beside.schema))).sort("rank")


def headed(rows: pl.DataFrame) -> Iterator[Record]:
    """FASTA records with headers `FIRST_SOURCE_ID seq_id=ID copies=N rank=R`."""
    names = ["id", "sequence", "source_ids", "rank"]
    for name, sequence, sources, rank in rows.select(names).iter_rows():
        yield f"{sources[0]} seq_id={name} copies={len(sources)} rank={rank}", sequence


def ids_text(rows: pl.DataFrame) -> str:
    """Source ids of the copies that are whole records, a line each; what several files have once.

    `seqkit grep -f` finds the records by it.
    """
    whole = pl.col("source_ids").list.head(pl.col("source_ids").list.len() - pl.col("n_windows"))
    return "".join(f"{name}\n" for name in _distinct(rows, whole)["source_ids"].to_list())


def bed_text(rows: pl.DataFrame) -> str:
    """The copies that are windows: a line of BED each, named by our id.

    Positions are half open from 0, as UCSC defines the format; `seqkit subseq --bed` cuts by it.
    """
    windows = _distinct(rows, pl.col("source_ids").list.tail("n_windows"))
    # What follows the last slash of a window's id was put there by us, whatever the record's has.
    place = pl.col("source_ids").str.extract_groups(r"^(?<record>.*)/(?<first>\d+)-(?<last>\d+)$")
    columns = windows.select("id", place.alias("place")).unnest("place").iter_rows(named=True)
    return "".join(
        f"{row['record']}\t{int(row['first']) - 1}\t{row['last']}\t{row['id']}\n" for row in columns
    )


def _distinct(rows: pl.DataFrame, ids: pl.Expr) -> pl.DataFrame:
    """Columns id and source_ids, a row for each of some lists of ids, without copies of them."""
    lists = rows.select("id", ids.list.unique(maintain_order=True).alias("source_ids"))
    return lists.filter(pl.col("source_ids").list.len() > 0).explode("source_ids")


def write_coreset(
    frames: Iterator[pl.DataFrame],
    schema: Schema,
    fasta: str | Path,
    dataset: str | Path,
    ids: str | Path,
    windows: str | Path,
) -> None:
    """Write frames of `ordered_rows` as FASTA (gzip), Parquet, a list of source ids, and BED."""
    with (
        gzip_writer(fasta) as records,
        atomic_path(ids) as listed,
        listed.open("w", encoding="utf-8") as lines,
        atomic_path(windows) as placed,
        placed.open("w", encoding="utf-8") as bed,
        TableWriter(dataset, schema) as table,
    ):
        for rows in frames:
            records.write(fasta_text(headed(rows)).encode())
            lines.write(ids_text(rows))
            bed.write(bed_text(rows))
            table.append(rows)
