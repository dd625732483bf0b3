"""Labelled sequences of a downstream task, from FASTA, CSV or Parquet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.config import Task
from coresift.corpus.ingest import read_fasta
from coresift.corpus.normalise import normalise
from coresift.hashing import uniform_hash

SPLITS = ("train", "valid", "test")


class TaskDataError(ValueError):
    """A task's file is wrong; the message names file, record and cause."""


@dataclass(frozen=True)
class TaskData:
    """Examples of a task.

    Attributes:
        examples: columns example_id, sequence, sequence_b (kind pair), label (String), split.
        notes: counts of what was dropped and why.
    """

    examples: pl.DataFrame
    notes: dict[str, int]

    def split(self, name: str) -> pl.DataFrame:
        """Examples of one split, in file order."""
        return self.examples.filter(pl.col("split") == name)


def read_task(task: Task, modality: str) -> TaskData:
    """Read, normalise and split a task's examples.

    Train and valid examples whose sequence is in test are dropped; where no valid split is given,
    a hashed share of train's sequences becomes it (copies stay together).

    Raises:
        TaskDataError: a record without label or split, foreign letters, or an empty split.
    """
    source = task.data
    given = {"train": source.train, "valid": source.valid, "test": source.test}
    files = {None: source.path} if source.path else {k: v for k, v in given.items() if v}
    rows = [row for split, path in files.items() for row in _read(task, str(path), split, modality)]
    columns = ["example_id", "sequence", "sequence_b", "label", "split"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    notes: dict[str, int] = {}
    key = pl.col("sequence") + pl.lit("|") + pl.col("sequence_b")
    frame = frame.with_columns(key=key)
    test = frame.filter(pl.col("split") == "test").select("key").unique()
    leaked = frame.filter(pl.col("split") != "test").join(test, on="key", how="semi")
    notes["dropped_in_test"] = leaked.height
    kept = frame.join(leaked.select("example_id"), on="example_id", how="anti")
    if "valid" not in set(kept["split"]):
        kept = _hash_valid(kept, source.valid_fraction)
    for split in SPLITS:
        if not (kept["split"] == split).any():
            raise TaskDataError(f"{_names(task)}: no example in the {split} split")
    return TaskData(kept.drop("key"), notes)


def _names(task: Task) -> str:
    return ", ".join(task.data.files())


def _hash_valid(frame: pl.DataFrame, fraction: float) -> pl.DataFrame:
    ranks = uniform_hash(frame["key"].to_list(), 0, "valid") / np.float64(2**64)
    chosen = (pl.col("split") == "train") & pl.Series(ranks < fraction)
    return frame.with_columns(
        split=pl.when(chosen).then(pl.lit("valid")).otherwise(pl.col("split"))
    )


Row = tuple[str, str, str, str, str]


def _read(task: Task, path: str, split: str | None, modality: str) -> Iterator[Row]:
    if not Path(path).is_file():
        raise TaskDataError(f"{path}: no such file")
    suffix = Path(path.removesuffix(".gz")).suffix
    reader = _read_table if suffix in (".csv", ".tsv", ".parquet") else _read_headers
    known = set(ALPHABETS[modality].letters)
    for place, name, sequence, partner, label, given in reader(task, path):
        normal, other = normalise(sequence, modality), normalise(partner, modality)
        foreign = (set(normal) | set(other)) - known
        if not normal or foreign:
            cause = f"letters outside the alphabet: {sorted(foreign)}" if normal else "no sequence"
            raise TaskDataError(f"{path}: {place}: {cause}")
        chosen = split or given
        if chosen not in SPLITS:
            raise TaskDataError(f"{path}: {place}: split is {chosen!r}, allowed: {SPLITS}")
        if label is None or not label.strip():
            raise TaskDataError(f"{path}: {place}: no label")
        text = label.strip()
        if task.kind == "pairwise" and text.endswith(".npy"):
            text = str(Path(path).parent / text)
        yield f"{Path(path).name}:{name}", normal, other, text, chosen


Raw = tuple[str, str, str, str, str | None, str | None]


def _read_headers(task: Task, path: str) -> Iterator[Raw]:
    """FASTA: label and split by pattern; without a pattern the whole header is the label."""
    source = task.data

    def find(pattern: str | None, header: str) -> str | None:
        match = re.search(pattern, header) if pattern else None
        return match.group(1) if match else None

    for number, header, sequence in read_fasta(path):
        label = find(source.label_regex, header) if source.label_regex else header
        split = find(source.split_regex, header)
        yield f"record {number} ({header[:60]})", str(number), sequence, "", label, split


def _read_table(task: Task, path: str) -> Iterator[Raw]:
    source = task.data
    if path.endswith(".parquet"):
        frame = pl.read_parquet(path)
    else:
        separator = "\t" if ".tsv" in path else ","
        frame = pl.read_csv(path, separator=separator, infer_schema=False)
    wanted = [source.sequence, source.label]
    wanted += [source.sequence_b] if source.sequence_b else []
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise TaskDataError(f"{path}: columns missing: {missing}; present: {frame.columns}")
    for number, row in enumerate(frame.iter_rows(named=True), start=2):
        partner = str(row[source.sequence_b] or "") if source.sequence_b else ""
        label, split = row[source.label], row.get(source.split)
        text = " ".join(map(str, label)) if isinstance(label, list) else label
        yield (
            f"line {number}",
            str(number),
            str(row[source.sequence] or ""),
            partner,
            None if text is None else str(text),
            split,
        )


def held_out_examples(tasks: dict[str, Task], splits: list[str], modality: str) -> pl.DataFrame:
    """Distinct held-out sequences of all tasks: columns task, task_id, sequence."""
    empty = pl.DataFrame(schema={"task": pl.String, "task_id": pl.String, "sequence": pl.String})
    frames = [empty]
    for name, task in sorted(tasks.items()):
        rows = read_task(task, modality).examples.filter(pl.col("split").is_in(splits))
        for column in ("sequence", "sequence_b"):
            part = rows.select(pl.lit(name).alias("task"), task_id="example_id", sequence=column)
            frames.append(part.filter(pl.col("sequence") != ""))
    return pl.concat(frames).unique("sequence", keep="first", maintain_order=True)
