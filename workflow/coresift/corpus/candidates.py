"""The few sequences that share most k-mers with each of some queries, among any number of them.

Exact and deterministic: the best by distinct k-mers that both have over the shorter one's places
for one, then by their number, then by id, however the sequences are cut into frames. Memory is that
of one frame. One strand only: the models read one strand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.corpus.kmers import KmerIndex
from coresift.tables import Schema, conform

#: New candidates held before they are ranked.
_PENDING = 1 << 16

#: The best so far, by query: `n_best` rows at most.
CANDIDATE: Schema = {
    "query": pl.Int64,  # number of the query
    "seq_id": pl.String,
    "sequence": pl.String,
    "share": pl.Float64,  # shared k-mers over the shorter one's places for one
    "shared": pl.Int64,  # distinct k-mers that both have
}


def word_length(length: float, n_letters: int) -> int:
    """The smallest k at which two random sequences of `length` n share one k-mer at most.

    n^2 / letters^k pairs of places agree in the mean. A shorter k finds more distant sequences, and
    more that are alike by chance.
    """
    return max(2, math.ceil(math.log(max(1.0, length) ** 2, n_letters)))


class Candidates:
    """Keeps, for every query, the sequences that share most with it.

    Args:
        queries: normalised sequences.
        modality: whose letters.
        n_best: sequences kept a query.

    Attributes:
        best: columns of `CANDIDATE`, by query, the best first.
    """

    def __init__(self, queries: Sequence[str], modality: str, n_best: int) -> None:
        middle = float(np.median([len(s) for s in queries])) if queries else 0.0
        k = word_length(middle, len(ALPHABETS[modality].canonical))
        self._index = KmerIndex(queries, k)
        self._places = np.array([len(s) for s in queries]) - k + 1
        self._n_best = n_best
        self._least = np.zeros(len(queries))
        self.best = pl.DataFrame(schema=dict(CANDIDATE))

    def add(self, frame: pl.DataFrame) -> None:
        """Compare more sequences (columns seq_id and sequence) with all queries."""
        pending: list[pl.DataFrame] = []
        for start, sizes, shared in self._index.counts(frame["sequence"].to_list()):
            pending.append(self._above(frame.slice(start, len(sizes)), shared))
            if sum(part.height for part in pending) > _PENDING:
                self._rank(pending)
                pending = []
        self._rank(pending)

    def _above(self, frame: pl.DataFrame, shared: np.ndarray) -> pl.DataFrame:
        """Candidates as good as the last ones kept, from (sequences, queries) shared k-mers."""
        rows, queries = np.nonzero(shared)
        n = shared[rows, queries]
        places = frame["sequence"].str.len_bytes().cast(pl.Int64).to_numpy() - self._index.k + 1
        shares = n / np.minimum(places[rows], self._places[queries])
        kept = shares >= self._least[queries]
        columns = {"query": queries[kept], "share": shares[kept], "shared": n[kept]}
        named = frame.select("seq_id", "sequence")[rows[kept]]
        return conform(pl.DataFrame(columns).hstack(named), CANDIDATE)

    def _rank(self, pending: Sequence[pl.DataFrame]) -> None:
        order = ["share", "shared", "seq_id"]
        self.best = (
            pl.concat([self.best, *pending])
            .sort("query", *order, descending=[False, True, True, False])
            .group_by("query", maintain_order=True)
            .head(self._n_best)
        )
        full = self.best.group_by("query").agg(pl.len(), pl.col("share").last())
        full = full.filter(pl.col("len") == self._n_best)
        self._least[full["query"].to_numpy()] = full["share"].to_numpy()

    def by_query(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Number of each query that has candidates, and these, the best first."""
        for (query,), rows in self.best.group_by("query", maintain_order=True):
            yield int(str(query)), rows
