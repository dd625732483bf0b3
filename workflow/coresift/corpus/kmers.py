"""K-mers of sequences, and how many distinct ones two sequences share.

A k-mer is known by the upper 56 bits of a 64-bit hash: among the 5e16 pairs of 1e10 windows with
5e6 indexed k-mers about one takes another for itself, and no decision rests on one k-mer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

#: Odd 64-bit multiplier of the polynomial k-mer hash (golden ratio).
_BASE = 0x9E3779B97F4A7C15
#: Odd 64-bit multiplier that spreads the last letters, too, over the upper bits (Steele et al.
#: 2014, SplitMix).
_MIX = np.uint64(0xBF58476D1CE4E5B9)
#: Bits of a k-mer; the others number the sequences of a piece.
_BITS = 56
#: Sequences and residues of a piece: its arrays stay in the processor's cache.
_ROWS, _RESIDUES = 1 << (64 - _BITS), 1 << 17
#: Counts held at a time, and k-mers that go into them: bounds memory.
_CELLS = 1 << 20


def kmer_windows(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) uint32 number of the sequence and (n,) uint64 hash of every window of k residues.

    A sequence shorter than k has none. The hash of a window of length a+b is
    hash_a * base^b + hash_b, built by doubling in O(log k) vector operations.
    """
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    codes = np.frombuffer("".join(sequences).encode("ascii"), np.uint8).astype(np.uint64)
    if len(codes) < k:
        return np.empty(0, np.uint32), np.empty(0, np.uint64)
    power, width, step = codes + np.uint64(1), 1, 0
    hashes: np.ndarray | None = None
    # `power` hashes windows of 2^i letters; `hashes` of the low bits of k so far.
    while True:
        if k & width:
            if hashes is None:
                hashes, step = power, width
            else:
                n = len(codes) - step - width + 1
                tail = hashes[width : width + n]
                hashes = power[:n] * _pow(step) + tail
                step += width
        if width * 2 > k:
            break
        n = len(power) - width
        power = power[:n] * _pow(width) + power[width : width + n]
        width *= 2
    assert hashes is not None
    rows = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    last = np.repeat(np.cumsum(lengths), lengths)
    starts = np.arange(len(hashes))
    inside = starts + k <= last[: len(hashes)]
    return rows[: len(hashes)][inside], hashes[inside]


def _pow(exponent: int) -> np.uint64:
    return np.uint64(pow(_BASE, exponent, 1 << 64))


def distinct_kmers(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 number of the sequence and (n,) uint64 k-mer, each once a sequence, in order."""
    rows, kmers = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for start, stop in _pieces(sequences):
        found = _distinct(sequences[start:stop], k)
        rows.append(found[0] + start)
        kmers.append(found[1])
    return np.concatenate(rows), np.concatenate(kmers)


def _pieces(sequences: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of runs of sequences, of few residues each or of one sequence."""
    start, residues = 0, 0
    for i, sequence in enumerate(sequences):
        residues += len(sequence)
        if i > start and (residues > _RESIDUES or i - start == _ROWS):
            yield start, i
            start, residues = i, len(sequence)
    if len(sequences):
        yield start, len(sequences)


def _distinct(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    """`distinct_kmers` of at most `_ROWS` sequences: one sort of numbers."""
    rows, hashes = kmer_windows(sequences, k)
    keys = (hashes * _MIX) >> np.uint64(64 - _BITS)
    keys |= rows.astype(np.uint64) << np.uint64(_BITS)
    keys.sort()
    keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
    kmers = keys & np.uint64((1 << _BITS) - 1)
    return (keys >> np.uint64(_BITS)).astype(np.int64), kmers


class KmerIndex:
    """Distinct k-mers of some sequences, to count those that other sequences share with them.

    Attributes:
        k: residues of a k-mer.
        sizes: (n,) int64 distinct k-mers of each sequence.
    """

    def __init__(self, sequences: Sequence[str], k: int) -> None:
        rows, kmers = distinct_kmers(sequences, k)
        self.k, self.sizes = k, np.bincount(rows, minlength=len(sequences))
        order = np.argsort(kmers, kind="stable")
        # The k-mers in order; those of number i are of sequences _rows[_edges[i]:_edges[i + 1]].
        kmers = kmers[order]
        first = np.flatnonzero(np.append(True, kmers[1:] != kmers[:-1])[: len(kmers)])
        self._kmers, self._edges = kmers[first], np.append(first, len(kmers))
        self._rows = rows[order].astype(np.int32)
        # Where k-mers with the same upper bits begin: half of these runs are empty, few have two.
        bits = min(max(len(self._kmers).bit_length() + 1, 8), 26)
        self._shift = np.uint64(_BITS - bits)
        heads = np.bincount((self._kmers >> self._shift).astype(np.int64), minlength=1 << bits)
        self._first = np.append(0, np.cumsum(heads)).astype(np.int32)

    def counts(self, sequences: Sequence[str]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Distinct k-mers that each of `sequences` shares with each of the index, in order.

        Yields:
            Number of a first sequence; (m,) int64 distinct k-mers of m sequences from there on;
            (m, n) int64 how many of them each sequence of the index has.
        """
        for start, stop in _pieces(sequences):
            rows, kmers = _distinct(sequences[start:stop], self.k)
            sizes = np.bincount(rows, minlength=stop - start)
            places = self._places(kmers)
            known = np.flatnonzero(places >= 0)
            rows, places = rows[known], places[known]
            hits = self._edges[places + 1] - self._edges[places]
            work = np.bincount(rows, hits, minlength=stop - start) + len(self.sizes)
            parts = (np.cumsum(work) - work) // _CELLS
            edges = np.append(np.flatnonzero(np.diff(parts, prepend=-1)), stop - start)
            cuts = np.searchsorted(rows, edges)
            for i, (low, high) in enumerate(pairwise(edges)):
                part = slice(cuts[i], cuts[i + 1])
                shared = self._shared(rows[part] - low, places[part], hits[part], high - low)
                yield start + int(low), sizes[low:high], shared

    def _places(self, kmers: np.ndarray) -> np.ndarray:
        """(n,) int32 number of each k-mer in the index, -1 where it is not there."""
        runs = (kmers >> self._shift).astype(np.int64)
        at, end = self._first[runs], self._first[runs + 1]
        found = np.full(len(kmers), -1, np.int32)
        left = np.flatnonzero(at < end)
        while len(left):
            here = at[left]
            same = self._kmers[here] == kmers[left]
            found[left[same]] = here[same]
            left = left[~same]
            at[left] += 1
            left = left[at[left] < end[left]]
        return found

    def _shared(
        self, rows: np.ndarray, places: np.ndarray, hits: np.ndarray, n_rows: int
    ) -> np.ndarray:
        """(n_rows, n) int64 counts, of k-mers given by row, number in the index and its hits."""
        n = len(self.sizes)
        first = np.cumsum(hits) - hits
        at = np.arange(hits.sum()) + np.repeat(self._edges[places] - first, hits)
        cells = np.repeat(rows * n, hits) + self._rows[at]
        return np.bincount(cells, minlength=n_rows * n).reshape(n_rows, n)
