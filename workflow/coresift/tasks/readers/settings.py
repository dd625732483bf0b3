"""Settings of a task's files: where they are, how they are read and split."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, model_validator

from coresift.settings import FilePath, Fraction, Modality, OneGroup, Positive, Section


class Draw(Section):
    """Test and valid examples drawn from files without splits; the rest is train."""

    test: Positive | Annotated[float, Field(gt=0, lt=1)] = Field(description="number or share")
    valid: Positive | Annotated[float, Field(gt=0, lt=1)] = Field(description="number or share")
    seed: int = Field(42, description="of the hash that draws")
    group: str | None = Field(
        None,
        description="column (tables): examples of one value, a family, are in one split. Copies "
        "always are",
    )

    def counts(self, n: int) -> tuple[int, int]:
        """Test and valid examples of `n`."""
        test, valid = (round(v * n) if v < 1 else int(v) for v in (self.test, self.valid))
        return test, valid


Split = Literal["train", "valid", "test"]


class Sampled(Section):
    """A seeded part of the examples. Fewer are a part of more; copies are in or out together."""

    train: Positive | None = Field(None, description="examples at most; null = all")
    valid: Positive | None = Field(None, description="examples at most; null = all")
    test: Positive | None = Field(None, description="examples at most; null = all")
    max_length: Positive | None = Field(
        None, description="residues: longer examples, and pairs with a longer one, are left out"
    )
    seed: int = Field(42, description="of the hash that draws")


class Pairs(Section):
    """Pairs of residues as lists in the columns of a table: base pairs or contacts."""

    i: str = Field(description="column of the first residues, or of lists [i, j] (without `j`)")
    j: str | None = Field(None, description="column of the second residues")
    base: Literal[0, 1] = Field(description="number of the first residue")
    unknown: str | None = Field(
        None, description="column of the residues whose pairs are not known"
    )


class TaskData(Section):
    """Where a task's labelled sequences are and how to read them (docs/tasks.md)."""

    path: FilePath | None = Field(
        None,
        description="one file, or a folder of .bpseq, .ct or .dbn; its ending says how to read",
    )
    train: FilePath | None = Field(None, description="or one file or folder a split")
    valid: FilePath | None = Field(None, description="with `train`; default: drawn from train")
    test: FilePath | None = Field(None, description="with `train`, needed")
    sequence: str = Field("sequence", description="column of the sequence (tables)")
    sequence_b: str | None = Field(None, description="column of the partner (two sequences)")
    label: str | list[str] = Field(
        "label",
        description="column of the label (tables), or a pattern of columns such as "
        "contact_map/{id}.npy; files are relative to the table. A list: a column a label "
        "(kind multilabel)",
    )
    label_separator: str | None = Field(
        None, min_length=1, description="between the names of a label (kind multilabel)"
    )
    partners_base: Literal[0, 1] | None = Field(
        None,
        description="`label` is a list of one partner a residue (tables, kind pairwise): number of "
        "the first residue. Unpaired: 0 where it is 1, -1 or null where it is 0",
    )
    pairs: Pairs | None = Field(
        None,
        description="the label is pairs of residues, instead of `label` (tables, kind pairwise)",
    )
    coordinates: list[str] | None = Field(
        None,
        min_length=1,
        description="the label is distances, instead of `label` (tables, kind pairwise): columns "
        "of one atom a residue each, 3 L numbers in angstrom, null = not resolved; the nearest two "
        "atoms count",
    )
    split: str = Field("split", description="column of the split (tables, `path` only)")
    split_names: dict[str, Split] = Field(
        default_factory=dict, description="what the file calls a split: which it is"
    )
    skip_splits: list[str] = Field(
        default_factory=list,
        description="what the file calls a split: left out, counted; '' = rows that name none",
    )
    default_split: Split | None = Field(None, description="split of records that name none")
    draw: Draw | None = Field(None, description="seeded split of a file without splits (`path`)")
    mask: str | list[str] | dict[Split, str | list[str]] | None = Field(
        None,
        description="column, or columns, of numbers a residue, 0 in any = label not known (kind "
        "token); single digits need no blanks between. By split where the files' columns differ",
    )
    skip_labels: list[str] = Field(
        default_factory=list,
        description="labels left out, counted; `*` stands for any text (*|* = those of several)",
    )
    label_regex: OneGroup | None = Field(
        None, description="FASTA: first group of this pattern in the header is the label"
    )
    split_regex: OneGroup | None = Field(
        None, description="FASTA: first group of this pattern is the split"
    )
    fasta: FilePath | None = Field(
        None, description=".txt list of pairs: FASTA of the run's modality"
    )
    fasta_b: FilePath | None = Field(None, description=".txt list of pairs: FASTA of the partners")
    modality_b: Modality | None = Field(
        None,
        description="partner's modality; if not the run's, k-mer frequencies stand for the partner",
    )
    foreign_letters: Literal["error", "unknown"] = Field(
        "error", description="unknown = read as N (RNA) or X (protein), counted"
    )
    max_foreign: Fraction = Field(
        0.02,
        description="foreign_letters: unknown is an error above this share of a split's residues: "
        "the files of two molecules swapped, or another alphabet",
    )
    valid_fraction: Fraction = Field(
        0.1, description="share of train that is hashed into valid where no valid split is given"
    )

    @model_validator(mode="after")
    def _check(self) -> TaskData:
        if (self.path is None) == (self.train is None):
            raise ValueError("give either `path` or `train` (with `test`)")
        if self.train is not None and self.test is None:
            raise ValueError("`train` needs `test`")
        if self.draw is not None and self.path is None:
            raise ValueError("`draw` splits one `path`; with a file a split write `draw: null`")
        labels = ("pairs", "coordinates", "partners_base")
        given = [key for key in labels if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(labels)}, not {' and '.join(given)}")
        if isinstance(self.mask, dict) and self.path is not None:
            raise ValueError("mask by split needs one file a split")
        both = sorted({*self.split_names} & {*self.skip_splits})
        if both:
            raise ValueError(f"split_names and skip_splits both name {both}")
        return self

    def paths(self) -> dict[str, str]:
        """Every file or folder of the task by its key, in a fixed order."""
        keys = ("path", "train", "valid", "test", "fasta", "fasta_b")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    def files(self) -> list[str]:
        """Every file or folder of the task, in a fixed order."""
        return list(self.paths().values())


