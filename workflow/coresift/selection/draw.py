"""What a strategy is given: the pool as one table, and what it asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from coresift.hashing import seeded_generator, uniform_hash
from coresift.selection.errors import SelectionError
from coresift.selection.names import Budget
from coresift.selection.request import Request


@dataclass(frozen=True)
class Draw:
    """One coreset to be drawn.

    Attributes:
        pool: in seq_id order, columns seq_id, length, hash_rank (UInt64, the selection's random
            order), score and feature (Float64, where the strategy reads one), group (UInt32, 0 to
            groups - 1, in the names' order), group_rank (UInt64, the groups' random order) and
            representative (whether it gives a cluster its name), where it reads groups.
        budget: how much to take of the strategy's order.
        seed: of every random choice.
        request: the selection.
        reference: the rows of the pool that are in the coreset to be matched, or None.
        states: (n, d) float16, embeddings of the pool in its order, or None.
    """

    pool: pl.DataFrame
    budget: Budget
    seed: int
    request: Request
    reference: pl.DataFrame | None = None
    states: np.ndarray | None = None

    def generator(self) -> np.random.Generator:
        """A stream of random numbers of this selection and seed."""
        return seeded_generator(self.seed, "select", self.request.salt)

    def take(self, order: pl.DataFrame) -> pl.DataFrame:
        """What the budget buys of an order of rows, see `prefix`."""
        return order.head(prefix(self.budget, order["length"].to_numpy()))

    def take_rows(self, rows: np.ndarray) -> pl.DataFrame:
        """The same of the pool's rows in the order of their numbers: only what is taken is read."""
        return self.pool[rows[: prefix(self.budget, self.pool["length"].to_numpy()[rows])]]


def prefix(budget: Budget, lengths: np.ndarray) -> int:
    """How many sequences of an order spend a budget: one at least, and at most what there is.

    Of residues it is the prefix whose sum comes nearest, within half of the sequence at its end;
    the shorter of two that are as near. O(n).

    Args:
        lengths: (n,) residues of each, in order.
    """
    if budget.unit == "sequences":
        return min(budget.amount, len(lengths))
    totals = np.cumsum(lengths, dtype=np.int64)
    reached = int(np.searchsorted(totals, budget.amount))  # the first that has them all
    if reached == len(totals):
        return reached
    below = totals[reached - 1] if reached else 0
    return max(1, reached + int(totals[reached] - budget.amount < budget.amount - below))


#: Rows whose ids are Python strings at one time.
_SLICE = 1 << 20

#: A strategy: rows of the pool by rank, at most one a sequence, with columns stratum and weight
#: where it has them.
Strategy = Callable[[Draw], pl.DataFrame]


def draw_pool(
    scores: pl.DataFrame, groups: pl.DataFrame | None, request: Request, seed: int
) -> pl.DataFrame:
    """The pool that a strategy sees, see `Draw`; O(n log n).

    Args:
        scores: columns seq_id, length, `request.score` and `request.feature`, any row order.
        groups: columns seq_id and `request.by`, the same sequences; no group is a group too.

    Raises:
        SelectionError: a score or feature that is not finite, a sequence twice, or groups of other
            sequences.
    """
    read = {"score": request.score, "feature": request.feature}
    columns = [_finite(scores, name).alias(key) for key, name in read.items() if name is not None]
    pool = scores.select("seq_id", "length", *columns)
    if not pool["seq_id"].is_sorted():
        pool = pool.sort("seq_id")
    twice = pool["seq_id"].head(-1).eq(pool["seq_id"].slice(1)).arg_true()
    if len(twice):
        raise SelectionError(f"seq_id {pool['seq_id'][twice[0]]} is in the scores twice")
    pool = pool.with_columns(_hashes(pool["seq_id"], seed, request.salt).alias("hash_rank"))
    return pool if request.by is None else _with_groups(pool, groups, request, seed)


def group_codes(names: pl.Series) -> np.ndarray:
    """(n,) uint32 from 0 in the order of the groups' names; no group counts as one without a name.

    O(n log n).
    """
    return (names.fill_null("").rank("dense") - 1).cast(pl.UInt32).to_numpy()


def by_hash(pool: pl.DataFrame) -> pl.DataFrame:
    """The pool in its random order."""
    return pool.sort("hash_rank", "seq_id")


def _hashes(keys: pl.Series, seed: int, salt: str) -> pl.Series:
    purpose = f"select {salt}" if salt else "select"
    slices = keys.to_frame().iter_slices(_SLICE)
    hashes = [uniform_hash(part.to_series().to_list(), seed, purpose) for part in slices]
    return pl.Series(np.concatenate(hashes), dtype=pl.UInt64)


def _finite(scores: pl.DataFrame, column: str) -> pl.Series:
    if column not in scores.columns:
        raise SelectionError(f"no score {column!r}; there are: {', '.join(scores.columns)}")
    values = scores[column].cast(pl.Float64)
    bad = scores["seq_id"].filter(~values.is_finite().fill_null(False))
    if len(bad):
        names = ", ".join(bad.head(5))
        raise SelectionError(f"{len(bad)} scores {column} are NaN, infinite or missing: {names}")
    return values


def _with_groups(
    pool: pl.DataFrame, groups: pl.DataFrame | None, request: Request, seed: int
) -> pl.DataFrame:
    by = request.by or ""
    if groups is None or by not in groups.columns:
        raise SelectionError(f"{request.name} needs groups by {by}")
    groups = groups.select("seq_id", by)
    if not groups["seq_id"].is_sorted():
        groups = groups.sort("seq_id")
    if not groups["seq_id"].equals(pool["seq_id"]):
        raise SelectionError(
            f"groups by {by} of {groups.height} sequences, scores of {pool.height}: not the same"
        )
    codes = pl.Series(group_codes(groups[by]))
    ranks = _hashes(groups[by].fill_null("").unique().sort(), seed, f"{request.salt} groups")
    representative = (groups["seq_id"] == groups[by]).fill_null(False)
    return pool.with_columns(
        group=codes, group_rank=ranks.gather(codes), representative=representative
    )
