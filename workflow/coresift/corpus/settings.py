"""Settings of the corpus: reading, deduplication, clusters, decontamination, D_sub."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from coresift.corpus.kmer_limits import KMER_LIMITS, KmerLimits
from coresift.settings import (
    FilePath,
    Fraction,
    InputLength,
    Modality,
    OneGroup,
    Positive,
    Precision,
    Section,
)

#: What `corpus.groups` may not be called: groupings there are anyway, and columns beside them.
RESERVED = {
    *("source", "cluster", "hash", "length_bin", "near", "set", "seq_id", "group"),
    *("id", "sequence", "source_ids", "length", "score", "rank", "stratum", "weight"),
    *("n_windows", "nearest", "known"),
}
_RNA, _PROTEIN = KMER_LIMITS["rna"], KMER_LIMITS["protein"]


class Cluster(Section):
    """Near-duplicate clusters of the pool (MMseqs2, by linclust's steps; forward strand)."""

    identity: Fraction = Field(
        0.9, description="least share of identical positions, every member to its representative"
    )
    coverage: Fraction = Field(
        0.8, description="least share of the member's residues in that alignment"
    )
    threads: Positive = Field(8, description="threads; does not change any result")


class Grouping(Section):
    """Groups that the user gives to records."""

    regex: OneGroup | None = Field(
        None, description="found in a record's header, its one group in parentheses is the group"
    )
    table: FilePath | None = Field(
        None,
        description="CSV or TSV (plain, gzip or zstd) with columns id (a record's) and group; in a "
        "TSV a quote is a letter like any other",
    )

    @model_validator(mode="after")
    def _check(self) -> Grouping:
        if (self.regex is None) == (self.table is None):
            raise ValueError("give either regex or table")
        return self


class LowComplexity(Section):
    """What becomes of low-complexity sequence: DUST (RNA) or tantan (proteins)."""

    action: Literal["keep", "drop", "mask"] = Field(
        "keep",
        description="drop rejects records above `share`; mask does too, and puts the unknown "
        "letter for every low-complexity residue of the others",
    )
    share: Fraction = Field(
        0.5, description="drop, mask: records with more of their residues masked are rejected"
    )


class Corpus(Section):
    """Raw FASTA -> distinct sequences in hash buckets."""

    fasta: list[FilePath] = Field(
        min_length=1, description="FASTA(.gz) files, any number, any order"
    )
    min_length: Positive = Field(30, description="shorter sequences are rejected")
    max_length: Positive = Field(1022, description="longer sequences: see `long`")
    long: Literal["window", "crop", "reject"] = Field(
        "window",
        description="what becomes of a sequence above max_length: window cuts it into sequences "
        "of max_length, crop keeps the first max_length residues (the paper's code does)",
    )
    window_overlap: int = Field(
        0, ge=0, description="residues that a window shares with the one before"
    )
    max_ambiguous: Fraction = Field(
        0.1, description="rejected above this fraction of ambiguity codes"
    )
    blocks: Positive = Field(
        1024,
        le=65536,
        description="hash blocks: the unit of batching and resume; not to be changed midway",
    )
    buckets: Positive = Field(16, description="deduplication jobs; does not change any result")
    chunk_bytes: Positive = Field(
        16 << 20, description="memory bound of ingest: characters held before a flush"
    )

    sample: float = Field(
        1.0, gt=0, le=1, description="share of the distinct sequences, by seeded hash, in the pool"
    )
    cluster: Cluster | None = Field(
        None, description="cluster the pool by MMseqs2 (`mmseqs` on PATH); default: not"
    )
    groups: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Grouping] = Field(
        default_factory=dict,
        description="groupings of the pool by name, beside `source` (the file) and `cluster`",
    )
    low_complexity: LowComplexity = Field(default_factory=LowComplexity)

    @model_validator(mode="after")
    def _check(self) -> Corpus:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        if self.window_overlap >= self.max_length:
            raise ValueError(
                f"window_overlap {self.window_overlap} is not below max_length {self.max_length}"
            )
        if self.window_overlap and self.long != "window":
            raise ValueError(
                f"window_overlap {self.window_overlap} goes with long: window, not {self.long}"
            )
        if self.buckets > self.blocks:
            raise ValueError(f"buckets {self.buckets} is above blocks {self.blocks}")
        names = [source_name(path) for path in self.fasta]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                "fasta: file names must differ without their folder, and with _ for every "
                f"character but letters, digits and _.+-: {twice}"
            )
        taken = sorted(RESERVED & set(self.groups))
        if taken:
            raise ValueError(f"groups: names with another meaning: {', '.join(taken)}")
        return self

    @property
    def groupings(self) -> list[str]:
        """Names of all groupings of the pool; other sections may name these only."""
        return ["source", *(["cluster"] if self.cluster is not None else []), *sorted(self.groups)]


