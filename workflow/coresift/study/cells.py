"""Between the cells of a report and the rows of a study's table: one undoes the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from coresift.report.cells import Cell
from coresift.report.controls import row_of
from coresift.study.settings import Round
from coresift.study.tables import CORESET_TRAITS, RUN

#: The rows of a study's table, or of comparisons, on held-out sets.
HELD_OUT = pl.col("task").str.starts_with("heldout_")
#: The row of a report that a model is one seed of.
ROW = pl.col("model").str.replace(r"-s\d+$", "")


def runs_of(cell: Cell, models: Sequence[str]) -> pl.DataFrame:
    """Columns of `RUN`.

    Args:
        models: names of the cell's models, one a coreset seed.
    """

    def rows() -> Iterator[dict[str, object]]:
        for metric, values in cell.metrics.items():
            primary = metric == cell.primary
            for place, model in enumerate(models):
                for number, value in enumerate(values[place]):
                    first = primary and number == 0
                    yield {
                        **{"variant": "", "task": cell.task, "protocol": cell.protocol},
                        **{"model": model, "metric": metric, "primary": primary},
                        **{"eval_seed": number, "value": value},
                        **{"drawn": cell.drawn, "n_examples": cell.n_examples},
                        "resamples": cell.resamples[place].tolist() if first else None,
                    }

    return pl.DataFrame(rows(), schema=dict(RUN))


def cells_of(runs: pl.DataFrame) -> list[Cell]:
    """The cells that the rows of one variant make up, tasks and rows in their order.

    Args:
        runs: columns of `RUN`.
    """
    outcomes = runs.filter(pl.col("task") != CORESET_TRAITS).with_columns(row=ROW)
    groups = outcomes.group_by("task", "row", maintain_order=True)
    return [_cell(str(task), str(row), part) for (task, row), part in groups]


def _cell(task: str, row: str, part: pl.DataFrame) -> Cell:
    metrics: dict[str, list[list[float]]] = {}
    for (metric, _), values in part.group_by("metric", "model", maintain_order=True):
        metrics.setdefault(str(metric), []).append(values.sort("eval_seed")["value"].to_list())
    primary = part.filter("primary")
    resamples = primary["resamples"].drop_nulls().to_list()
    first = primary.row(0, named=True)
    return Cell(
        task, row, first["metric"], metrics, np.array(resamples, np.float64),
        first["n_examples"], first["drawn"], first["protocol"],
    )  # fmt: skip


def of_round(runs: pl.DataFrame, part: Round) -> pl.DataFrame:
    """The rows of a round on held-out sets and its tasks, without traits of coresets.

    They are those of its coresets, of the untrained models of its seeds, and of all baselines.
    """
    is_coreset = pl.col("model").str.contains(r"-\d+[kMG]?r?-s\d+$")
    asked = HELD_OUT | pl.col("task").is_in(part.tasks)
    seed = pl.col("model").str.extract(r"^untrained-s(\d+)$").cast(pl.Int64)
    own = (
        pl.when(is_coreset)
        .then(pl.col("model").is_in(part.coresets()))
        .otherwise(seed.is_null() | seed.is_in(part.seeds))
    )
    return runs.filter(asked, own)


def by_selection(names: pl.Series) -> pl.Series:
    """Selections of rows' names."""
    return names.map_elements(lambda name: row_of(name).selection, pl.String)


def by_budget(names: pl.Series) -> pl.Series:
    """Budgets of rows' names, as text."""
    return names.map_elements(lambda name: str(row_of(name).budget), pl.String)
