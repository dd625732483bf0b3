"""Embeddings of the pool, and its partition into k-means cells that bound memory and time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from coresift.dag.pace import Pace

logger = logging.getLogger(__name__)

#: Rows that are read, or compared with all of a cell, at a time.
CHUNK = 1024
#: Most parts that k-means cuts a set of rows into at once; larger pools are cut again.
_BRANCHES = 256
#: Rows that k-means learns from, for each centroid, and its rounds: faiss's own defaults.
_SAMPLE, _ROUNDS = 256, 25
#: A cut that leaves more than this share of the rows in one part has not separated them.
_STUCK = 0.9


class Embeddings:
    """Unit vectors of the pool's embeddings, made of float16 rows as they are asked for.

    A row is (x - mean) / |x - mean|, or without the mean: inner products are cosines. Memory is
    what is asked for; the rows themselves may be a mapped file.

    Attributes:
        shape: rows and width.
    """

    def __init__(self, states: np.ndarray, centre: bool) -> None:
        """Read (n, d) float16 rows; `centre`: whether the mean of all is subtracted."""
        self._states = states
        self.shape = states.shape
        self._mean = np.zeros(self.shape[1], np.float32)
        if centre:
            total = np.zeros(self.shape[1])
            for start in range(0, len(self), CHUNK):
                total += states[start : start + CHUNK].sum(0, dtype=np.float64)
            self._mean = (total / len(self)).astype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def unit(self, rows: np.ndarray) -> np.ndarray:
        """(k, d) float32 unit vectors of rows; zero where a row is the mean itself."""
        found = np.asarray(self._states[rows], np.float32)
        found -= self._mean
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, norms, out=found, where=norms > 0)


def partition(
    embeddings: Embeddings, ranks: np.ndarray, cell_rows: int, seed: int
) -> list[np.ndarray]:
    """Rows of the pool in cells of at most `cell_rows`, each by rising rank; together all rows.

    Spherical k-means (cosine; SemDeDup's clusters), again within every part that is still too
    large. What it does not separate, such as equal rows, is cut by rank. Time is
    O(n d (rows / cell_rows)) up to 256 parts at once, then as many again a level; memory O(n)
    integers and the 256 x 256 rows that k-means learns from.

    Args:
        ranks: (n,) uint64 seeded hash ranks; they choose the rows that k-means learns from.
        seed: of the first centroids.
    """
    done: list[np.ndarray] = []
    waiting = [np.arange(len(embeddings))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= cell_rows:
            done.append(rows[np.argsort(ranks[rows], kind="stable")])
            continue
        labels = _labels(embeddings, rows, ranks, cell_rows, seed)
        sizes = np.bincount(labels)
        if sizes.max() > _STUCK * len(rows):
            rows = rows[np.argsort(ranks[rows], kind="stable")]
            parts = [rows[i : i + cell_rows] for i in range(0, len(rows), cell_rows)]
        else:
            ordered = rows[np.argsort(labels, kind="stable")]
            parts = np.split(ordered, np.cumsum(sizes[sizes > 0])[:-1])
        waiting += reversed(parts)
    sizes = np.array([len(cell) for cell in done])
    logger.info(
        "%d rows in %d cells of %d to %d", sizes.sum(), len(sizes), *np.sort(sizes)[[0, -1]]
    )
    return done


def _labels(
    embeddings: Embeddings, rows: np.ndarray, ranks: np.ndarray, cell_rows: int, seed: int
) -> np.ndarray:
    """(k,) int64 k-means parts of rows: twice as many as would just hold them, to fill few."""
    import faiss  # here, so that a selection without embeddings starts without it

    k = min(_BRANCHES, -(-2 * len(rows) // cell_rows), len(rows))
    size = min(len(rows), _SAMPLE * k)
    sample = np.sort(rows[np.argsort(ranks[rows], kind="stable")[:size]])
    kmeans = faiss.Kmeans(
        *(embeddings.shape[1], k),
        niter=_ROUNDS,
        seed=seed % 2**31,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=_SAMPLE,
    )
    kmeans.train(embeddings.unit(sample))
    chunks = np.split(rows, range(CHUNK, len(rows), CHUNK))
    return np.concatenate([kmeans.assign(embeddings.unit(chunk))[1] for chunk in chunks])


def walk(cells: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The cells one after another; the log says how far, how fast and how long still."""
    total, done, pace = sum(map(len, cells)), 0, Pace()
    for cell in cells:
        yield cell
        done += len(cell)
        if said := pace.due(done, total - done):
            logger.info("%d/%d rows, %.0f/s, %.0f s left", done, total, *said)