class Decontaminate(Section):
    """Removal of pool sequences that resemble a task's held-out examples."""

    enabled: bool = Field(True, description="remove pool sequences close to a task's examples")
    method: Literal["kmer", "mmseqs2"] = Field(
        "kmer", description="shared k-mers, or alignment by MMseqs2 (`mmseqs` on PATH)"
    )
    k: int | None = Field(
        None,
        ge=4,
        le=32,
        description=f"kmer: k-mer length, residues. Default: {_RNA.k} for RNA, {_PROTEIN.k} for "
        "proteins",
    )
    containment: Fraction | None = Field(
        None,
        description="kmer: removed if this fraction of the shorter one's k-mers is shared. "
        f"Default: {_RNA.containment} for RNA, {_PROTEIN.containment} for proteins "
        "(docs/corpus.md: what is found)",
    )
    identity: Fraction = Field(
        0.8, description="mmseqs2: removed if an alignment has this share of identical positions"
    )
    coverage: Fraction = Field(
        0.5, description="mmseqs2: ... over this fraction of the shorter sequence"
    )
    splits: list[Literal["train", "valid", "test"]] = Field(
        ["valid", "test"],
        min_length=1,
        description="the task splits held out from pretraining",
    )

    def kmer_limits(self, modality: Modality) -> KmerLimits:
        """`k` and `containment` as they are used, and what goes with them."""
        default = KMER_LIMITS[modality]
        return replace(
            default,
            k=default.k if self.k is None else self.k,
            containment=default.containment if self.containment is None else self.containment,
        )


class Heldout(Section):
    """Sequences that nothing learns from, on which every checkpoint is tested."""

    share: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="share of the pool set apart before anything learns; 0: no set of the pool",
    )
    size: Positive = Field(
        2000, description="most sequences of a held-out set that are tested, a seeded sample"
    )
    by: str | None = Field(
        None,
        description="hash: each sequence by itself; a grouping (source, cluster, or one of "
        "corpus.groups): whole groups. Default: cluster if there is corpus.cluster, else hash",
    )
    files: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], FilePath] = Field(
        default_factory=dict, description="more held-out sets by name: FASTA files"
    )
    near: Fraction = Field(
        0.5,
        description="a held-out sequence is near if one sequence of the pool has this share of "
        "its k-mers (of decontaminate.k, or its default)",
    )
    mask_fraction: float = Field(
        0.15, gt=0, lt=1, description="share of a sequence's canonical residues in a mask"
    )
    n_masks: Positive = Field(
        1, description="masks of a sequence, the same for every model; more cost more passes"
    )
    max_tokens: InputLength = Field(
        1024,
        description="longest input, special tokens included; a longer sequence is read in pieces; "
        "at most pretrain.max_tokens, unless positions are rotary",
    )
    tokens_per_batch: Positive = Field(
        16384, description="padded tokens in one forward pass: bounds memory"
    )
    precision: Precision = Field("float32", description="bf16 = autocast (GPU)")

    @model_validator(mode="after")
    def _check(self) -> Heldout:
        if "pool" in self.files:
            raise ValueError("files: pool is the name of the pool's own set")
        return self

    @property
    def sets(self) -> list[str]:
        """Names of the held-out sets, in the order of their rows."""
        return sorted([*(["pool"] if self.share else []), *self.files])


class Subset(Section):
    """The random subset D_sub for fine-tuning and the Fisher."""

    size: Positive = Field(20_000, description="sequences in D_sub")
    seed: int | None = Field(
        None,
        ge=0,
        description="of the draw of D_sub alone: all else that is drawn stays as it is. Default: "
        "the run's",
    )
    fasta: list[FilePath] | None = Field(
        None,
        description="draw D_sub from these files of corpus.fasta only; pins D_sub (and every old "
        "score) when files are added. Default: all",
    )


def source_name(path: str) -> str:
    """`dir/name.fa.gz` -> `name`: the wildcard and the label of an input file.

    Characters that a wildcard, a command line or a pattern of paths could read otherwise become
    `_`; the path itself is taken literally.
    """
    name = Path(path).name
    name = re.sub(r"\.(fasta|fa|fna|faa|fas)?(\.gz)?$", "", name) or name
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
