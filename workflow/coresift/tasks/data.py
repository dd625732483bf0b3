"""Labelled sequences of a downstream task: read, normalised, split."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.corpus.export import write_records
from coresift.corpus.modality import Others
from coresift.corpus.normalise import normalise
from coresift.corpus.tables import PROTECTED
from coresift.tasks.notes import NO_SPLIT, Notes, count
from coresift.tasks.readers import base_pairs, fasta, id_pairs, netsurfp, peer, table
from coresift.tasks.readers.record import Record, TaskDataError, naming, resolve
from coresift.tasks.readers.settings import LabelledData, TaskData
from coresift.tasks.splits import (
    SPLITS,
    add_keys,
    count_copies,
    draw_splits,
    drop_test_copies,
    hash_valid,
    sample_splits,
)

logger = logging.getLogger(__name__)

#: Readers by the ending of a name (.gz aside); a folder of another name holds base pairs.
READERS: dict[str, Callable[[TaskData, str], Iterator[Record]]] = {
    **dict.fromkeys((".csv", ".tsv", ".parquet"), table.read),
    **dict.fromkeys(base_pairs.FORMATS, base_pairs.read),
    **dict.fromkeys((".fasta", ".fa", ".fna", ".faa", ".fas"), fasta.read),
    ".txt": id_pairs.read,
    ".npz": netsurfp.read,
    ".lmdb": peer.read,
}


@dataclass(frozen=True)
class Examples:
    """Examples of a task.

    Attributes:
        frame: columns example_id, sequence, partner ('' but for two sequences), label, split,
            distinct (number of its distinct sequence or pair, equal for copies: `tasks.splits`).
        notes: counts of what was dropped or changed and why, by split.
    """

    frame: pl.DataFrame
    notes: Notes

    def split(self, name: str) -> pl.DataFrame:
        """Examples of one split, in file order."""
        return self.frame.filter(pl.col("split") == name)

    def indices(self, name: str) -> np.ndarray:
        """Numbers of the examples of one split."""
        return np.flatnonzero((self.frame["split"] == name).to_numpy())


def read_task(task: LabelledData, modality: str) -> Examples:
    """Read, normalise and split a task's examples.

    Train and valid examples whose sequences, or pairs in either order, are in test are dropped;
    where no valid split is given, a hashed share of train's sequences becomes it. Of all this
    `task.sample` takes its part.

    Raises:
        TaskDataError: a record without label or split, foreign letters, or an empty split.
    """
    source = task.data
    given = {"train": source.train, "valid": source.valid, "test": source.test}
    files = {None: source.path} if source.path else {k: v for k, v in given.items() if v}
    notes: Notes = {}
    rows = [
        row for split, path in files.items() for row in _read(task, path, split, modality, notes)
    ]
    texts = ["example_id", "sequence", "partner", "label", "split", "group"]
    schema = dict.fromkeys(texts, pl.String) | dict.fromkeys(_FOREIGN, pl.Int64)
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    frame = add_keys(frame, len(encoded_columns(task, modality)) == 2)
    if source.draw is not None:
        frame = draw_splits(frame, source.draw)
    given_valid = "valid" in set(frame["split"])
    frame = drop_test_copies(frame, notes)
    if not given_valid:
        frame = hash_valid(frame, source.valid_fraction)
    if task.sample is not None:
        frame = sample_splits(frame, task.sample, notes)
    for split in SPLITS:
        own = frame.filter(pl.col("split") == split)
        if not own.height:
            names = ", ".join(source.files())
            left = ", ".join(f"{name}: {n}" for name, n in notes.get(split, {}).items())
            raise TaskDataError(
                f"{names}: no example in the {split} split (data.{split}, or data.split_names or "
                "data.draw with data.path)" + (f"; of those there were, {left}" if left else "")
            )
        for name in _FOREIGN:
            count(notes, split, name, int(own[name].sum()))
    count_copies(frame, notes, labels=task.kind not in ("token", "pairwise"))
    first = pl.col("row").first().over("key")
    distinct = (first.rank("dense") - 1).cast(pl.Int32).alias("distinct")
    columns = ("example_id", "sequence", "partner", "label", "split")
    return Examples(frame.with_row_index("row").select(*columns, distinct), notes)


Row = tuple[str, str, str, str, str, str, int, int]
#: Columns of counts of an example's letters that are read as unknown ones.
_FOREIGN = ("sequences_with_foreign_letters", "foreign_letters")


def reader_of(path: str) -> Callable[[TaskData, str], Iterator[Record]]:
    """The reader of a file.

    Raises:
        TaskDataError: there is no such file, or no reader for its ending.
    """
    if not Path(path).exists():
        raise TaskDataError(f"{path}: no such file")
    reader = READERS.get(Path(path.removesuffix(".gz")).suffix)
    if reader is None and Path(path).is_dir():
        return base_pairs.read
    if reader is None:
        raise TaskDataError(f"{path}: no reader for this ending; known: {', '.join(READERS)}")
    return reader


def _read(
    task: LabelledData, path: str, split: str | None, modality: str, notes: Notes
) -> Iterator[Row]:
    source = task.data
    if isinstance(source.mask, dict):
        source = source.model_copy(update={"mask": dict[Any, Any](source.mask).get(split)})
    names = {name: name for name in SPLITS} | source.split_names
    group = source.draw.group if source.draw is not None else None
    sequences = _Letters(modality, source, path)
    partners = _Letters(source.modality_b or modality, source, path)
    # * alone is special.
    skipped = [escape(label).replace("[*]", "*") for label in source.skip_labels]
    reader = reader_of(path)
    if source.mask is not None and reader is not table.read:
        raise TaskDataError(f"{path}: data.mask is columns of a table, and this file is none")
    for record in reader(source, path):
        place = f"{path}: {record.place}"
        if (record.split or "") in source.skip_splits:
            count(notes, NO_SPLIT, "skipped_splits")
            continue
        if record.label is None or not record.label.strip():
            raise TaskDataError(f"{place}: no label (data.label, data.label_regex)")
        label = record.label.strip()
        found = record.split or source.default_split
        chosen = split or (names.get(found) if found else None)
        if any(fnmatchcase(label, pattern) for pattern in skipped):
            count(notes, chosen or NO_SPLIT, "skipped_labels")
            continue
        sequence, foreign = sequences.normal(record.sequence, place)
        partner, more = partners.normal(record.partner, place) if task.two_sequences else ("", 0)
        if chosen is None and source.draw is None:
            raise TaskDataError(
                f"{place}: split is {found!r}, allowed: {tuple(names)} (data.split_names, "
                "data.skip_splits, data.default_split; FASTA: data.split_regex)"
            )
        if group is not None and not record.group:
            raise TaskDataError(f"{place}: no {group} (data.draw.group: a column of a table)")
        if task.kind == "pairwise":
            label = resolve(label, path)
        name = f"{Path(path).name}:{record.name}"
        counts = (foreign > 0) + (more > 0), foreign + more
        yield name, sequence, partner, label, chosen or "train", record.group or "", *counts
    sequences.check()
    partners.check()


class _Letters:
    """Normalises the sequences of one file and counts letters outside the alphabet.

    Args:
        modality: whose alphabet.
    """

    def __init__(self, modality: str, source: TaskData, path: str) -> None:
        self._alphabet = ALPHABETS[modality]
        self._modality = modality
        self._source = source
        self._path = path
        self._foreign: Counter[str] = Counter()
        self._residues = 0
        self._records = 0
        self._others = Others(modality)

    def normal(self, sequence: str, place: str) -> tuple[str, int]:
        """A normalised sequence, and its foreign letters: unknown residues where allowed.

        Raises:
            TaskDataError: there is no residue, or a letter that is not allowed.
        """
        normal = normalise(sequence.strip(), self._modality)
        if not normal:
            raise TaskDataError(f"{place}: no sequence")
        self._residues += len(normal)
        self._records += 1
        foreign = set(normal) - set(self._alphabet.letters)
        if not foreign:
            self._others.see(normal)
            return normal, 0
        if self._source.foreign_letters == "error":
            raise TaskDataError(
                f"{place}: letters outside the alphabet: {sorted(foreign)} (data.foreign_letters)"
            )
        counts = {letter: normal.count(letter) for letter in foreign}
        self._foreign.update(counts)
        unknown = {ord(letter): self._alphabet.unknown for letter in foreign}
        return normal.translate(unknown), sum(counts.values())

    def check(self) -> None:
        """Hold the share of foreign letters to `max_foreign`, and the file to its modality.

        Raises:
            TaskDataError: there are too many, or nearly all sequences look like nucleotides where
                proteins are meant.
        """
        text, refused = self._others.judge(self._path, self._records)
        if refused:
            raise TaskDataError(f"{text} (data.sequence, data.modality_b: another column?)")
        if text:
            logger.warning("%s", text)
        found = self._foreign.total()
        if found > self._source.max_foreign * max(1, self._residues):
            letters = ", ".join(letter for letter, _ in self._foreign.most_common(8))
            raise TaskDataError(
                f"{self._path}: {found / self._residues:.1%} of the residues are outside the "
                f"{self._modality} alphabet (most: {letters}), data.max_foreign is "
                f"{self._source.max_foreign:.1%}; are two files swapped?"
            )


def encoded_columns(task: LabelledData, modality: str) -> list[str]:
    """Columns of sequences that a model of `modality` reads."""
    own = task.two_sequences and task.data.modality_b in (None, modality)
    return ["sequence", "partner"] if own else ["sequence"]


def protected_examples(
    tasks: Iterable[LabelledData], splits: list[str], modality: str
) -> pl.DataFrame:
    """Distinct held-out sequences of all tasks (`PROTECTED`), of tasks that share one the first's.

    A task is named by its files: what is removed from the pool hangs on no name in the config.
    """
    frames = [pl.DataFrame(schema=dict(PROTECTED))]
    for task in tasks:
        name = ", ".join(map(os.path.basename, task.data.files()))
        with naming(name):
            rows = read_task(task, modality).frame.filter(pl.col("split").is_in(splits))
        for column in encoded_columns(task, modality):
            frames.append(
                rows.select(pl.lit(name).alias("task"), task_id="example_id", sequence=column)
            )
    return pl.concat(frames).unique("sequence", keep="first", maintain_order=True)


def write_split(task: LabelledData, split: str, modality: str, path: str | Path) -> None:
    """Write the distinct sequences of one split that a model reads as FASTA, in file order.

    Raises:
        TaskDataError: see `read_task`.
    """
    rows = read_task(task, modality).split(split)
    parts = [rows.select("example_id", sequence=name) for name in encoded_columns(task, modality)]
    distinct = pl.concat(parts).unique("sequence", keep="first", maintain_order=True)
    write_records(distinct.iter_rows(), path)
