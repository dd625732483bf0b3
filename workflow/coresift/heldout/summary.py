"""Held-out losses of several models, paired by sequence, summed up as the pool and over groups.

Every figure is a ratio of sums over sequences, so a bootstrap is a matrix product: see `summarise`
and `resampled`. What is drawn anew are clusters where the pool has any, with all their sequences,
as near-duplicates are no evidence of their own. Coreset seeds are columns: resample them by index
afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from coresift.hashing import seeded_generator
from coresift.heldout.masks import HeldOutError
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.tables import read_columns, read_table

#: A group of fewer sequences is not summed up by itself, see `group_codes`.
SMALLEST_GROUP = 10
#: Resamples whose counts are held in memory at once, times sequences.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class HeldOut:
    """Rows of one held-out set, n sequences by m models.

    Attributes:
        models: names of the m columns.
        n_masked: (n,) float64 masked places.
        loss: (n, m) float64 mean nats a masked place; NaN for a model without an LM head.
        accuracy: (n, m) float64 share of places predicted rightly.
        groups: (n,) int64 codes by grouping, -1 = in no group; see `group_codes`.
        units: (n,) int64 codes 0, 1, ... of what is resampled together: a cluster, or one sequence.
    """

    models: tuple[str, ...]
    n_masked: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    groups: Mapping[str, np.ndarray]
    units: np.ndarray

    @property
    def n_units(self) -> int:
        """How many independent parts the set has."""
        return int(self.units.max()) + 1

    @property
    def metrics(self) -> list[str]:
        """Names of the figures of `summarise`, the primary one first."""
        return ["loss", *(f"macro_{name}" for name in self.groups), "accuracy"]


def group_codes(labels: pl.Series, smallest: int = SMALLEST_GROUP) -> np.ndarray:
    """(n,) int64 codes 0, 1, ... of text labels, in sorted order of the labels.

    A mean over groups gives a group of one sequence the weight of a large one, and its noise. So
    groups of fewer than `smallest` sequences, and rows without a label, are one group together, the
    last; if that has too few as well its rows have code -1, unless there is no other group.
    """
    sizes = labels.alias("label").drop_nulls().value_counts(name="size")
    large = sizes.filter(pl.col("size") >= smallest)["label"].sort().to_list()
    rest = len(large)
    codes = labels.replace_strict(
        large, list(range(rest)), default=rest, return_dtype=pl.Int64
    ).fill_null(rest)
    found = codes.to_numpy().copy()
    if rest and (found == rest).sum() < smallest:
        found[found == rest] = -1
    return found


def unit_codes(rows: pl.DataFrame) -> np.ndarray:
    """(n,) int64 codes of the clusters of held-out sequences, in sorted order of their names.

    Args:
        rows: column seq_id and, where the pool has clusters, `cluster`; a sequence without one, as
            those of a user's file are, is one by itself.
    """
    names = [name for name in ("cluster", "seq_id") if name in rows.columns]
    keys = rows.select(pl.coalesce(names)).to_series()
    codes: np.ndarray = np.unique(keys.to_list(), return_inverse=True)[1]
    return codes


def read_held_out(losses: Mapping[str, str | Path], groups: str | Path) -> dict[str, HeldOut]:
    """Every held-out set by name, the columns being the models of `losses`.

    Args:
        losses: `HELD_OUT_LOSS` by model, all of the same rows.
        groups: columns set, seq_id and one of text a grouping; one that is null all over a set does
            not apply to it and is not among its groups.

    Raises:
        HeldOutError: tables that are not of the same rows and masks, or rows without groups.
    """
    tables = {name: read_table(path, HELD_OUT_LOSS) for name, path in losses.items()}
    first_name, first = next(iter(tables.items()))
    keys = ["set", "seq_id", "n_masked"]
    for name, table in tables.items():
        if not table.select(keys).equals(first.select(keys)):
            raise HeldOutError(
                f"{losses[name]}: not the rows and masks of {losses[first_name]}; not comparable"
            )
    labels = first.select(keys[:2]).join(
        read_columns(groups).with_columns(known=True),
        on=keys[:2], how="left", maintain_order="left",
    )  # fmt: skip
    if labels["known"].null_count():
        raise HeldOutError(f"{groups}: {labels['known'].null_count()} held-out rows are not in it")
    names = first["set"].unique(maintain_order=True).to_list()
    found = {}
    for name in names:
        rows = np.flatnonzero((first["set"] == name).to_numpy())
        own = labels[rows.tolist()].drop("set", "seq_id", "known")
        found[name] = HeldOut(
            tuple(tables),
            first["n_masked"].to_numpy()[rows].astype(np.float64),
            np.stack([t["loss"].to_numpy()[rows] for t in tables.values()], axis=1),
            np.stack([t["accuracy"].to_numpy()[rows] for t in tables.values()], axis=1),
            {s.name: group_codes(s) for s in own if s.null_count() < s.len()},
            unit_codes(labels[rows.tolist()]),
        )
    return found


def summarise(held_out: HeldOut, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Every figure of every model: (R, m) float64 by metric name (`HeldOut.metrics`).

    `loss` and `accuracy` are as the pool: means over masked places, so a sequence counts by its
    residues. `macro_{grouping}` is the unweighted mean over the groups of the grouping of the mean
    loss over a group's masked places. A group that a resample has nothing of counts as it is in the
    set: a mean over other groups would be another figure.

    Args:
        weights: (R, n) how often each sequence counts, the same for every model, so differences of
            columns are paired; None = once each, R = 1.
    """
    w = np.ones((1, len(held_out.n_masked))) if weights is None else np.asarray(weights, float)
    counted = w * held_out.n_masked
    total = counted.sum(1, keepdims=True)
    figures = {"loss": counted @ held_out.loss / total}
    for name, codes in held_out.groups.items():
        means = []
        for code in range(codes.max() + 1):
            rows = codes == code
            part, whole = counted[:, rows], held_out.n_masked[rows]
            part = np.where(part.any(1, keepdims=True), part, whole)
            means.append(part @ held_out.loss[rows] / part.sum(1, keepdims=True))
        figures[f"macro_{name}"] = np.mean(means, axis=0)
    figures["accuracy"] = counted @ held_out.accuracy / total
    return figures


def resample_counts(units: np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """(some, n) counts of n sequences in bootstrap samples of their units, `n_resamples` in all.

    Equal units and seed give equal samples; memory is bounded however many there are.

    Args:
        units: (n,) codes from 0 on, see `HeldOut.units`.
    """
    generator = seeded_generator(seed, "heldout_bootstrap")
    n_units, step = int(units.max()) + 1, max(1, _CHUNK // len(units))
    chances = np.full(n_units, 1 / n_units)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        yield generator.multinomial(n_units, chances, size=size)[:, units]


def resampled(held_out: HeldOut, n_resamples: int, seed: int) -> dict[str, np.ndarray]:
    """`summarise` of bootstrap samples of the units: (n_resamples, m) by metric name.

    The samples are the same for every model of a set: `values[:, i] - values[:, j]` are paired.
    """
    parts = [
        summarise(held_out, counts) for counts in resample_counts(held_out.units, n_resamples, seed)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
