"""One study of several runs: those beside it, and what an earlier page has and is here no more.

A page's folder outlives the results it was made of, those of another machine or of a disk that was
wiped: a study goes on from it, and only what is missing is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import polars as pl

from coresift.report.controls import UNIGRAM
from coresift.study.book import SCORED, TRAINED, Book, differing
from coresift.study.cells import HELD_OUT

#: Sections of a configuration that all figures hang on; of `tasks` each task's own do.
FIGURES = (*TRAINED, *SCORED, "selection", "evaluate", "validate")
#: Keys in them that say what is made and in how many jobs, not what a figure is.
NOT_FIGURES = {
    "influence": {"shards", "fisher_shards"},
    "selection": {"strategies", "controls", "budgets", "seeds"},
    "evaluate": {"checkpoints"},
    "validate": {"jobs"},
}


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
    return Book(pl.concat(runs), {name: facts for name, (_, facts) in sorted(parts.items())})


def with_kept(book: Book, kept: Book) -> Book:
    """A study with what an earlier page of it has and it has not: models, runs beside, checks.

    A model that is here is no other's: none of its figures is taken, of no task either. Nor are
    figures of a task that there is no more, or that has other settings here.

    Args:
        kept: what the earlier page was made of, which may have been joined so itself.

    Raises:
        JoinError: it was made of another pool, or with other settings of what a figure hangs on, or
            tested on other held-out sequences, masks or resamples.
    """
    beside = book.study["beside"]
    labels = [label for label in kept.facts if beside.get(label, label) is not None]
    for label in labels:
        if label in book.facts:
            _check_same(label, kept.facts[label], book.facts[label])
    _check_letters("study.kept", book.main, kept.main)
    others = _other_tasks(kept.own, book.own)
    asked = kept.runs.filter(pl.col("variant").is_in(labels), ~pl.col("task").is_in(others))
    new = _missing(asked, book.runs)
    facts = {**book.facts}
    for label in labels:
        taken = set(new.filter("drawn", pl.col("variant") == label)["model"].to_list())
        own, earlier = book.facts.get(label), _without(kept.facts[label], others)
        facts[label] = earlier if own is None else _both(own, earlier, taken)
    return Book(_ordered(pl.concat([book.runs, new]), asked), dict(sorted(facts.items())))


def _check_same(label: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Whether figures of two runs are of the same things.

    Raises:
        JoinError: they are not.
    """
    found = differing(one, other, FIGURES, NOT_FIGURES)
    found += [name for name in ("sources", "pool") if one[name] != other[name]]
    if found:
        who = f"run beside {label}" if label else "study"
        raise JoinError(f"study.kept: made with another {', '.join(found)} than this {who}")


def _other_tasks(kept: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """The tasks of an earlier page that the study has not, or with other settings."""
    theirs, ours = kept["config"]["tasks"], own["config"]["tasks"]
    both = [name for name in theirs if name in ours]
    changed = differing({"config": theirs}, {"config": ours}, both, {})
    return [name for name in theirs if name not in both or name in changed]


def _without(facts: Mapping[str, Any], tasks: Collection[str]) -> dict[str, Any]:
    """Facts of a run without what they say of some tasks."""

    def left(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if row["task"] not in tasks]

    identity = {name: left(rows) for name, rows in facts["identity"].items()}
    return {**facts, "trainings": left(facts["trainings"]), "identity": identity}


def _missing(kept: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """Figures of models that have none of their own; by task of what nothing trained.

    Those are baselines, and weights at their start, which the seed alone gives.
    """
    trained = pl.col("drawn") & ~pl.col("model").str.starts_with("untrained-")
    by_model, by_task = ["variant", "model"], ["variant", "task", "model"]
    models = kept.filter(trained).join(own.filter(trained), on=by_model, how="anti")
    return pl.concat([models, kept.filter(~trained).join(own, on=by_task, how="anti")])


def _both(
    own: Mapping[str, Any], kept: Mapping[str, Any], taken: Collection[str]
) -> dict[str, Any]:
    """Facts of a run with those of an earlier page, of which some models are taken."""
    return {
        **own,
        "validate": {**kept["validate"], **own["validate"]},
        "trainings": _merged(own["trainings"], kept["trainings"]),
        "identity": {
            name: _merged(rows, kept["identity"][name]) for name, rows in own["identity"].items()
        },
        "kept": _gathered(kept, taken, set(kept["validate"]) - set(own["validate"])),
    }


def _merged(own: list[dict[str, Any]], kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table of tasks: the study's own, and of others those it has not."""

    def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in ("task", "protocol", "selection", "against"))

    known = set(map(key, own))
    return [*own, *(row for row in kept if key(row) not in known)]


def _gathered(
    kept: Mapping[str, Any], taken: Collection[str], checks: Collection[str]
) -> dict[str, dict[str, Any]]:
    """By commit of an earlier page: which models and checks are of it, and seconds of its jobs."""
    found = {
        commit: {
            "models": [m for m in part["models"] if m in taken],
            "checks": [c for c in part["checks"] if c in checks],
            "times": part["times"],
        }
        for commit, part in kept.get("kept", {}).items()
    }
    earlier = {m for part in found.values() for m in part["models"]}
    of_earlier = {c for part in found.values() for c in part["checks"]}
    commit = kept["commit"] or "an unknown commit"
    before = found.get(commit, {"models": [], "checks": []})
    found[commit] = {
        "models": sorted([*before["models"], *(m for m in taken if m not in earlier)]),
        "checks": sorted([*before["checks"], *(c for c in checks if c not in of_earlier)]),
        "times": kept["times"],
    }
    return {commit: part for commit, part in found.items() if part["models"] or part["checks"]}


def _ordered(runs: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Figures in the order of others, which a page's tables keep; those of no other last."""
    each = ["variant", "task", "model", "metric", "eval_seed"]
    keys = pl.concat([first.select(each), runs.select(each)]).unique(maintain_order=True)
    placed = runs.join(keys.with_row_index("place"), on=each, how="left", maintain_order="left")
    return placed.sort("place", maintain_order=True).drop("place")


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
        and _resamples(theirs).shape == _resamples(ours).shape
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
