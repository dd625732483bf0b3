"""What selections do source by source: a secondary outcome, no claim rests on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from coresift.report.controls import row_of
from coresift.study.book import DECISIVE, FINAL, POOL_SET, SCALING, Book, title_of
from coresift.study.cells import by_budget
from coresift.study.tables import MACRO
from coresift.study.words import listed, table_lines
from coresift.tables import Schema

#: Gain over random on one source (a CSV file).
BY_SOURCE: Schema = {
    "round": pl.String,
    "selection": pl.String,
    "budget": pl.String,
    "source": pl.String,
    "seeds": pl.Int64,
    "gain": pl.Float64,  # random's mean loss minus the selection's, nats a masked place
    "low": pl.Float64,  # Welch's interval over seeds, of one comparison; null with one seed
    "high": pl.Float64,
}
#: One source is said to decide if its loss explains more than this of the variance of an outcome
#: between random's models, and scatters this many times as far as any other's.
_DECIDES, _TIMES = 0.5, 3.0
_LEAST_MODELS = 5


@dataclass(frozen=True)
class Deciding:
    """A source on which alone random's models differ.

    Attributes:
        share: of the variance of each outcome between the models of random (R^2), by task.
        scatter: standard deviation of its loss between them, nats. rest: the largest of others.
        models: of random.
    """

    source: str
    budget: str
    share: dict[str, float]
    scatter: float
    rest: float
    models: int


def _losses(book: Book) -> pl.DataFrame:
    """Columns model, row, source, loss: of every model of the study's own run that was trained."""
    trained = book.group_losses("").filter(pl.col("model").is_in(book.done))
    return trained.rename({"group": "source"})


def deciding(book: Book, budget: str) -> Deciding | None:
    """The source whose loss tells random's models at a budget apart, if it is one alone."""
    row = f"random-{budget}"
    wide = _losses(book).filter(pl.col("row") == row).pivot("source", index="model", values="loss")
    if wide.height < _LEAST_MODELS or wide.width < 4:
        return None
    scatter = {name: float(wide[name].to_numpy().std(ddof=1)) for name in wide.columns[1:]}
    (first, most), (_, rest), *_ = sorted(scatter.items(), key=lambda item: -item[1])
    asked = pl.col("task").is_in([POOL_SET, POOL_SET + MACRO])
    outcomes = book.main.filter("primary", asked, pl.col("model").is_in(wide["model"].to_list()))
    share = {}
    for (task,), rows in outcomes.group_by("task", maintain_order=True):
        whole = wide.select("model").join(rows, on="model", maintain_order="left")["value"]
        share[str(task)] = float(np.corrcoef(wide[first].to_numpy(), whole.to_numpy())[0, 1] ** 2)
    if max(share.values()) <= _DECIDES or most < _TIMES * rest:
        return None
    return Deciding(first, budget, share, most, rest, wide.height)


def by_source(book: Book, part: str) -> pl.DataFrame:
    """Gains over random of a round's selections and what is matched to them (`BY_SOURCE`).

    Where one source decides (`deciding`), the unweighted mean over the others is a source as well.
    """
    planned = book.rounds[part]
    losses = _losses(book).filter(pl.col("model").is_in(planned.coresets()))
    rows = []
    for budget in map(str, planned.budgets):
        found = deciding(book, budget)
        own = losses.filter(by_budget(losses["row"]) == budget)
        if found is not None:
            rest = own.filter(pl.col("source") != found.source)
            means = rest.group_by("model", "row", maintain_order=True).agg(pl.col("loss").mean())
            name = pl.lit(all_but(found.source))
            own = pl.concat([own, means.select("model", "row", name.alias("source"), "loss")])
        random = own.filter(pl.col("row") == f"random-{budget}")
        for (row, source), values in own.group_by("row", "source", maintain_order=True):
            control = random.filter(pl.col("source") == source)["loss"]
            if row == f"random-{budget}" or not len(control):
                continue
            rows.append(
                {
                    **{"round": part, "selection": row_of(str(row)).selection, "budget": budget},
                    **{"source": source, "seeds": values.height},
                    **_gain(control.to_numpy(), values["loss"].to_numpy(), 1 - book.level),
                }
            )
    return pl.DataFrame(rows, schema=dict(BY_SOURCE))


