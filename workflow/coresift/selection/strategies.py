"""Selection strategies: scores in, a coreset of exactly the budget out.

Every random choice is a seeded hash of the seq_id, so a coreset does not depend on row order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import polars as pl

from coresift.hashing import uniform_hash
from coresift.selection.budgets import check_budgets
from coresift.selection.cci import draw_cci
from coresift.selection.errors import SelectionError
from coresift.selection.settings import Cci, Strategy
from coresift.selection.tables import CORESET
from coresift.settings import plain
from coresift.tables import conform, not_finite

#: Bins of equal count for random_length.
_LENGTH_BINS = 50


def select(
    scores: pl.DataFrame,
    strategy: str,
    budget: int,
    seed: int,
    cci: Mapping[str, Any] | None = None,
    reference: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Draw a coreset (columns of `CORESET`, ordered by rank).

    Args:
        scores: columns of `SCORE`, any row order.
        strategy: a name of `settings.Strategy`.
        budget: sequences to take; `random_tokens` matches tokens instead, see `_random_tokens`.
        seed: of the random strategies; it also breaks ties of the ranked ones.
        cci: values of `selection.settings.Cci`, for strategy cci; None = the defaults.
        reference: coreset that random_tokens and random_length are matched to.

    Raises:
        SelectionError: unknown strategy, budget above the pool, scores that are not finite,
            a seq_id twice, or a missing reference.
    """
    if strategy not in get_args(Strategy):
        allowed = ", ".join(get_args(Strategy))
        raise SelectionError(f"unknown strategy {strategy!r}; allowed: {allowed}")
    _check_scores(scores)
    options = plain(Cci()) if cci is None else cci
    check_budgets(scores.height, [budget], {strategy: (strategy, options)})
    pool = hash_ranked(scores, seed)
    if strategy == "cci":
        chosen = draw_cci(pool, budget, options)
    elif strategy in ("random_tokens", "random_length"):
        if reference is None:
            raise SelectionError(f"{strategy} needs a reference coreset to match")
        matched = pool.join(reference.select("seq_id"), on="seq_id", how="semi")
        matcher = _random_tokens if strategy == "random_tokens" else _random_length
        chosen = matcher(pool, matched)
    else:
        chosen = _RANKED[strategy](pool).head(budget)
    defaults = {"stratum": pl.lit(-1), "weight": pl.lit(1.0)}
    new = [e.alias(name) for name, e in defaults.items() if name not in chosen.columns]
    return conform(chosen.with_columns(*new).with_row_index("rank"), CORESET)


def hash_ranked(scores: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Scores in seq_id order with column hash_rank (UInt64), a seeded hash of the seq_id."""
    scores = scores.sort("seq_id")
    ranks = uniform_hash(scores["seq_id"].to_list(), seed, "select")
    return scores.with_columns(pl.Series("hash_rank", ranks, dtype=pl.UInt64))


def _check_scores(scores: pl.DataFrame) -> None:
    bad = not_finite(scores)
    if bad.height:
        names = ", ".join(bad["seq_id"].head(5))
        raise SelectionError(f"{bad.height} scores are NaN or infinite: {names}")
    if scores["seq_id"].n_unique() != scores.height:
        twice = scores.filter(pl.col("seq_id").is_duplicated())["seq_id"][0]
        raise SelectionError(f"seq_id {twice} is in the scores twice")


def _ranked(column: str, descending: bool) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def order(pool: pl.DataFrame) -> pl.DataFrame:
        return pool.sort(column, "hash_rank", "seq_id", descending=[descending, False, False])

    return order


#: Strategies that are a prefix of one order of the pool, and so nested in the budget.
_RANKED: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "random": _ranked("hash_rank", descending=False),
    "top_influence": _ranked("influence", descending=True),
    "bottom_influence": _ranked("influence", descending=False),
    "loss": _ranked("loss", descending=True),
    "grad_norm": _ranked("grad_norm", descending=True),
    "error_norm": _ranked("error_norm", descending=True),
}


def _random_tokens(pool: pl.DataFrame, reference: pl.DataFrame) -> pl.DataFrame:
    """A random prefix whose residues come nearest to the reference's: within half a sequence."""
    order = _RANKED["random"](pool)
    totals = np.concatenate(([0], order["length"].cast(pl.Int64).cum_sum().to_numpy()))
    target = int(reference["length"].cast(pl.Int64).sum())
    return order.head(max(1, int(np.abs(totals - target).argmin())))


def _random_length(pool: pl.DataFrame, reference: pl.DataFrame) -> pl.DataFrame:
    """Random within bins of length, as many from each bin as the reference has."""
    quantiles = np.linspace(0, 1, _LENGTH_BINS + 1)[:-1]
    lengths = reference["length"].to_numpy()
    # The last edge closes the range, so lengths the reference lacks fall into bins it lacks.
    edges = np.unique([*np.quantile(lengths, quantiles, method="nearest"), lengths.max() + 1])
    bins = pl.Series("bin", np.searchsorted(edges, pool["length"].to_numpy(), side="right"))
    wanted_bins = np.searchsorted(edges, lengths, side="right")
    wanted = pl.DataFrame({"bin": wanted_bins}).group_by("bin").len("wanted")
    ordered = _RANKED["random"](pool.with_columns(bins))
    position = pl.int_range(pl.len()).over("bin").alias("position")
    return (
        ordered.with_columns(position)
        .join(wanted, on="bin", maintain_order="left")
        .filter(pl.col("position") < pl.col("wanted"))
    )
