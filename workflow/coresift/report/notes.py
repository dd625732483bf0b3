"""What the examples of the tasks lack, and how each row was trained, from its metrics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from coresift.corpus.kmer_limits import FOUND, KMER_LIMITS, KmerLimits
from coresift.files import read_json
from coresift.selection.names import without_seed
from coresift.tasks.splits import SPLITS

NOTE = {
    "task": pl.String,
    "protocol": pl.String,
    "split": pl.String,
    "note": pl.String,
    "count": pl.Int64,
}
TRAINING = {
    "task": pl.String,
    "protocol": pl.String,
    "selection": pl.String,
    "trainings": pl.Int64,
    "epochs": pl.Float64,  # median of those that ran
    "best_epoch": pl.Float64,  # median
    "stopped": pl.String,  # why, and how many
}


def _place(item: tuple[str, object]) -> int:
    """Splits in their order, then what never had one."""
    return [*SPLITS, item[0]].index(item[0])


def notes_table(cells: Sequence[tuple[str, str]], metrics: Sequence[str | Path]) -> pl.DataFrame:
    """Counts of what was dropped, cropped or is there twice (columns of `NOTE`).

    They are of a task's files, not of a row: those of its first row stand for all.

    Args:
        cells: (task, row) of each file of metrics.
    """
    first: dict[str, str | Path] = {}
    for (task, _), path in zip(cells, metrics, strict=True):
        first.setdefault(task, path)
    reports = {task: read_json(path) for task, path in first.items()}
    rows = [
        (task, report["protocol"], split, note, n)
        for task, report in reports.items()
        for split, notes in sorted(report["notes"].items(), key=_place)
        for note, n in notes.items()
    ]
    return pl.DataFrame(rows, schema=NOTE, orient="row")


def trainings_table(
    cells: Sequence[tuple[str, str]], metrics: Sequence[str | Path]
) -> pl.DataFrame:
    """How long the heads and networks of each row were trained (columns of `TRAINING`)."""
    found: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for (task, name), path in zip(cells, metrics, strict=True):
        report = read_json(path)
        row = (task, report["protocol"], without_seed(name))
        found.setdefault(row, []).extend(report.get("training", []))
    rows = []
    for row, runs in found.items():
        if runs:
            epochs, best = (
                median(float(str(run[key])) for run in runs) for key in ("epochs", "best_epoch")
            )
            why = Counter(str(run["stopped"]) for run in runs)
            stopped = ", ".join(f"{cause} {n}" for cause, n in sorted(why.items()))
            rows.append((*row, len(runs), epochs, best, stopped))
    return pl.DataFrame(rows, schema=TRAINING, orient="row")


def footnotes(notes: pl.DataFrame) -> list[str]:
    """One line a task and split: `task (protocol), split: 3 copies; 5 dropped in test`."""
    lines = []
    groups = notes.group_by("task", "protocol", "split", maintain_order=True)
    for (task, protocol, split), rows in groups:
        counts = rows.select("count", "note").iter_rows()
        said = "; ".join(f"{n} {note.replace('_', ' ')}" for n, note in counts)
        lines.append(f"{task} ({protocol}), {split}: {said}")
    return lines


def leaks_note(modality: str, options: Mapping[str, Any] | None) -> str:
    """What decontamination takes out of the pool, and from which identity on it finds it.

    Args:
        options: method; kmer: k, containment, match; mmseqs2: identity, coverage. None: there was
            no decontamination.
    """
    if options is None:
        return "Decontamination is off: the pool may hold the examples of the tasks themselves."
    if options["method"] == "mmseqs2":
        return (
            f"Removed is what aligns to a held-out example with {options['identity']:.0%} identity "
            f"over {options['coverage']:.0%} of the shorter of the two (MMseqs2)."
        )
    limits = KmerLimits(*(options[name] for name in ("k", "containment", "match")))
    lines = [
        f"Removed is what shares {limits.containment:.0%} of the {limits.k}-mers of the shorter of "
        f"the two with a held-out example, {limits.least} of them or more. Half of the sequences "
        f"with {limits.half_found:.0%} identity to an example are found so, and few below that."
    ]
    if limits == KMER_LIMITS[modality]:
        long, short = FOUND[modality]
        lines.append(
            f"At least 95 % are found from {long:.0%} identity on if both have 100 residues, from "
            f"{short:.0%} on if they have 30."
        )
    return " ".join(lines)
