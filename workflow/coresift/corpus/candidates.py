"""The few sequences that share most k-mers with each of some queries, among any number of them.

Exact and deterministic: first those that contain a query or lie in it, letter by letter; then by
distinct k-mers that both have over the shorter one's places for one, by their number, and by id,
however the sequences are cut into frames. k grows with the product of both lengths, so that chance
gives a guide no more in a sequence of a thousand residues than in one of its own length. Memory is
that of one frame and the queries' k-mers. One strand only: the models read one strand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

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
    "contains": pl.Boolean,  # one of the two has the other letter by letter
}
#: Its columns of text.
_TEXTS = ("seq_id", "sequence")


def word_length(pairs: float, n_letters: int) -> int:
    """The smallest k at which two random sequences share one k-mer at most.

    pairs / letters^k pairs of places agree in the mean. A shorter k finds more distant sequences,
    and more that are alike by chance.

    Args:
        pairs: product of the two lengths, residues.
    """
    return max(2, math.ceil(math.log(max(1.0, pairs), n_letters)))


class _Class:
    """Queries of similar lengths, and their k-mers of every length that was asked for.

    Attributes:
        numbers: (n,) int64 numbers of the queries.
        longest, shortest: lengths.
        index: by k.
    """

    def __init__(self, numbers: np.ndarray, queries: Sequence[str]) -> None:
        self.numbers = numbers
        self._queries = [queries[i] for i in numbers]
        lengths = [len(s) for s in self._queries]
        self.longest, self.shortest = max(lengths), min(lengths)
        self.index = lru_cache(maxsize=None)(partial(KmerIndex, self._queries))

    def word_lengths(self, lengths: np.ndarray, n_letters: int) -> np.ndarray:
        """(m,) int64 k for sequences of the given lengths: none is above either sequence's."""
        distinct, places = np.unique(lengths, return_inverse=True)
        best = [word_length(self.longest * n, n_letters) for n in distinct.tolist()]
        return np.minimum(np.minimum(best, distinct), self.shortest)[places].clip(1)


def _classes(queries: Sequence[str], n_letters: int) -> list[_Class]:
    """Queries in classes that end at powers of `n_letters`: within one, k differs by one."""
    lengths = np.array([len(s) for s in queries], np.int64)
    ends = np.array([math.ceil(math.log(max(1, n), n_letters)) for n in lengths.tolist()])
    return [_Class(np.flatnonzero(ends == end), queries) for end in np.unique(ends)]


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
        self._queries = queries
        self._n_letters = len(ALPHABETS[modality].canonical)
        self._classes = _classes(queries, self._n_letters)
        self._lengths = np.array([len(s) for s in queries], np.int64)
        self._n_best = n_best
        self._least = np.zeros(len(queries))
        self.best = pl.DataFrame(schema=dict(CANDIDATE))

    def add(self, frame: pl.DataFrame) -> None:
        """Compare more sequences (columns seq_id and sequence) with all queries."""
        lengths = frame["sequence"].str.len_bytes().cast(pl.Int64).to_numpy()
        for queries in self._classes:
            words = queries.word_lengths(lengths, self._n_letters)
            for k in np.unique(words).tolist():
                self._compare(frame[np.flatnonzero(words == k)], queries, k)

    def _compare(self, frame: pl.DataFrame, queries: _Class, k: int) -> None:
        pending: list[pl.DataFrame] = []
        for start, sizes, shared in queries.index(k).counts(frame["sequence"].to_list()):
            pending.append(self._above(frame.slice(start, len(sizes)), sizes, shared, queries, k))
            if sum(part.height for part in pending) > _PENDING:
                self._rank(pending)
                pending = []
        self._rank(pending)

    def _above(
        self, frame: pl.DataFrame, sizes: np.ndarray, shared: np.ndarray, queries: _Class, k: int
    ) -> pl.DataFrame:
        """Candidates as good as the last ones kept, from (sequences, queries) shared k-mers."""
        rows, columns = np.nonzero(shared)
        numbers, n = queries.numbers[columns], shared[rows, columns]
        sequences = frame["sequence"]
        lengths = sequences.str.len_bytes().cast(pl.Int64).to_numpy()
        shares = n / (np.minimum(lengths[rows], self._lengths[numbers]) - k + 1)
        # One that contains the other has all of its k-mers: few pairs are compared as strings.
        whole = (n == sizes[rows]) | (n == queries.index(k).sizes[columns])
        contains = np.zeros(len(n), bool)
        for i in np.flatnonzero(whole).tolist():
            query, sequence = self._queries[numbers[i]], sequences[int(rows[i])]
            contains[i] = query in sequence or sequence in query
        kept = shares + contains >= self._least[numbers]
        values = {
            "query": numbers[kept],
            "share": shares[kept],
            "shared": n[kept],
            "contains": contains[kept],
        }
        named = frame.select("seq_id", "sequence")[rows[kept]]
        return conform(pl.DataFrame(values).hstack(named), CANDIDATE)

    def _rank(self, pending: Sequence[pl.DataFrame]) -> None:
        if not any(part.height for part in pending):
            return
        order = ["contains", "share", "shared", "seq_id"]
        best = (
            pl.concat([self.best, *pending])
            .sort("query", *order, descending=[False, True, True, True, False])
            .group_by("query", maintain_order=True)
            .head(self._n_best)
        )
        # Copied: rows of a frame hold on to the text of all its rows.
        copies = [pl.Series(name, best[name].to_list(), pl.String) for name in _TEXTS]
        self.best = best.with_columns(copies)
        score = pl.col("share").last() + pl.col("contains").last()
        full = self.best.group_by("query").agg(pl.len(), score)
        full = full.filter(pl.col("len") == self._n_best)
        self._least[full["query"].to_numpy()] = full["share"].to_numpy()

    def by_query(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Number of each query that has candidates, and these, the best first."""
        for (query,), rows in self.best.group_by("query", maintain_order=True):
            yield int(str(query)), rows
