"""Held-out sets: sequences of the pool and of files of the user's, and how near the pool comes.

How near is a k-mer containment: the share of a held-out sequence's distinct k-mers that one
sequence of the pool proper has. It is asked of the held-out sequence, not of the shorter of the two
as decontamination does: a fragment of it in the pool gives away no more than the fragment's share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.fasta import CorpusError, read_blocks
from coresift.corpus.groups import groups_of
from coresift.corpus.ingest import Judge
from coresift.corpus.kmers import KmerIndex
from coresift.corpus.normalise import Limits
from coresift.corpus.outcome import counts_text
from coresift.corpus.subset import PoolError, sample_distinct
from coresift.corpus.tables import HELD_OUT, group_schema
from coresift.tables import Schema, conform

logger = logging.getLogger(__name__)

#: The pool's own set.
POOL = "pool"
_ROW: Schema = {name: HELD_OUT[name] for name in ("seq_id", "sequence", "length")}


def pool_set(buckets: Sequence[str | Path], size: int, seed: int) -> pl.DataFrame:
    """At most `size` of the held-out sequences, by seeded hash: seq_id, sequence, length.

    Raises:
        PoolError: nothing is held out.
    """
    found = sample_distinct(iter_pool(buckets, list(_ROW)), _ROW, size, seed, "heldout size")
    if not found.height:
        raise PoolError(
            "heldout.share sets no sequence of the pool apart: it is a share of the groups that "
            "heldout.by names. Raise it, hold out by hash, or set it to 0 for no such set"
        )
    return found


def file_set(
    path: str | Path,
    modality: str,
    limits: Limits,
    size: int,
    seed: int,
    pool: Sequence[str | Path],
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """At most `size` distinct sequences of a FASTA file, by seeded hash, and the file's counts.

    Records are normalised, judged and counted as those of the corpus. What the pool has letter by
    letter is left out before the sample is drawn. Memory is that of the ids of the file.

    Args:
        pool: buckets of the pool proper.

    Raises:
        CorpusError: see `ingest`; or no record is accepted, or the pool has all of them.
    """
    ids = pl.concat(frame["seq_id"] for frame in _accepted(path, Judge("", modality, limits)))
    ids = ids.unique()
    shared = _shared(ids, pool)
    judge = Judge("", modality, limits)
    new = (
        frame.filter(~pl.col("seq_id").is_in(shared.implode())) for frame in _accepted(path, judge)
    )
    found = sample_distinct(new, _ROW, size, seed, "heldout size")
    report = judge.report(path, judge.problems(path))
    if not len(ids):
        raise CorpusError(f"{path}: {counts_text(report)}; a held-out set needs one")
    logger.info("%s: %d distinct sequences, %d of them in the pool", path, len(ids), len(shared))
    if not found.height:
        raise CorpusError(
            f"{path}: the pool has all {len(ids)} sequences of this held-out file; what a model "
            "learns from is no test of it"
        )
    return found, report


def _accepted(path: str | Path, judge: Judge) -> Iterator[pl.DataFrame]:
    """Columns seq_id, sequence and length of the accepted records of a file."""
    for block in read_blocks(path):
        yield judge.accept(block).distinct()
        judge.rejects.clear()


def _shared(ids: pl.Series, pool: Sequence[str | Path]) -> pl.Series:
    """The distinct ids that the pool has."""
    wanted, empty = ids.implode(), ids.clear()
    frames = iter_pool(pool, ["seq_id"])
    return pl.concat([empty, *(f["seq_id"].filter(f["seq_id"].is_in(wanted)) for f in frames)])


def nearest(held_out: pl.DataFrame, pool: Sequence[str | Path], k: int) -> pl.DataFrame:
    """How near the pool comes to each held-out sequence.

    Args:
        held_out: columns seq_id (distinct), sequence.
        pool: buckets of the pool proper, read one at a time.
        k: k-mer length, residues.

    Returns:
        Columns seq_id; nearest, the largest share of its distinct k-mers that one sequence of the
        pool has, null for a sequence shorter than k.
    """
    index = KmerIndex(held_out["sequence"].to_list(), k)
    most = np.zeros(held_out.height, np.int64)
    start, done = time.monotonic(), 0
    for number, frame in enumerate(iter_pool(pool, ["sequence"]), start=1):
        for _, _, shared in index.counts(frame["sequence"].to_list()):
            np.maximum(most, shared.max(axis=0), out=most)
        done += frame.height
        rate = done / max(time.monotonic() - start, 1e-9)
        logger.info("bucket %d of %d: %d sequences, %.0f/s", number, len(pool), done, rate)
    share = pl.Series(most / np.maximum(index.sizes, 1), dtype=pl.Float64)
    return held_out.select("seq_id", nearest=pl.when(pl.Series(index.sizes) > 0).then(share))


def held_out_sets(
    sets: Mapping[str, pl.DataFrame], pool: Sequence[str | Path], k: int
) -> pl.DataFrame:
    """All held-out sets (columns of `HELD_OUT`).

    Args:
        sets: seq_id, sequence, length of each set, by name; nothing that the pool proper has.
    """
    empty = pl.DataFrame(schema={"set": pl.String, **_ROW})
    named = [frame.select(pl.lit(name).alias("set"), *_ROW) for name, frame in sets.items()]
    rows = pl.concat([empty, *named]).sort("set", "seq_id")
    found = nearest(rows.unique("seq_id", maintain_order=True), pool, k)
    return conform(rows.join(found, on="seq_id", how="left", maintain_order="left"), HELD_OUT)


def held_out_groups(
    held_out: pl.DataFrame, groupings: Mapping[str, str | Path], near: float
) -> pl.DataFrame:
    """Groups of all held-out sequences: set, seq_id, a column a grouping, length_bin and near.

    The groupings are the pool's and null elsewhere. A length bin is a doubling of lengths ("64-127"
    residues). `near` says near or far, by `nearest`; null where that is.

    Args:
        held_out: columns of `HELD_OUT`.
        groupings: a table (`groups_of`) by name.
    """
    of_pool = held_out.filter(pl.col("set") == POOL).select("set", "seq_id")
    if of_pool.height:
        columns = [groups_of(of_pool["seq_id"], p).alias(name) for name, p in groupings.items()]
        of_pool = of_pool.with_columns(columns)
    else:
        of_pool = of_pool.with_columns(pl.lit(None, pl.String).alias(name) for name in groupings)
    low = pl.Series(1 << (np.frexp(held_out["length"].to_numpy())[1] - 1).astype(np.int64))
    bins = pl.select(pl.format("{}-{}", low, 2 * low - 1)).to_series()
    return held_out.join(of_pool, on=["set", "seq_id"], how="left", maintain_order="left").select(
        "set",
        "seq_id",
        *groupings,
        length_bin=bins,
        near=pl.when(pl.col("nearest") >= near)
        .then(pl.lit("near"))
        .when(pl.col("nearest").is_not_null())
        .then(pl.lit("far")),
    )


def held_out_group_schema(groupings: Sequence[str]) -> Schema:
    """Columns of `held_out_groups`."""
    return {"set": pl.String, **group_schema([*groupings, "length_bin", "near"])}