def _gain(control: np.ndarray, values: np.ndarray, confidence: float) -> dict[str, float | None]:
    """Difference of means and Welch's interval."""
    found: dict[str, float | None] = {"gain": float(control.mean() - values.mean())}
    if min(len(control), len(values)) < 2:
        return {**found, "low": None, "high": None}
    interval = stats.ttest_ind(control, values, equal_var=False).confidence_interval(confidence)
    return {**found, "low": float(interval.low), "high": float(interval.high)}


def all_but(source: str) -> str:
    """The name of the mean over all other sources."""
    return f"all but {source}"


def sources_in_short(book: Book) -> Iterator[str]:
    """Where one source decides, what is gained over random on the others, and on it.

    Of the rounds that count, and along the curve.
    """
    parts = [part for part in (*DECISIVE, SCALING) if part in book.started]
    gained = [by_source(book, part) for part in parts]
    if not gained:
        return
    for (budget,), of_budget in pl.concat(gained).group_by("budget", maintain_order=True):
        found = deciding(book, str(budget))
        if found is None:
            continue
        said = [
            _beside_it(found, str(part), rows)
            for (part,), rows in of_budget.group_by("round", maintain_order=True)
        ]
        yield f"- {_decides(found)} {' '.join(said)}"


def _beside_it(found: Deciding, part: str, rows: pl.DataFrame) -> str:
    """What a round gains on the other sources and on the one that decides."""
    rest, it = (
        listed(_gains_shown(rows.filter(pl.col("source") == name)))
        for name in (all_but(found.source), found.source)
    )
    return (
        f"Over the other sources, gain over random-{found.budget} (round `{part}`, exploratory): "
        f"{rest}; on {found.source}: {it}."
    )


def _gains_shown(rows: pl.DataFrame) -> list[str]:
    """Gains on one source, of what has a column on the page."""
    return [
        f"{row['selection']} {_interval(row)}{_best_matched(rows, row)}"
        for row in rows.to_dicts()
        if _is_shown(row["selection"])
    ]


def _is_shown(selection: str) -> bool:
    """Whether a selection is a column of the page: controls that are matched are in the file."""
    row = row_of(f"{selection}-1")
    return row.kind == "random_x10" or not row.is_control


def _best_matched(rows: pl.DataFrame, row: Mapping[str, Any]) -> str:
    """The gain of the best of what is matched to a selection that gains itself."""
    if row["low"] is None or row["low"] <= 0:
        return ""
    matched = [
        r for r in rows.to_dicts() if row_of(f"{r['selection']}-1").matched_to == row["selection"]
    ]
    if not matched:
        return ""
    best = max(matched, key=lambda r: float(r["gain"]))
    return f" (its {row_of(best['selection'] + '-1').kind} {best['gain']:z.3f})"


def _decides(found: Deciding) -> str:
    shares = [f"{share:.0%} of the variance of {title_of(t)}" for t, share in found.share.items()]
    return (
        f"One source decides at {found.budget}: between the {found.models} models of random the "
        f"loss on {found.source} scatters by {found.scatter:.3f} nats, no other's by more than "
        f"{found.rest:.3f}, and explains {listed(shares)}."
    )


def _interval(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['gain']:z.3f}"
    return f"{row['gain']:z.3f} [{row['low']:z.3f}, {row['high']:z.3f}]"


def source_lines(book: Book) -> Iterator[str]:
    """Gains over random by source, of the round that counts or the last one."""
    compared = [name for name in book.started if not book.rounds[name].tasks]
    part = FINAL if FINAL in compared else next(reversed(compared), None)
    whole = by_source(book, part) if part else pl.DataFrame(schema=dict(BY_SOURCE))
    table = whole.filter(pl.col("selection").map_elements(_is_shown, pl.Boolean))
    if not table.height:
        yield "No selection has been run, or the held-out sequences have no groups."
        return
    yield (
        f"Secondary, no claim rests on it. Round `{part}`: gains over random in nats, with "
        "intervals over seeds, one at a time, not corrected. The loss of the pool counts sources "
        "by their masked places, the mean over groups counts them alike (matched controls, other "
        "rounds: sources.csv).\n"
    )
    for (budget,), rows in table.group_by("budget", maintain_order=True):
        found = deciding(book, str(budget))
        if found is not None:
            yield (
                f"{_decides(found)} `{all_but(found.source)}` is the unweighted mean over the "
                "others, looked at once this was seen.\n"
            )
        cells = [_interval(row) for row in rows.to_dicts()]
        yield from table_lines(
            rows.with_columns(cell=pl.Series(cells, dtype=pl.String)).pivot(
                "selection", index=["budget", "source"], values="cell"
            )
        )
