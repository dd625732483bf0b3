"""The group of each distinct sequence, by its source file, its header or a table of the user's.

Where a sequence has several copies, it is in the group of the first copy that has one: first by the
name of the source, then by place in its file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow as pa

from coresift.corpus.blocks import hexadecimal
from coresift.corpus.fasta import CorpusError, read_blocks
from coresift.corpus.group_table import separator_of
from coresift.corpus.groups import GroupError
from coresift.corpus.ingest import Buckets, Judge
from coresift.corpus.normalise import Limits
from coresift.corpus.outcome import judged_text
from coresift.corpus.tables import LABEL, PART
from coresift.tables import arrow_schema, arrow_writer, read_arrow

logger = logging.getLogger(__name__)

#: The group of each row of a bucket: its number, and columns source and source_id, by source.
Labels = Callable[[int, pl.DataFrame], pl.Series]


def label_records(
    path: str | Path,
    regex: str,
    label_paths: Sequence[str | Path],
    modality: str,
    limits: Limits,
    n_blocks: int,
    chunk_bytes: int,
) -> None:
    """Write the groups of a file's records, row by row as the parts that `ingest` makes of it.

    The group is what `regex`'s one group finds in the header, of a window its record's; null where
    that is nothing. Reads and judges the file again; memory is bounded by `chunk_bytes` of groups.

    Args:
        label_paths: one file (`LABEL`) a bucket.

    Raises:
        CorpusError: see `read_fasta`.
    """
    judge, search = Judge("", modality, limits), re.compile(regex).search
    without = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(arrow_writer(p, LABEL)) for p in label_paths]
        buckets = Buckets(writers, arrow_schema(LABEL), chunk_bytes)
        for block in read_blocks(path):
            accepted = judge.accept(block)
            judge.rejects.clear()
            _, order, edges = accepted.placed(len(writers), n_blocks)
            found = (search(block.header(i)) for i in accepted.rows[order].tolist())
            groups = [match[1] or None if match else None for match in found]
            without += groups.count(None)
            batch = pa.RecordBatch.from_pydict({"group": groups}, arrow_schema(LABEL))
            buckets.add(batch, edges)
        buckets.flush()
    judged = judged_text(judge.number, judge.items - judge.counts.total())
    logger.info("%s: %d of %s without a group", path, without, judged)


def by_source(bucket: int, rows: pl.DataFrame) -> pl.Series:
    """`Labels`: the name of the source."""
    return rows["source"]


def by_label(paths: Mapping[str, Sequence[str | Path]]) -> Labels:
    """`Labels` from the files of `label_records`, of each source a file a bucket."""

    def labels(bucket: int, rows: pl.DataFrame) -> pl.Series:
        parts, records = [], dict(rows["source"].value_counts().rows())
        for source in sorted(paths):
            path = paths[source][bucket]
            found = pl.DataFrame(read_arrow([path], LABEL))["group"]
            if len(found) != records.get(source, 0):
                raise GroupError(
                    f"{path}: {len(found)} groups for {records.get(source, 0)} records"
                )
            parts.append(found)
        return pl.concat(parts)

    return labels


def by_table(path: str | Path) -> Labels:
    """`Labels` from a CSV or TSV file with columns id and group, by the records' ids.

    A quote is a letter like any other where tabs separate; in a CSV it encloses a value.

    Raises:
        CorpusError: (when called) the file is no such table, or has an id of a record twice.
    """
    separator = separator_of(path)
    quote = None if separator == "\t" else '"'
    table = pl.scan_csv(
        str(path), separator=separator, quote_char=quote, infer_schema=False, glob=False
    ).select("id", "group")

    def labels(bucket: int, rows: pl.DataFrame) -> pl.Series:
        ids = rows.lazy().select(pl.col("source_id").unique())
        try:
            found = table.join(ids, left_on="id", right_on="source_id", how="semi").collect(
                engine="streaming"
            )
        except pl.exceptions.PolarsError as error:
            raise CorpusError(f"{path}: not a readable table ({error})") from error
        twice = found.filter(pl.col("id").is_duplicated())["id"].unique().sort()
        if len(twice):
            raise CorpusError(f"{path}: {len(twice)} ids stand there twice, e.g. {twice[0]}")
        groups = rows.join(
            found, left_on="source_id", right_on="id", how="left", maintain_order="left"
        )
        return groups["group"].replace("", None)

    return labels


def group_sequences(
    name: str, parts: Mapping[str, Sequence[str | Path]], labels: Labels
) -> Iterator[pl.DataFrame]:
    """Groups of all distinct sequences: columns seq_id and `name`, bucket by bucket in hash order.

    Memory is that of one bucket, without its sequences.

    Args:
        parts: of each source a file (`PART`) a bucket.
    """
    sources = sorted(parts)
    for bucket in range(len(parts[sources[0]]) if sources else 0):
        copies = []
        for source in sources:
            part = read_arrow([parts[source][bucket]], PART).select(["high", "low", "source_id"])
            copies.append(pl.DataFrame(part).with_columns(source=pl.lit(source)))
        rows = pl.concat(copies)
        # Of all sources at once: a table of the user's is read once a bucket.
        group = labels(bucket, rows.select("source", "source_id")).alias("group")
        first = (
            rows.select("high", "low")
            .with_columns(group)
            .sort("high", "low", pl.col("group").is_null(), maintain_order=True)
            .unique(["high", "low"], keep="first", maintain_order=True)
        )
        seq_ids = pl.from_arrow(hexadecimal(first.select("high", "low").to_numpy()))
        yield pl.DataFrame({"seq_id": seq_ids, name: first["group"]})
