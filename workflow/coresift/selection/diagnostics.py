"""What a coreset looks like beside its pool and its rivals.

A coreset is given as (n,) bool over the pool's n sequences: whether it took each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from coresift.selection.cci import has_logarithms, pool_strata
from coresift.selection.draw import draw_pool
from coresift.selection.request import Request


def taken(seq_ids: pl.Series, coresets: Mapping[str, pl.DataFrame]) -> dict[str, np.ndarray]:
    """What each coreset (columns of `CORESET`) takes of a pool, by name."""
    return {n: seq_ids.is_in(frame["seq_id"].implode()).to_numpy() for n, frame in coresets.items()}


def overlap_matrix(coresets: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Shared sequences and Jaccard index of every pair: columns a, b, shared, jaccard."""
    bits = {name: np.packbits(mask) for name, mask in coresets.items()}
    sizes = {name: int(np.count_nonzero(mask)) for name, mask in coresets.items()}
    rows = []
    for a, a_bits in bits.items():
        for b, b_bits in bits.items():
            shared = int(np.bitwise_count(a_bits & b_bits).sum())
            rows.append((a, b, shared, shared / (sizes[a] + sizes[b] - shared)))
    return pl.DataFrame(rows, schema=["a", "b", "shared", "jaccard"], orient="row")


def stratum_coverage(
    scores: pl.DataFrame, score: str, coresets: Mapping[str, np.ndarray], cci: Mapping[str, Any]
) -> pl.DataFrame:
    """How much of each CCI stratum of a score a coreset takes, whatever strategy drew it.

    Args:
        scores: columns seq_id, length and `score`, in seq_id order.
        coresets: by name, over the rows of `scores`.
        cci: values of `selection.settings.Cci`.

    Returns:
        Columns score (its name), coreset, stratum (PRUNED first, then from the lowest score up),
        lowest (score of the stratum), pool (its sequences), taken and scale: that of `cci`, but
        rank where it is log and the score has values that are not positive. Empty strata have no
        row.
    """
    pool = draw_pool(scores, None, Request("", "cci", score), 0)
    scale = "rank" if cci["scale"] == "log" and not has_logarithms(pool) else cci["scale"]
    pool = (
        pool_strata(pool, **{**cci, "scale": scale})
        .select("seq_id", "score", "stratum")
        .sort("seq_id")
    )
    strata = pool.group_by("stratum").agg(
        pl.col("score").min().alias("lowest"), pl.len().alias("pool")
    )
    frames = []
    for name, mask in coresets.items():
        counts = pool.filter(pl.Series(mask)).group_by("stratum").len("taken")
        rows = strata.join(counts, on="stratum", how="left").sort("stratum")
        frames.append(rows.select(pl.lit(score).alias("score"), pl.lit(name).alias("coreset"), "*"))
    return pl.concat(frames).with_columns(pl.col("taken").fill_null(0), scale=pl.lit(scale))


def distances(values: np.ndarray, coresets: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Two-sample Kolmogorov-Smirnov statistic of each coreset's values against the pool's.

    The pool is sorted once: O(n log n) and O(n) more for each coreset.

    Args:
        values: (n,) of the pool.
    """
    order = np.argsort(values)
    ends = np.flatnonzero(np.diff(values[order], append=np.nan) != 0)  # the last of each tie
    whole = (ends + 1) / len(values)
    found = {}
    for name, mask in coresets.items():
        share = np.cumsum(mask[order])[ends] / np.count_nonzero(mask)
        found[name] = float(np.abs(share - whole).max())
    return found


def total_variation(codes: np.ndarray, coresets: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Half the sum over groups of |share of the coreset - share of the pool|: 0 to 1.

    Args:
        codes: (n,) integer from 0, the group of each sequence.
    """
    size = int(codes.max()) + 1
    whole = np.bincount(codes, minlength=size) / len(codes)
    return {
        name: float(np.abs(np.bincount(codes[m], minlength=size) / m.sum() - whole).sum() / 2)
        for name, m in coresets.items()
    }


def drift(
    pool: pl.DataFrame,
    measures: list[str],
    groups: Mapping[str, np.ndarray],
    coresets: Mapping[str, np.ndarray],
) -> pl.DataFrame:
    """How far the coresets are from the pool: one row a coreset.

    Args:
        pool: column length and the measures, one row a sequence.
        measures: columns that are compared.
        groups: by grouping, the codes of `total_variation`.

    Returns:
        Columns coreset, sequences, residues; of each measure mean_, pool_mean_ and _ks, see
        `distances`; of each grouping _tv.
    """
    residues = pool["length"].cast(pl.Int64).to_numpy()
    columns: dict[str, list[Any]] = {
        "coreset": [*coresets],
        "sequences": [int(mask.sum()) for mask in coresets.values()],
        "residues": [int(residues[mask].sum()) for mask in coresets.values()],
    }
    for measure in measures:
        values = pool[measure].cast(pl.Float64).to_numpy()
        columns[f"mean_{measure}"] = [float(values[mask].mean()) for mask in coresets.values()]
        columns[f"pool_mean_{measure}"] = [float(values.mean())] * len(coresets)
        columns[f"{measure}_ks"] = [*distances(values, coresets).values()]
    for grouping, codes in groups.items():
        columns[f"{grouping}_tv"] = [*total_variation(codes, coresets).values()]
    return pl.DataFrame(columns)