Kind = Literal["class", "multilabel", "scalar", "token", "pair", "pair_scalar", "pairwise"]


#: Endings of the files of maps that a label of kind pairwise may name.
MAP_ENDINGS = (".npy", *(f".{kind}{gz}" for kind in ("pdb", "ent", "cif") for gz in ("", ".gz")))


class LabelledData(Section):
    """Labelled sequences: the part of a task that decides how its files are read."""

    kind: Kind = Field(
        description="what a label is: a class, 0/1 labels, a number, one class a residue, the "
        "class or the number of two sequences, or an L x L map over one sequence"
    )
    data: TaskData = Field(description="the files, and how to read them")
    sample: Sampled | None = Field(
        None,
        description="a part of the examples is trained on and tested; the pool is held apart from "
        "all of them",
    )

    @model_validator(mode="after")
    def _check_label(self) -> LabelledData:
        needs = {
            "data.pairs": (self.data.pairs, "pairwise"),
            "data.coordinates": (self.data.coordinates, "pairwise"),
            "data.partners_base": (self.data.partners_base, "pairwise"),
            "data.label_separator": (self.data.label_separator, "multilabel"),
            "data.mask": (self.data.mask, "token"),
            "a list in data.label": (isinstance(self.data.label, list) or None, "multilabel"),
        }
        for key, (value, kind) in needs.items():
            if value is not None and self.kind != kind:
                raise ValueError(f"{key} is for kind {kind}, not {self.kind}")
        return self

    @property
    def two_sequences(self) -> bool:
        """Whether an example is a pair of sequences."""
        return self.kind in ("pair", "pair_scalar")

    def map_folders(self) -> list[str]:
        """Folders in which labels of kind pairwise may name files: those of the tables."""
        given = (self.data.path, self.data.train, self.data.valid, self.data.test)
        folders = {os.path.dirname(path) or "." for path in given if path is not None}
        return sorted(folders) if self.kind == "pairwise" else []
