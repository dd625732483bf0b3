"""Results by identity of test examples to the pool and to train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.files import read_json, write_text
from coresift.report.bootstrap import interval, over_seeds, resampled_metric
from coresift.report.cells import rows_of
from coresift.report.seen import seen_notes
from coresift.report.tables import BY_IDENTITY, SEEN
from coresift.tables import read_table
from coresift.tasks.metrics import METRICS
from coresift.tasks.sample import Sample, from_table
from coresift.tasks.tables import BINS, IDENTITY, PREDICTION

#: Fewer distinct examples of a bin have no interval.
MIN_EXAMPLES = 10

#: Identities by task and what they are to, `pool` or `train` (columns of `IDENTITY`).
Identities = Mapping[tuple[str, str], pl.DataFrame]


def seen_table(identities: Identities, protocols: Mapping[str, str], seen: float) -> pl.DataFrame:
    """Test examples of each task by bin, and how many have been seen (columns of `SEEN`).

    Args:
        protocols: by task.
        seen: identity from which on an example counts as seen.
    """
    rows = []
    for (task, against), table in identities.items():
        bins = dict(table["bin"].value_counts().iter_rows())
        row = {name: bins.get(name, 0) for name in BINS}
        n_seen = int((table["identity"] >= seen).sum())
        row |= {"task": task, "protocol": protocols[task], "against": against}
        rows.append(row | {"compared": table.height, "seen": n_seen, "at": seen})
    return pl.DataFrame(rows, schema=SEEN)


def by_identity(
    identities: Identities,
    cells: Sequence[tuple[str, str]],
    metrics: Sequence[str | Path],
    predictions: Sequence[str | Path],
    n_resamples: int,
    confidence: float,
    seed: int,
) -> pl.DataFrame:
    """The primary metric of every row on the test examples of each bin (columns of `BY_IDENTITY`).

    Means and intervals are those of the results (`report.results`), on fewer examples; bins without
    an example are left out.

    Args:
        cells: (task, name), aligned with their files of metrics and predictions.
    """
    rows = []
    for task in dict.fromkeys(task for task, _ in identities):
        own = [i for i, (name, _) in enumerate(cells) if name == task]
        kinds = {against: table for (name, against), table in identities.items() if name == task}
        for row, places in rows_of([cells[i][1] for i in own]).items():
            files = [own[place] for place in places]
            report = read_json(metrics[files[0]])
            metric = METRICS[report["kind"]][report["primary"]]
            tables = [read_table(predictions[i], PREDICTION) for i in files]
            named = {"task": task, "protocol": report["protocol"], "selection": row}
            named["metric"] = report["primary"]
            for against, table in kinds.items():
                for name, runs in _by_bin(tables, table, report["kind"]):
                    n = runs[0][0].n_distinct
                    mean = float(np.mean([[metric(sample) for sample in run] for run in runs]))
                    low, high = None, None
                    if n >= MIN_EXAMPLES:
                        resamples = resampled_metric(metric, runs, n_resamples, seed)
                        low, high = interval(over_seeds(resamples, seed), confidence)
                    figures = {"against": against, "bin": name, "n": n}
                    rows.append({**named, **figures, "mean": mean, "low": low, "high": high})
    return pl.DataFrame(rows, schema=BY_IDENTITY)


def identity_tables(files: Any, params: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What of each task was seen (`SEEN`), and every row's figures by identity (`BY_IDENTITY`).

    Args:
        files: identities, metrics and predictions.
        params: identities, (task, against) aligned with files.identities; cells, (task, name)
            aligned with files.metrics and files.predictions; seen, bootstrap, confidence, seed.
    """
    names = [(task, against) for task, against in params.identities]
    tables = [read_table(path, IDENTITY) for path in files.identities]
    identities = dict(zip(names, tables, strict=True))
    first = {task: path for (task, _), path in zip(params.cells, files.metrics, strict=True)}
    protocols = {task: read_json(first[task])["protocol"] for task, _ in names}
    rows = by_identity(
        identities,
        params.cells,
        files.metrics,
        files.predictions,
        params.bootstrap,
        params.confidence,
        params.seed,
    )
    return seen_table(identities, protocols, params.seen), rows


def write_by_identity(files: Any, params: Any, out: Any) -> pl.DataFrame:
    """Write both tables (CSV); returns the notes on what was seen (columns of `notes.NOTE`).

    Args:
        files, params: of `identity_tables`. out: paths seen and by_identity.
    """
    seen, rows = identity_tables(files, params)
    write_text(out.seen, seen.write_csv())
    write_text(out.by_identity, rows.write_csv())
    return seen_notes(seen)


def _by_bin(
    predictions: Sequence[pl.DataFrame], table: pl.DataFrame, kind: str
) -> Iterator[tuple[str, list[list[Sample]]]]:
    """Each bin that has examples, and its samples by coreset seed and evaluation seed.

    Raises:
        ValueError: identities and predictions number other examples.
    """
    known = predictions[0].select("distinct", "example_id")  # few of the columns, all the rows
    first = known.unique("distinct", keep="first", maintain_order=True)
    both = table.join(first, on="distinct", how="left", maintain_order="left")
    # One of which no label is known within the residues that are read has no prediction.
    some = both["example_id_right"].is_not_null().any()
    unread = pl.col("example_id_right").is_null() & some
    other = both.filter(~unread, pl.col("example_id").ne_missing(pl.col("example_id_right")))
    if other.height:
        row = other.row(0, named=True)
        raise ValueError(
            f"example {row['example_id']!r} has an identity and the number {row['distinct']}, "
            f"which is {row['example_id_right']!r} among the predictions"
        )
    for name in BINS:
        members = table.filter(pl.col("bin") == name)["distinct"].implode()
        parts = [rows.filter(pl.col("distinct").is_in(members)) for rows in predictions]
        if parts[0].height:
            yield name, [from_table(part, kind) for part in parts]
