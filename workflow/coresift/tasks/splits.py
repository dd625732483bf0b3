"""The split of each example of a task: drawn, hashed, and without what test has as well.

Examples of one sequence, or of one pair of sequences, are copies of each other. Where both partners
are of one kind a pair and its reverse are copies too. Copies are in one split, whatever draws it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from coresift.hashing import uniform_hash
from coresift.tasks.notes import Notes, count
from coresift.tasks.readers.record import TaskDataError
from coresift.tasks.readers.settings import Draw, Sampled

SPLITS = ("train", "valid", "test")


def add_keys(frame: pl.DataFrame, symmetric: bool) -> pl.DataFrame:
    """Add `key`, equal for copies, and `ordered`, equal for those in one order of partners.

    Args:
        frame: columns sequence and partner ('' for one sequence).
        symmetric: a pair and its reverse are copies.
    """
    own, other = pl.col("sequence"), pl.col("partner")
    ordered = own + pl.lit("|") + other
    reverse = (own > other) if symmetric else pl.lit(False)
    key = pl.when(reverse).then(other + pl.lit("|") + own).otherwise(ordered)
    return frame.with_columns(key=key, ordered=ordered)


def drop_test_copies(frame: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """Leave train and valid examples out that test has as well, counted by split."""
    test = frame.filter(pl.col("split") == "test")
    other = pl.col("split") != "test"
    same = frame.select(other & pl.col("ordered").is_in(test["ordered"].implode())).to_series()
    found = frame.select(other & pl.col("key").is_in(test["key"].implode())).to_series()
    _count(frame.filter(same), "dropped_in_test", notes)
    _count(frame.filter(found & ~same), "dropped_reversed_in_test", notes)
    return frame.filter(~found)


def _count(rows: pl.DataFrame, name: str, notes: Notes) -> None:
    """Count examples by split."""
    for split, n in rows["split"].value_counts(sort=True).iter_rows():
        count(notes, split, name, n)


def hash_valid(frame: pl.DataFrame, fraction: float) -> pl.DataFrame:
    """A hashed share of train's distinct examples becomes valid."""
    ranks = uniform_hash(frame["key"].to_list(), 0, "valid") / np.float64(2**64)
    chosen = (pl.col("split") == "train") & pl.Series(ranks < fraction)
    return frame.with_columns(
        split=pl.when(chosen).then(pl.lit("valid")).otherwise(pl.col("split"))
    )


def draw_splits(frame: pl.DataFrame, draw: Draw) -> pl.DataFrame:
    """Draw test and valid by seeded hash, copies and groups whole; the rest is train.

    In the order of their hashes copies go to test while they fit into its number of examples, then
    to valid: examples without copies fill both exactly. A group, which may be large, goes to the
    one of them where more is left to fill, by share, of those that it fits into.

    Raises:
        TaskDataError: nothing is left for train, or nothing fits into test or valid.
    """
    test, valid = draw.counts(frame.height)
    if test + valid >= frame.height:
        raise TaskDataError(f"draw: {test} test and {valid} valid examples of {frame.height}")
    whole = frame["key"] if draw.group is None else _groups(frame)
    sizes = whole.value_counts(name="size").sort(whole.name)
    names, counts = sizes[whole.name].to_list(), sizes["size"].to_list()
    wanted, splits = {"test": test, "valid": valid}, ["train"] * len(names)
    left = dict(wanted)
    for i in np.argsort(uniform_hash(names, draw.seed, "draw"), kind="stable"):
        fitting = [split for split in left if counts[i] <= left[split]]
        if not fitting:
            continue
        grouped = draw.group is not None
        split = max(fitting, key=lambda s: left[s] / wanted[s]) if grouped else fitting[0]
        splits[i] = split
        left[split] -= counts[i]
    for split, n in wanted.items():
        if split not in splits:
            what = "copies" if draw.group is None else f"groups of {draw.group}"
            raise TaskDataError(
                f"draw: no whole {what} fit into {n} {split} examples of {frame.height}; the "
                f"smallest are {min(counts)}"
            )
    return frame.with_columns(split=whole.replace_strict(names, splits, return_dtype=pl.String))


def _groups(frame: pl.DataFrame) -> pl.Series:
    """Each example's group; groups that hold copies of one another are one, by the least name."""
    shared = frame.group_by("key").agg(pl.col("group").unique().sort())
    shared = shared.filter(pl.col("group").list.len() > 1).sort("key")
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while name in parents:
            name = parents[name]
        return name

    for names in shared["group"].to_list():
        first, *rest = sorted({root(name) for name in names})
        parents |= dict.fromkeys(rest, first)
    return frame["group"].replace({name: root(name) for name in parents})


def sample_splits(frame: pl.DataFrame, sample: Sampled, notes: Notes) -> pl.DataFrame:
    """A part of each split by seeded hash, in file order; what is left out is counted.

    Copies are in or out together: they are taken in the order of their hashes while they fit, so
    that a smaller number is a part of a larger one but for copies.
    """
    if sample.max_length is not None:
        length = pl.max_horizontal(pl.col("sequence", "partner").str.len_chars())
        frame = _keep(frame, length <= sample.max_length, "too_long_for_sample", notes)
    for split in SPLITS:
        most = getattr(sample, split)
        own = frame.filter(pl.col("split") == split)
        if most is None or own.height <= most:
            continue
        sizes = own["key"].value_counts(name="size").sort("key")
        keys, counts = sizes["key"].to_list(), sizes["size"].to_list()
        left, chosen = most, []
        for i in np.argsort(uniform_hash(keys, sample.seed, "sample"), kind="stable"):
            if counts[i] <= left:
                chosen.append(keys[i])
                left -= counts[i]
        inside = pl.col("key").is_in(pl.Series(chosen, dtype=pl.String).implode())
        frame = _keep(frame, (pl.col("split") != split) | inside, "not_in_sample", notes)
    return frame


def _keep(frame: pl.DataFrame, rows: pl.Expr, name: str, notes: Notes) -> pl.DataFrame:
    """The rows that hold; the others counted by split."""
    _count(frame.filter(~rows), name, notes)
    return frame.filter(rows)


def count_copies(frame: pl.DataFrame, notes: Notes, labels: bool) -> None:
    """Count, by split, examples beyond the first of their copies, and those of valid in train.

    Args:
        labels: count as well what is distinct but has copies with several labels.
    """
    for split in SPLITS:
        own = frame.filter(pl.col("split") == split)
        distinct = own.group_by("key").agg(pl.col("label").n_unique())
        count(notes, split, "copies", own.height - distinct.height)
        if split == "valid":
            both = own["key"].is_in(frame.filter(pl.col("split") == "train")["key"].implode())
            count(notes, split, "also_in_train", int(both.sum()))
        if labels:
            count(notes, split, "with_several_labels", int((distinct["label"] > 1).sum()))
