"""Removal of pool sequences that share k-mers with a task's held-out examples.

Containment of a pool sequence p in an example t is |K(p) & K(t)| / min(|K(p)|, |K(t)|) over the
sets of distinct k-mers, so a fragment of an example and an example inside a longer sequence are
both found. One strand only: the models read one strand.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.corpus.kmers import KmerIndex
from coresift.corpus.tables import REMOVED
from coresift.dag.pace import Pace
from coresift.tables import conform

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExampleIndex:
    """K-mer index of held-out examples.

    Attributes:
        examples: columns task, task_id, in that order; row i is sequence i of the index.
        kmers: their k-mers.
    """

    examples: pl.DataFrame
    kmers: KmerIndex

    @classmethod
    def build(cls, examples: pl.DataFrame, k: int) -> ExampleIndex:
        """Index examples (columns task, task_id, sequence; normalised)."""
        rows = examples.sort("task", "task_id", maintain_order=True)
        return cls(rows.select("task", "task_id"), KmerIndex(rows["sequence"].to_list(), k))


def least_shared(sizes: np.ndarray, threshold: float, least: int) -> np.ndarray:
    """(n,) int64 k-mers that a sequence of that many must share for a containment of `threshold`.

    At least `least`, so that a short sequence is not found by chance.
    """
    of = np.maximum(sizes, 1)
    need = np.ceil(threshold * of).astype(np.int64)
    # The product is rounded: the quotient decides.
    need -= (need - 1) / of >= threshold
    return np.maximum(need, max(least, 1))


def contaminated(
    pool: pl.DataFrame, protected: ExampleIndex, threshold: float, least: int
) -> pl.DataFrame:
    """Pool sequences whose containment in an example reaches `threshold` (columns of `REMOVED`).

    The example of the highest containment is named; ties go to the first in (task, task_id) order.

    Args:
        pool: columns seq_id, sequence.
        least: k-mers that must be shared whatever the threshold.
    """
    of_example = least_shared(protected.kmers.sizes, threshold, least)
    lowest = of_example.min(initial=np.iinfo(np.int64).max)
    found: list[np.ndarray] = []
    pace = Pace()
    for start, sizes, shared in protected.kmers.counts(pool["sequence"].to_list()):
        of_pool = least_shared(sizes, threshold, least)
        maybe = np.flatnonzero(shared >= min(lowest, of_pool.min()))
        rows, examples = np.divmod(maybe, shared.shape[1])
        n = shared.ravel()[maybe]
        # What the shorter of two must share is the lesser of what either must.
        enough = n >= np.minimum(of_pool[rows], of_example[examples])
        rows, examples, n = rows[enough], examples[enough], n[enough]
        share = n / np.minimum(sizes[rows], protected.kmers.sizes[examples])
        order = np.lexsort((examples, -share, rows))
        first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
        found.append(np.stack([rows[first] + start, examples[first], share[first]]))
        done = start + len(sizes)
        if due := pace.due(done, pool.height - done):
            logger.info("%d of %d sequences, %.0f/s, %.0f s left", done, pool.height, *due)
    rows, examples, share = np.concatenate([np.empty((3, 0)), *found], axis=1)
    named = protected.examples[examples.astype(np.int64)]
    ids = pool.select("seq_id")[rows.astype(np.int64)]
    removed = pl.concat([ids, named], how="horizontal")
    logger.info("%d of %d sequences removed", removed.height, pool.height)
    return conform(
        removed.with_columns(containment=pl.Series(share, dtype=pl.Float64), identity=None), REMOVED
    ).sort("seq_id")
