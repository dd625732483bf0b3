"""How near test examples are to what was learnt from: the pool, and the task's own train split.

An example is as near as the nearest, by local alignment (`corpus.alignment`), of the few sequences
that share most k-mers with it (`corpus.candidates`). One of two sequences is as near as the farther
of them: it has been seen if both have (class C1 of Park & Marcotte 2012).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from coresift.corpus.alignment import Aligner
from coresift.corpus.candidates import Candidates
from coresift.dag.pace import Pace
from coresift.hashing import uniform_hash
from coresift.tables import conform
from coresift.tasks.data import encoded_columns, read_task
from coresift.tasks.readers.settings import LabelledData
from coresift.tasks.tables import BINS, IDENTITY

logger = logging.getLogger(__name__)

#: Sequences aligned to an example.
N_CANDIDATES = 20


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Attributes:
        examples: distinct test examples at most, a seeded sample.
        coverage: share of the shorter sequence that an alignment must span.
        max_tokens: longest input, special tokens included: what lies beyond is compared with
            nothing.
        seed: of the sample.
    """

    examples: int
    coverage: float
    max_tokens: int
    seed: int


def binned(identity: pl.Expr) -> pl.Expr:
    """The bin of an identity, one of `BINS`."""
    none, low, middle, high = map(pl.lit, BINS)
    near = pl.when(identity < 0.5).then(low).when(identity <= 0.8).then(middle).otherwise(high)
    return pl.when(identity.is_null()).then(none).otherwise(near)


def identities(
    task: LabelledData, modality: str, how: Comparison, pool: Iterable[pl.DataFrame] | None
) -> pl.DataFrame:
    """Identity of each test example to the nearest sequence (columns of `IDENTITY`).

    Args:
        modality: the run's.
        pool: frames of columns seq_id and sequence; None: the task's train split instead.

    Raises:
        TaskDataError: see `read_task`.
    """
    frame = read_task(task, modality).frame
    cropped = pl.col("sequence", "partner").str.head(how.max_tokens - 2)
    frame = frame.with_columns(cropped)
    test = _sample(frame.filter(pl.col("split") == "test"), how)
    kinds = _kinds(task, modality)
    if pool is not None:
        kinds = {column: kinds[column] for column in encoded_columns(task, modality)}
    train = frame.filter(pl.col("split") == "train")
    searches = {c: Candidates(test[c].to_list(), kind, N_CANDIDATES) for c, kind in kinds.items()}
    if pool is not None:
        _search(list(searches.values()), pool)
    else:
        for column, search in searches.items():
            same = [other for other, kind in kinds.items() if kind == kinds[column]]
            parts = [train.select("sequence", "example_id", own=other) for other in same]
            rows = pl.concat(parts).select(seq_id="example_id", sequence="own")
            _search([search], [rows.unique("sequence", keep="first", maintain_order=True)])
    found = [
        _nearest(search, test[column].to_list(), Aligner(kinds[column], how.coverage))
        for column, search in searches.items()
    ]
    # The farther of two: of lowest identity, none being the lowest.
    order = pl.col("identity").fill_null(-1.0)
    farther = pl.concat(found).sort("query", order).unique("query", keep="first")
    rows = test.with_row_index("query").join(farther, on="query", maintain_order="left")
    return conform(rows.with_columns(bin=binned(pl.col("identity"))), IDENTITY)


def _kinds(task: LabelledData, modality: str) -> dict[str, str]:
    """Modality of each column of sequences."""
    partner = {"partner": task.data.modality_b or modality} if task.two_sequences else {}
    return {"sequence": modality} | partner


def _sample(test: pl.DataFrame, how: Comparison) -> pl.DataFrame:
    """The first copy of each distinct example; of many those of the smallest seeded hashes."""
    first = test.unique("distinct", keep="first", maintain_order=True)
    keys = first.select(pl.concat_str("sequence", "partner", separator="|")).to_series()
    ranks = pl.Series(uniform_hash(keys.to_list(), how.seed, "identity"), dtype=pl.UInt64)
    drawn = first.with_row_index("row").with_columns(rank=ranks).sort("rank", "row")
    return drawn.head(how.examples).sort("row")


def _search(searches: Sequence[Candidates], frames: Iterable[pl.DataFrame]) -> None:
    pace, done = Pace(), 0
    for frame in frames:
        for search in searches:
            search.add(frame)
        done += frame.height
        if now := pace.due(done, 0):
            logger.info("%d sequences searched, %.0f a second", done, now[0])


def _nearest(search: Candidates, queries: Sequence[str], aligner: Aligner) -> pl.DataFrame:
    """Columns query, identity and nearest: the candidate of the highest identity, or nulls."""
    pace = Pace()
    rows: dict[int, tuple[float | None, str | None]] = dict.fromkeys(
        range(len(queries)), (None, None)
    )
    for done, (query, candidates) in enumerate(search.by_query(), 1):
        best: tuple[float | None, str | None] = (None, None)
        for seq_id, sequence in candidates.select("seq_id", "sequence").iter_rows():
            identity = aligner.identity(queries[query], sequence)
            if identity is not None and (best[0] is None or identity > best[0]):
                best = (identity, seq_id)
            if identity == 1:
                break
        rows[query] = best
        if now := pace.due(done, len(queries) - done):
            logger.info("%d of %d examples aligned, %.0f s to go", done, len(queries), now[1])
    values: list[tuple[Any, ...]] = [(query, *best) for query, best in rows.items()]
    schema = {"query": pl.UInt32, "identity": pl.Float64, "nearest": pl.String}
    return pl.DataFrame(values, schema=schema, orient="row")
