"""Settings of the corpus: reading, deduplication, clusters, decontamination, D_sub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from coresift.settings import FilePath, Fraction, Positive, Section


class Cluster(Section):
    """Near-duplicate clusters of the pool (MMseqs2 linclust)."""

    identity: Fraction = Field(0.9, description="identical positions, member to representative")
    coverage: Fraction = Field(0.8, description="share of the member's residues aligned")
    threads: Positive = Field(8, description="threads; does not change any result")


class Corpus(Section):
    """Raw FASTA -> distinct sequences in hash buckets."""

    fasta: list[FilePath] = Field(
        min_length=1, description="FASTA(.gz) files, any number, any order"
    )
    min_length: Positive = Field(30, description="shorter sequences are rejected")
    max_length: Positive = Field(1022, description="longer sequences are rejected")
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

    @model_validator(mode="after")
    def _check(self) -> Corpus:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        if self.buckets > self.blocks:
            raise ValueError(f"buckets {self.buckets} is above blocks {self.blocks}")
        names = [source_name(path) for path in self.fasta]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                "fasta: file names must differ without their folder, and with _ for every "
                f"character but letters, digits and _.+-: {twice}"
            )
        return self


class Decontaminate(Section):
    """Removal of pool sequences that resemble a task's held-out examples."""

    enabled: bool = Field(True, description="remove pool sequences close to a task's examples")
    method: Literal["kmer", "mmseqs2"] = Field(
        "kmer", description="shared k-mers, or alignment by MMseqs2 (`mmseqs` on PATH)"
    )
    k: int = Field(15, ge=4, le=32, description="kmer: k-mer length, residues")
    containment: Fraction = Field(
        0.5, description="kmer: removed if this fraction of the shorter one's k-mers is shared"
    )
    identity: Fraction = Field(
        0.8, description="mmseqs2: removed if an alignment has this share of identical positions"
    )
    coverage: Fraction = Field(
        0.5, description="mmseqs2: ... over this fraction of the shorter sequence"
    )
    splits: list[Literal["train", "valid", "test"]] = Field(
        ["valid", "test"], description="the task splits held out from pretraining"
    )


class Subset(Section):
    """The random subset D_sub for fine-tuning and the Fisher."""

    size: Positive = Field(20_000, description="sequences in D_sub")
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
