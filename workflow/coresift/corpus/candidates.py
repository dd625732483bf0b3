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
from scipy import sparse

from coresift.alphabet import ALPHABETS
from coresift.tables import Schema, conform

#: Sequences compared with all queries at a time.
_ROWS = 1024
#: Most k-mers of k letters: bounds the index (a number each).
_WORDS = 1 << 24
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
    more that are alike by chance; k is cut so that an index fits into memory.
    """
    wanted = math.ceil(math.log(max(1.0, length) ** 2, n_letters))
    return max(2, min(wanted, int(math.log(_WORDS, n_letters))))


def words(sequences: Sequence[str], k: int, letters: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 number of the sequence and (n,) int64 code of its distinct k-mers, in order.

    A k-mer with another letter than `letters` is none.
    """
    size = len(letters)
    digit_of = np.full(256, size)
    digit_of[np.frombuffer(letters.encode(), np.uint8)] = np.arange(size)
    # The blank between two sequences is no letter, so no k-mer lies in both.
    digits = digit_of[np.frombuffer(" ".join(sequences).encode("ascii"), np.uint8)]
    n = max(0, len(digits) - k + 1)
    codes, whole = np.zeros(n, np.int64), np.ones(n, dtype=bool)
    for i in range(k):
        codes = codes * size + digits[i : i + n]
        whole &= digits[i : i + n] < size
    rows = np.repeat(np.arange(len(sequences)), [len(s) + 1 for s in sequences])[:n]
    # By sorting: numpy's own unique hashes such numbers, at a tenth of the speed.
    found = np.sort(rows[whole] * size**k + codes[whole])
    return np.divmod(found[np.diff(found, prepend=-1) > 0], size**k)


class Candidates:
    """Keeps, for every query, the sequences that share most with it.

    Args:
        queries: normalised sequences.
        modality: whose letters.
        n_best: sequences kept a query.
    """

    def __init__(self, queries: Sequence[str], modality: str, n_best: int) -> None:
        self._letters = ALPHABETS[modality].canonical
        self._n_best = n_best
        middle = float(np.median([len(s) for s in queries])) if queries else 0.0
        self._k = word_length(middle, len(self._letters))
        self._places = self._count(queries)
        self._index = self._matrix(queries).T.tocsr()
        self._least = np.zeros(len(queries))
        self.best = pl.DataFrame(schema=dict(CANDIDATE))

    def _count(self, sequences: Sequence[str]) -> np.ndarray:
        """(sequences,) places where a k-mer may begin."""
        return np.array([len(s) - self._k + 1 for s in sequences], np.int64)

    def _matrix(self, sequences: Sequence[str]) -> sparse.csr_matrix:
        """(sequences, all k-mers) int32: 1 where a sequence has a k-mer."""
        rows, codes = words(sequences, self._k, self._letters)
        starts = np.searchsorted(rows, np.arange(len(sequences) + 1))
        shape = (len(sequences), len(self._letters) ** self._k)
        return sparse.csr_matrix((np.ones(len(rows), np.int32), codes, starts), shape)

    def add(self, frame: pl.DataFrame) -> None:
        """Compare more sequences (columns seq_id and sequence) with all queries."""
        for part in frame.iter_slices(_ROWS):
            self._add(part)

    def _add(self, frame: pl.DataFrame) -> None:
        sequences = frame["sequence"].to_list()
        found = (self._matrix(sequences) @ self._index).tocoo()
        places = np.minimum(self._count(sequences)[found.row], self._places[found.col])
        shares = found.data / places
        kept = shares >= self._least[found.col]
        columns = {
            "query": found.col[kept].astype(np.int64),
            "share": shares[kept],
            "shared": found.data[kept].astype(np.int64),
        }
        rows = frame.select("seq_id", "sequence")[found.row[kept]]
        new = conform(pl.DataFrame(columns).hstack(rows), CANDIDATE)
        order = ["share", "shared", "seq_id"]
        self.best = (
            pl.concat([self.best, new])
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
