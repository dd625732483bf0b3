"""Selection strategies: scores and groups in, a coreset of the budget out.

Every random choice is a seeded hash of the seq_id, so a coreset does not depend on row order. The
hash is salted by the selection's name, unless draws are shared: two random selections then share
what chance gives them. Memory is a few columns of the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.selection import embedding, grouped, matched, ranked
from coresift.selection.budgets import check_budgets
from coresift.selection.cci import draw_cci
from coresift.selection.draw import Draw, Strategy, draw_pool
from coresift.selection.errors import SelectionError
from coresift.selection.names import DECILES, Budget
from coresift.selection.request import Request
from coresift.selection.tables import CORESET
from coresift.tables import conform, read_columns

#: How each strategy of `names.STRATEGIES` draws.
DRAWS: Mapping[str, Strategy] = {
    "top_influence": ranked.highest,
    "bottom_influence": ranked.lowest,
    "top_length_rank": ranked.highest_for_length,
    "cci": draw_cci,
    "target": ranked.highest,
    "loss": ranked.highest,
    "loss_low": ranked.lowest,
    "loss_mid": ranked.middle,
    "grad_norm": ranked.highest,
    "error_norm": ranked.highest,
    **dict.fromkeys(DECILES, ranked.decile),
    "cluster_representative": grouped.representatives,
    "cluster_balanced": grouped.balanced,
    "cluster_sqrt": grouped.square_root,
    "cluster_cci": draw_cci,
    "group_balanced": grouped.balanced,
    "group_sqrt": grouped.square_root,
    "group_cci": draw_cci,
    "semdedup": embedding.semdedup,
    "facility_location": embedding.facility,
    "k_center": embedding.k_center,
    "d2": embedding.d2,
    "kmeans_cci": embedding.kmeans_cci,
    "random": ranked.anything,
    "random_x10": ranked.ten_times,
    "pool": ranked.whole_pool,
    "random_length": matched.same_lengths,
    "random_complexity": matched.same_complexity,
    "random_tokens": matched.same_residues,
    "random_groups": matched.same_groups,
    "random_kept": ranked.kept,
}


def ranked_pool(
    buckets: Sequence[str | Path],
    scores: Sequence[str | Path],
    features: Mapping[str, str | Path] | None = None,
) -> pl.DataFrame:
    """The pool as `select` reads it: seq_id, length, scores and features.

    Args:
        buckets: of the pool, in order.
        scores: tables of seq_id and one score each, in the same order.
        features: columns of `FEATURE` to the table that has them, in the same order.

    Raises:
        SelectionError: the scores are not those of this pool.
    """
    pool = pl.concat(iter_pool(buckets, ["seq_id", "length"]))
    tables: list[tuple[str | Path, list[str] | None]] = [(path, None) for path in scores]
    tables += [(path, ["seq_id", name]) for name, path in (features or {}).items()]
    for path, columns in tables:
        found = read_columns(path, columns)
        if not found["seq_id"].equals(pool["seq_id"]):
            raise SelectionError(
                f"{path}: scores of {found.height} sequences, which are not the pool's "
                f"{pool.height}; remove it to have it made again"
            )
        pool = pool.hstack(found.drop("seq_id"))
    return pool


def select(
    scores: pl.DataFrame,
    request: Request,
    budget: Budget,
    seed: int,
    groups: pl.DataFrame | None = None,
    reference: pl.DataFrame | None = None,
    states: np.ndarray | None = None,
) -> pl.DataFrame:
    """Draw a coreset (columns of `CORESET`, ordered by rank).

    Args:
        scores: columns seq_id, length, `request.score` and `request.feature`, any row order.
        request: the selection.
        budget: where the strategy's order is cut: at so many sequences, or at the sequence that
            brings residues nearest. random_x10, pool and matched selections take something else.
        seed: of the random strategies; it also breaks ties of the ranked ones.
        groups: columns seq_id and `request.by`, for strategies by group or cluster.
        reference: the coreset of `request.reference`, for matched strategies.
        states: (n, d) float16, embeddings in seq_id order, for strategies that read them.

    Raises:
        SelectionError: unknown strategy, budget above what there is, scores that are not finite, a
            seq_id twice, or what the strategy reads is missing.
    """
    if request.strategy not in DRAWS:
        raise SelectionError(f"unknown strategy {request.strategy!r}; allowed: {', '.join(DRAWS)}")
    check_budgets(np.bincount(scores["length"]), [budget], {request.name: request})
    pool = draw_pool(scores, groups, request, seed)
    if reference is not None:
        reference = pool.join(reference.select("seq_id"), on="seq_id", how="semi")
    chosen = DRAWS[request.strategy](Draw(pool, budget, seed, request, reference, states))
    defaults = {"stratum": pl.lit(-1), "weight": pl.lit(1.0)}
    new = [e.alias(name) for name, e in defaults.items() if name not in chosen.columns]
    return conform(chosen.with_columns(*new).with_row_index("rank"), CORESET)
