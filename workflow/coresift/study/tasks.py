"""What a study's page says of tasks: rows, what knows nothing of pretraining, what tests share."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from coresift.report.notes import TRAINING
from coresift.report.seen import SHARE, leakage
from coresift.report.tables import SEEN
from coresift.report.verdict import gains
from coresift.study.book import Book
from coresift.study.words import listed, table_lines


def _measured(book: Book) -> Iterator[tuple[str, list[str], pl.DataFrame]]:
    """Rounds with tasks that have been run: name, tasks that are there, comparisons on these."""
    for part in book.started:
        if book.rounds[part].tasks:
            done = book.tasks_done(part)
            own = book.comparisons.filter(pl.col("round") == part, pl.col("task").is_in(done))
            yield part, done, own.drop("round")


def tasks_in_short(book: Book) -> Iterator[str]:
    """Whether differences reach tasks, and whether pretraining does."""
    for _, _, compared in _measured(book):
        yield from (f"- Tasks (secondary, no claim): {line}" for line in gains(compared))
        floors = compared.filter(pl.col("role") == "floor", pl.col("control") == "untrained")
        for (task,), rows in floors.group_by("task", maintain_order=True):
            better, worse = ((rows["mark"] == mark).sum() for mark in ("better", "worse"))
            kmer = compared.filter(pl.col("task") == task, pl.col("control") == "kmer")
            below = (kmer["mark"] == "worse").sum()
            beside = f"; {below} are worse than k-mers" if kmer.height else ""
            yield (
                f"- {task}: {better} of {rows.height} rows are better than an untrained model, "
                f"{worse} worse{beside}."
            )


def task_lines(book: Book) -> Iterator[str]:
    """Every row of every task."""
    found = False
    for part, done, compared in _measured(book):
        found = True
        yield f"Round `{part}`:\n"
        results = book.results(part).filter("primary", pl.col("task").is_in(done))
        yield from table_lines(results.drop("primary"))
        yield from (f"- {line}" for line in gains(compared))
        yield from _against_floors(compared)
        if missing := set(book.rounds[part].tasks) - set(done):
            yield f"- Not run: {listed(sorted(missing))}."
        yield ""
    if found:
        yield "In all rounds:\n"
        yield from _cut_short(book)
        yield from _seen(book)
    else:
        yield "Not run."


def _cut_short(book: Book) -> Iterator[str]:
    """Where heads were still getting better when their epochs were over."""
    table = pl.DataFrame(book.own["trainings"], schema=TRAINING)
    cut = pl.col("stopped").str.contains("epochs") & (pl.col("best_epoch") > 0.9 * pl.col("epochs"))
    for (task,), rows in table.group_by("task", maintain_order=True):
        found = rows.filter(cut)
        if found.height:
            yield (
                f"- {task}: {found.height} of {rows.height} rows were best in the last tenth of "
                "their epochs: their heads had not converged, so that their figures tell as well "
                "how fast a head gets there."
            )


def _seen(book: Book) -> Iterator[str]:
    """What of the tasks' tests was in the pool or in train."""
    tasks = {task for part in book.started for task in book.tasks_done(part)}
    seen = pl.DataFrame(book.own["identity"]["seen"], schema=SEEN).filter(
        pl.col("task").is_in(tasks)
    )
    yield from (f"- {line}" for line in leakage(seen))
    for row in seen.filter(pl.col("seen") <= SHARE * pl.col("compared")).to_dicts():
        yield (
            f"- {row['task']}: of {row['compared']} test examples compared with {row['against']}, "
            f"{row['seen']} are there at {row['at']:.0%} identity or more, {row['above_80']} above "
            "80 %."
        )
    compared = set(seen.select("task", "against").rows())
    missing = [
        f"{task} ({against})"
        for task in sorted(tasks)
        for against in ("pool", "train")
        if (task, against) not in compared
    ]
    if missing:
        yield f"- How near tests are was not compared: {listed(missing)}."
    if seen.height:
        yield "- Figures by identity to the pool and to train: by_identity.csv, seen.csv."


def _against_floors(comparisons: pl.DataFrame) -> Iterator[str]:
    """Rows against what knows nothing of pretraining: untrained models, k-mers, a network."""
    floors = comparisons.filter(pl.col("role") == "floor")
    for (task, control), rows in floors.group_by("task", "control", maintain_order=True):
        if (rows["mark"] == "unknown").all():
            gains = [float(gain) for gain in rows["gain"]]
            yield (
                f"- {task}, against {control}: not tested, as one of the two has one seed; rows "
                f"are {min(gains):+z.3f} to {max(gains):+z.3f} from it."
            )
            continue
        found = {
            mark: rows.filter(pl.col("mark") == mark)["selection"].to_list()
            for mark in ("better", "no different", "worse", "unknown")
        }
        said = [
            f"{mark} {f'all {rows.height}' if len(names) == rows.height else listed(names)}"
            for mark, names in found.items()
            if names
        ]
        yield f"- {task}, against {control}: {'; '.join(said)}."
