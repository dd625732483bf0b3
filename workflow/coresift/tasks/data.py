"""Labelled sequences of a downstream task: read, normalised, split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from coresift.alphabet import ALPHABETS
from coresift.corpus.export import write_records
from coresift.corpus.normalise import normalise
from coresift.corpus.tables import PROTECTED
from coresift.hashing import uniform_hash
from coresift.tasks.readers import base_pairs, fasta, id_pairs, netsurfp, peer, table
from coresift.tasks.readers.record import Record, TaskDataError, naming, resolve
from coresift.tasks.readers.settings import Draw, LabelledData, TaskData

SPLITS = ("train", "valid", "test")
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
        frame: columns example_id, sequence, partner ('' but for two sequences), label, split.
        notes: counts of what was dropped or changed and why.
    """

    frame: pl.DataFrame
    notes: dict[str, int]

    def split(self, name: str) -> pl.DataFrame:
        """Examples of one split, in file order."""
        return self.frame.filter(pl.col("split") == name)

    def indices(self, name: str) -> np.ndarray:
        """Numbers of the examples of one split."""
        return np.flatnonzero((self.frame["split"] == name).to_numpy())


def read_task(task: LabelledData, modality: str) -> Examples:
    """Read, normalise and split a task's examples.

    Train and valid examples whose sequences are in test are dropped; where no valid split is
    given, a hashed share of train's sequences becomes it (copies stay together).

    Raises:
        TaskDataError: a record without label or split, foreign letters, or an empty split.
    """
    source = task.data
    given = {"train": source.train, "valid": source.valid, "test": source.test}
    files = {None: source.path} if source.path else {k: v for k, v in given.items() if v}
    notes: dict[str, int] = {}
    rows = [
        row for split, path in files.items() for row in _read(task, path, split, modality, notes)
    ]
    columns = ["example_id", "sequence", "partner", "label", "split"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    frame = frame.with_columns(key=pl.col("sequence") + pl.lit("|") + pl.col("partner"))
    if source.draw is not None:
        frame = _draw(frame, source.draw)
    test = frame.filter(pl.col("split") == "test")["key"]
    kept = frame.filter((pl.col("split") == "test") | ~pl.col("key").is_in(test.implode()))
    notes["dropped_in_test"] = frame.height - kept.height
    if "valid" not in set(kept["split"]):
        kept = _hash_valid(kept, source.valid_fraction)
    for split in SPLITS:
        if not (kept["split"] == split).any():
            names = ", ".join(source.files())
            raise TaskDataError(f"{names}: no example in the {split} split")
    return Examples(kept.drop("key"), notes)


def _hash_valid(frame: pl.DataFrame, fraction: float) -> pl.DataFrame:
    ranks = uniform_hash(frame["key"].to_list(), 0, "valid") / np.float64(2**64)
    chosen = (pl.col("split") == "train") & pl.Series(ranks < fraction)
    return frame.with_columns(
        split=pl.when(chosen).then(pl.lit("valid")).otherwise(pl.col("split"))
    )


def _draw(frame: pl.DataFrame, draw: Draw) -> pl.DataFrame:
    """Exactly draw.test and draw.valid examples, by smallest seeded hash; the rest is train."""
    test, valid = draw.counts(frame.height)
    if test + valid >= frame.height:
        raise TaskDataError(f"draw: {test} test and {valid} valid examples of {frame.height}")
    order = np.argsort(uniform_hash(frame["key"].to_list(), draw.seed, "draw"), kind="stable")
    ranks = pl.Series(np.argsort(order))
    first = pl.when(ranks < test).then(pl.lit("test"))
    split = first.when(ranks < test + valid).then(pl.lit("valid")).otherwise(pl.lit("train"))
    return frame.with_columns(split=split)


Row = tuple[str, str, str, str, str]


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
    task: LabelledData, path: str, split: str | None, modality: str, notes: dict[str, int]
) -> Iterator[Row]:
    source = task.data
    if isinstance(source.mask, dict):
        source = source.model_copy(update={"mask": dict[Any, Any](source.mask).get(split)})
    names = {name: name for name in SPLITS} | source.split_names
    sequences = _Letters(modality, source, path, notes)
    partners = _Letters(source.modality_b or modality, source, path, notes)
    for record in reader_of(path)(source, path):
        place = f"{path}: {record.place}"
        if record.label is None or not record.label.strip():
            raise TaskDataError(f"{place}: no label")
        label = record.label.strip()
        if any(fnmatchcase(label, pattern) for pattern in source.skip_labels):
            notes["skipped_labels"] = notes.get("skipped_labels", 0) + 1
            continue
        if (record.split or "") in source.skip_splits:
            notes["skipped_splits"] = notes.get("skipped_splits", 0) + 1
            continue
        sequence = sequences.normal(record.sequence, place)
        partner = partners.normal(record.partner, place) if task.two_sequences else ""
        found = record.split or source.default_split
        chosen = split or (names.get(found) if found else None)
        if chosen is None and source.draw is None:
            raise TaskDataError(f"{place}: split is {found!r}, allowed: {tuple(names)}")
        if task.kind == "pairwise":
            label = resolve(label, path)
        yield f"{Path(path).name}:{record.name}", sequence, partner, label, chosen or "train"
    sequences.check()
    partners.check()


class _Letters:
    """Normalises the sequences of one file and counts letters outside the alphabet.

    Args:
        modality: whose alphabet.
        notes: counts of the task, added to.
    """

    def __init__(self, modality: str, source: TaskData, path: str, notes: dict[str, int]) -> None:
        self._alphabet = ALPHABETS[modality]
        self._modality = modality
        self._source = source
        self._path = path
        self._notes = notes
        self._foreign: Counter[str] = Counter()
        self._residues = 0

    def normal(self, sequence: str, place: str) -> str:
        """A normalised sequence; foreign letters are unknown residues where allowed.

        Raises:
            TaskDataError: there is no residue, or a letter that is not allowed.
        """
        normal = normalise(sequence, self._modality)
        if not normal:
            raise TaskDataError(f"{place}: no sequence")
        self._residues += len(normal)
        foreign = set(normal) - set(self._alphabet.letters)
        if not foreign:
            return normal
        if self._source.foreign_letters == "error":
            raise TaskDataError(f"{place}: letters outside the alphabet: {sorted(foreign)}")
        counts = {letter: normal.count(letter) for letter in foreign}
        self._foreign.update(counts)
        found = {"sequences_with_foreign_letters": 1, "foreign_letters": sum(counts.values())}
        for key, n in found.items():
            self._notes[key] = self._notes.get(key, 0) + n
        return normal.translate({ord(letter): self._alphabet.unknown for letter in foreign})

    def check(self) -> None:
        """Hold the share of foreign letters to `max_foreign`.

        Raises:
            TaskDataError: there are too many.
        """
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
    tasks: Mapping[str, LabelledData], splits: list[str], modality: str
) -> pl.DataFrame:
    """Distinct held-out sequences of all tasks (`PROTECTED`)."""
    frames = [pl.DataFrame(schema=dict(PROTECTED))]
    for name, task in sorted(tasks.items()):
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
