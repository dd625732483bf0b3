"""One study of several runs: those beside it, and what an earlier page has and is here no more.

A page's folder outlives the results it was made of, those of another machine or of a disk that was
wiped: a study goes on from it, and only what is missing is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from coresift.report.controls import UNIGRAM
from coresift.study.book import SCORED, TRAINED, Book, differing
from coresift.study.cells import HELD_OUT

#: What figures are of: several metrics, evaluation seeds.
_OF = ["variant", "task", "model"]


class JoinError(ValueError):
    """Figures that cannot stand on one page; the message says whose and why."""


def joined(parts: Mapping[str, tuple[pl.DataFrame, Mapping[str, Any]]]) -> Book:
    """One study of several runs.

    Args:
        parts: figures and facts by variant, "" the study's own first.

    Raises:
        JoinError: a variant was tested on other held-out sequences or masks.
    """
    for name, (table, _) in parts.items():
        _check_letters(f"study.beside.{name}", parts[""][0], table)
    runs = [table.with_columns(variant=pl.lit(name)) for name, (table, _) in parts.items()]
    return Book(pl.concat(runs), {name: facts for name, (_, facts) in parts.items()})


def with_kept(book: Book, kept: Book) -> Book:
    """A study with what an earlier page of it has and it has not: models, runs beside, checks.

    Of a model on a task the study's own figures count, if it has any. Seconds of jobs are added.

    Args:
        kept: what the earlier page was made of.

    Raises:
        JoinError: it was made with another pool, training or scores, or tested on other held-out
            sequences, masks or resamples.
    """
    other = differing(kept.own, book.own, (*TRAINED, *SCORED))
    if other:
        raise JoinError(f"study.kept: made with another {', '.join(other)} than this study")
    _check_letters("study.kept", book.main, kept.main)
    beside = [label for label in kept.facts if label and label not in book.facts]
    asked = kept.runs.filter(pl.col("variant").is_in(["", *beside]))
    new = asked.join(book.runs.select(_OF).unique(), on=_OF, how="anti", maintain_order="left")
    own = {
        **book.own,
        "times": _added(kept.own["times"], book.own["times"]),
        "validate": {**kept.own["validate"], **book.own["validate"]},
        "trainings": _of_tasks(book.own["trainings"], kept.own["trainings"]),
        "identity": {
            name: _of_tasks(rows, kept.own["identity"][name])
            for name, rows in book.own["identity"].items()
        },
        "kept": {
            "models": new.filter(HELD_OUT, pl.col("variant") == "")["model"].n_unique(),
            "commit": kept.own["commit"],
        },
    }
    facts = {**book.facts, "": own, **{label: kept.facts[label] for label in beside}}
    return Book(_ordered(pl.concat([book.runs, new]), asked), facts)


def _ordered(runs: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Figures in the order of others, which a page's tables keep; those of no other last."""
    each = [*_OF, "metric", "eval_seed"]
    keys = pl.concat([first.select(each), runs.select(each)]).unique(maintain_order=True)
    placed = runs.join(keys.with_row_index("place"), on=each, how="left", maintain_order="left")
    return placed.sort("place", maintain_order=True).drop("place")


def _of_tasks(own: list[dict[str, Any]], kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table by task: of a task that the study has, its own."""
    tasks = {row["task"] for row in own}
    return [*own, *(row for row in kept if row["task"] not in tasks)]


def _added(
    one: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Sums of jobs and seconds by rule."""
    return {
        rule: dict(Counter(one.get(rule, {})) + Counter(other.get(rule, {})))
        for rule in dict.fromkeys([*one, *other])
    }


def _check_letters(who: str, own: pl.DataFrame, found: pl.DataFrame) -> None:
    """Whether letter frequencies have the same losses: they hang on held-out sets and masks alone.

    Raises:
        JoinError: they have not.
    """
    ours, theirs = _letters(own), _letters(found)
    keys = ["task", "metric", "n_examples"]
    # A sum's last bits hang on how many models were summed beside it.
    if not (
        theirs.select(keys).equals(ours.select(keys))
        and np.allclose(theirs["value"], ours["value"], rtol=1e-9)
        and np.allclose(_resamples(theirs), _resamples(ours), rtol=1e-6)
    ):
        raise JoinError(
            f"{who}: other held-out sequences, masks or resamples than the study's own, so that no "
            "model of it can be compared; make it with the same corpus, seed and code"
        )


def _letters(runs: pl.DataFrame) -> pl.DataFrame:
    """What letter frequencies reach on held-out sets."""
    own = runs.filter(HELD_OUT, pl.col("model") == UNIGRAM)
    return own.sort("task", "metric")


def _resamples(letters: pl.DataFrame) -> np.ndarray:
    """All bootstrap values, one after another."""
    return letters["resamples"].drop_nulls().explode().to_numpy()
