"""The raw figures of a study's models, from the files of the other stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.heldout.masks import Masks
from coresift.heldout.summary import HeldOut, read_held_out, resampled, summarise
from coresift.heldout.unigram import unigram_losses
from coresift.report.cells import Cell, rows_of, task_cells
from coresift.report.controls import UNIGRAM
from coresift.selection.diagnostics import drift, taken
from coresift.selection.draw import group_codes as draw_codes
from coresift.study.cells import runs_of
from coresift.study.tables import CORESET_TRAITS, MACRO, RUN
from coresift.tables import read_columns


def group_names(labels: pl.Series, codes: np.ndarray) -> list[str]:
    """The label of each code of `heldout.summary.group_codes`; `other` of several together.

    Where a label is called so itself, `other_`.
    """
    found = []
    rest = "other"
    while (labels == rest).any():
        rest += "_"
    for code in range(int(codes.max()) + 1):
        own = labels.filter(pl.Series(codes == code)).unique().to_list()
        found.append(own[0] if len(own) == 1 and own[0] is not None else rest)
    return found


def _labels(sets: pl.DataFrame, groups: str | Path, name: str, group: str) -> pl.DataFrame:
    """Columns seq_id, label of one held-out set."""
    table = read_columns(groups).filter(pl.col("set") == name)
    rows = sets.filter(pl.col("set") == name).select("seq_id")
    return rows.join(table, on="seq_id", how="left", maintain_order="left").select(
        "seq_id", label=group
    )


def held_out_runs(
    losses: Mapping[str, str | Path],
    groups: str | Path,
    sets: pl.DataFrame,
    group: str,
    masks: Masks,
    n_resamples: int,
    seed: int,
) -> pl.DataFrame:
    """Loss of every model on every held-out set, as the set, as the mean over groups, by group.

    Args:
        losses: `HELD_OUT_LOSS` by model, `unigram` among them. Of the unigram the loss of a group
            is that of the group's own letter frequencies.
        groups: see `read_held_out`. sets: columns of `HELD_OUT`. group: the grouping.
        masks: those of the losses.

    Returns:
        Columns of `RUN`. Task heldout_{set}: loss (primary), accuracy and loss_{group}={name};
        task heldout_{set}_macro: loss, the unweighted mean over groups, where the set has groups.
    """
    frames = [pl.DataFrame(schema=dict(RUN))]
    for name, held_out in read_held_out(losses, groups).items():
        known = group in held_out.groups
        own = replace(held_out, groups={group: held_out.groups[group]} if known else {})
        figures, drawn = summarise(own), resampled(own, n_resamples, seed)
        by_group: dict[str, np.ndarray] = {}
        if known:
            by_group = _by_group(own, _labels(sets, groups, name, group), sets, name, group, masks)
        for row, places in rows_of(held_out.models).items():
            models = [held_out.models[place] for place in places]
            more = {metric: by_group[metric][places] for metric in by_group}
            shown = {"loss": figures["loss"][0], "accuracy": figures["accuracy"][0]}
            values = {m: v[places] for m, v in shown.items()} | more
            frames.append(
                runs_of(_cell(f"heldout_{name}", row, models, values, drawn["loss"][:, places],
                              held_out.n_units), models)
            )  # fmt: skip
            if known:
                macro = f"macro_{group}"
                cell = _cell(
                    f"heldout_{name}{MACRO}", row, models, {"loss": figures[macro][0][places]},
                    drawn[macro][:, places], held_out.n_units,
                )  # fmt: skip
                frames.append(runs_of(cell, models))
    return pl.concat(frames)


def _cell(
    task: str,
    row: str,
    models: Sequence[str],
    values: Mapping[str, np.ndarray],
    resamples: np.ndarray,
    size: int,
) -> Cell:
    metrics = {metric: [[float(v)] for v in found] for metric, found in values.items()}
    return Cell(task, row, "loss", metrics, resamples.T, size, models[0] != row)


def _by_group(
    held_out: HeldOut,
    labels: pl.DataFrame,
    sets: pl.DataFrame,
    name: str,
    group: str,
    masks: Masks,
) -> dict[str, np.ndarray]:
    """(m,) mean loss of every model on each group; the unigram's of the group's own letters."""
    asked = masks.questions(sets.filter(pl.col("set") == name)).rows.select("seq_id", "sequence")
    own = asked.join(labels, on="seq_id", how="left", maintain_order="left")
    codes = held_out.groups[group]
    names = group_names(own["label"], codes)
    weights = np.stack([codes == code for code in range(len(names))]).astype(float)
    losses = summarise(replace(held_out, groups={}), weights)["loss"]
    named = own.filter(pl.Series(codes >= 0)).with_columns(
        set=pl.Series([names[code] for code in codes if code >= 0])
    )
    letters = unigram_losses(named, masks)
    at = held_out.models.index(UNIGRAM)
    for place, label in enumerate(names):
        rows = letters.filter(pl.col("set") == label)
        losses[place, at] = np.average(rows["loss"], weights=rows["n_masked"])
    return {f"loss_{group}={label}": losses[i] for i, label in enumerate(names)}


def trait_runs(drift: pl.DataFrame) -> pl.DataFrame:
    """What each coreset is like: columns of `RUN`, task CORESET_TRAITS.

    Args:
        drift: of `selection.diagnostics.drift`.
    """
    traits = [name for name in drift.columns if name != "coreset"]
    long = drift.with_columns(pl.col(traits).cast(pl.Float64)).unpivot(
        traits, index="coreset", variable_name="metric", value_name="value"
    )
    return long.select(
        variant=pl.lit(""),
        task=pl.lit(CORESET_TRAITS),
        protocol=pl.lit(None, pl.String),
        model="coreset",
        metric="metric",
        primary=pl.lit(False),
        eval_seed=pl.lit(0, pl.Int32),
        value="value",
        drawn=pl.lit(True),
        n_examples=pl.lit(0, pl.Int32),
        resamples=pl.lit(None, pl.List(pl.Float32)),
    )


def task_runs(cells: Sequence[Any], models: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The figures of tasks: columns of `RUN`.

    Args:
        cells: of `report.cells.task_cells`. models: by row, see `report.cells.rows_of`.
    """
    frames = [runs_of(cell, models[cell.selection]) for cell in cells]
    return pl.concat([pl.DataFrame(schema=dict(RUN)), *frames])


