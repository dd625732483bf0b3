"""Selections that compare sequences by their embeddings, cell by cell.

Cells (`cells.partition`) share no pair, so a greedy choice in one changes no gain in another: the
greedy order of the whole pool is the merger of the cells' own orders, and nothing larger than a
cell is in memory beyond some 50 bytes a row. What cells cost is the pairs across their borders.
Prefixes of these orders are the smaller budgets' coresets. One thread: the bits, and so the ties of
nearly equal sums, do not depend on the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from coresift.selection.cci import draw_cci
from coresift.selection.cells import Embeddings, partition, walk
from coresift.selection.draw import Draw
from coresift.selection.errors import SelectionError
from coresift.selection.neighbours import (
    facility_location,
    farthest_first,
    message_passing,
    nearest_before,
)

#: What `draw_cci` reads of a selection's options.
CCI_OPTIONS = ("prune_hard", "n_strata", "scale", "strata")
#: What is done in a cell: its unit vectors and rows of the pool -> their order, and a value each.
Greedy = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def semdedup(draw: Draw) -> pl.DataFrame:
    """Without semantic duplicates (SemDeDup, Abbas et al. 2023), see `nearest_before`.

    Rows at or below the threshold come first, by hash rank; so if more are left than the budget,
    chance decides. If fewer are left, the threshold is relaxed until the budget is met: of the
    removed rows those least like any before them follow. Time O(n cell_rows d), memory O(n) and
    1024 x cell_rows.
    """
    embeddings, ranks = _embeddings(draw), draw.pool["hash_rank"].to_numpy()
    largest = np.empty(len(embeddings), np.float32)
    with threadpool_limits(1):
        for cell in walk(_cells(draw, embeddings)):
            largest[cell] = nearest_before(embeddings.unit(cell))
    key = np.maximum(largest, np.float32(draw.request.options["threshold"]))
    return draw.take_rows(np.lexsort((ranks, key)))


def facility(draw: Draw) -> pl.DataFrame:
    """The most similar to all others together, see `facility_location`.

    Time O(n (cell_rows d + neighbours log cell_rows)), memory O(n) and cell_rows x neighbours.
    """
    k = draw.request.options["neighbours"]
    return _merged(draw, lambda units, rows: facility_location(units, k))


def k_center(draw: Draw) -> pl.DataFrame:
    """Each the farthest from those before it, see `farthest_first`.

    Distances are to centres of the same cell: a pool that is one cell gives the pool's own greedy
    k-centre; of a larger one the first row of every cell comes first, in the order of their hash
    ranks, and the guarantee holds in each cell. Time O(n cell_rows d), memory O(n) and
    cell_rows x d.
    """
    return _merged(draw, lambda units, rows: farthest_first(units))


def d2(draw: Draw) -> pl.DataFrame:
    """Difficult and unlike (D2 pruning, Maharana et al. 2023), see `message_passing`.

    The score is the difficulty; scores below zero (influence on a target) are all raised by the
    lowest, as the published code does with margins. Time O(n cell_rows (d + 1)), memory O(n) and
    cell_rows x d2_neighbours.
    """
    options = draw.request.options
    scores = draw.pool["score"].to_numpy()
    scores = scores - min(0.0, float(scores.min()))
    k, forward, reverse = (
        options[key] for key in ("d2_neighbours", "d2_gamma_forward", "d2_gamma_reverse")
    )
    return _merged(
        draw, lambda units, rows: message_passing(units, scores[rows], k, forward, reverse)
    )


def kmeans_cci(draw: Draw) -> pl.DataFrame:
    """CCI inside k-means cells, the budget shared in proportion to what is kept of each.

    As `cci.draw_cci` inside groups: a small pool that is one cell gives plain CCI. Time is that of
    the cells (`cells.partition`), memory O(n).
    """
    embeddings = _embeddings(draw)
    with threadpool_limits(1):
        cells = _cells(draw, embeddings)
    number = np.empty(len(embeddings), np.uint32)
    for i, cell in enumerate(cells):
        number[cell] = i
    first = draw.pool["hash_rank"].gather([int(cell[0]) for cell in cells])
    pool = draw.pool.with_columns(group=pl.Series(number), group_rank=first.gather(number))
    options = {key: draw.request.options[key] for key in CCI_OPTIONS}
    request = replace(draw.request, by="k-means cell", options=options)
    return draw_cci(replace(draw, pool=pool, request=request))


def merge_orders(
    orders: list[np.ndarray], values: list[np.ndarray], ranks: np.ndarray
) -> np.ndarray:
    """The rows of the cells' orders merged: always the largest value that is next.

    A value above the one before it in its own order (D2, below zero) is the largest of all when
    its turn comes, so it follows at once: rows are sorted by the smallest value so far, and ties
    between cells by the hash rank of the row that set it. O(n log n).

    Args:
        orders: rows of the pool in each cell's order.
        values: each row's value.
        ranks: (n,) uint64 hash ranks of the pool.
    """
    keys, heads = [], []
    for order, value in zip(orders, values, strict=True):
        key = np.minimum.accumulate(value)
        new = np.append(True, key[1:] < key[:-1])
        keys.append(key)
        heads.append(ranks[order][np.flatnonzero(new)[np.cumsum(new) - 1]])
    best = np.lexsort((np.concatenate(heads), -np.concatenate(keys)))  # stable: in its order
    return np.concatenate(orders)[best]


def _merged(draw: Draw, greedy: Greedy) -> pl.DataFrame:
    """Rows of the pool by a greedy order in each cell, merged."""
    embeddings, ranks = _embeddings(draw), draw.pool["hash_rank"].to_numpy()
    orders, values = [], []
    with threadpool_limits(1):
        for cell in walk(_cells(draw, embeddings)):
            order, value = greedy(embeddings.unit(cell), cell)
            orders.append(cell[order])
            values.append(value)
    return draw.take_rows(merge_orders(orders, values, ranks))


def _embeddings(draw: Draw) -> Embeddings:
    if draw.states is None:
        raise SelectionError(f"{draw.request.name} needs the embeddings of the pool")
    embeddings = Embeddings(draw.states, draw.request.options["centre"])
    if len(embeddings) != draw.pool.height:
        raise SelectionError(
            f"{draw.pool.height} sequences in the pool, {len(embeddings)} embeddings"
        )
    return embeddings


def _cells(draw: Draw, embeddings: Embeddings) -> list[np.ndarray]:
    ranks = draw.pool["hash_rank"].to_numpy()
    return partition(embeddings, ranks, draw.request.options["cell_rows"], draw.seed)