def all_runs(files: Any, params: Any, sets: pl.DataFrame, masks: Masks) -> pl.DataFrame:
    """Every figure of a run's models: columns of `RUN`.

    Args:
        files: losses and groups of held-out sequences; metrics and predictions of tasks; coresets,
            scores, features and pool_groups.
        params: models (aligned with losses), cells ((task, row) aligned with metrics), coresets
            (names), group, bootstrap, seed.
    """
    losses = dict(zip(params.models, files.losses, strict=True))
    frames = [
        held_out_runs(
            losses, files.groups, sets, params.group, masks, params.bootstrap, params.seed
        )
    ]
    for task in dict.fromkeys(task for task, _ in params.cells):
        places = [i for i, (name, _) in enumerate(params.cells) if name == task]
        names = [params.cells[i][1] for i in places]
        cells = task_cells(
            task, names, [files.metrics[i] for i in places],
            [files.predictions[i] for i in places], params.bootstrap, params.seed,
        )  # fmt: skip
        rows = {row: [names[i] for i in own] for row, own in rows_of(names).items()}
        frames.append(task_runs(cells, rows))
    frames.append(trait_runs(_drift(files, params)))
    return pl.concat(frames)


def _drift(files: Any, params: Any) -> pl.DataFrame:
    features = read_columns(files.features, ["seq_id", "length", "low_complexity"])
    labels = read_columns(files.pool_groups, ["seq_id", params.group])
    pool = features.join(labels, on="seq_id", how="left", maintain_order="left")
    names = dict(zip(params.coresets, files.coresets, strict=True))
    coresets = {name: read_columns(path, ["seq_id"]) for name, path in names.items()}
    masks = taken(pool["seq_id"], coresets)
    codes = {params.group: draw_codes(pool[params.group])}
    return drift(pool, ["length", "low_complexity"], codes, masks)
