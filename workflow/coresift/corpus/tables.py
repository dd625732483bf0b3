"""Tables that the corpus stages write."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from coresift.tables import Schema

#: One normalised record of a FASTA file, or a window of one, not deduplicated (an Arrow file).
PART: Schema = {
    "high": pl.UInt64,  # upper and lower half of the xxh3-128 of the normalised sequence
    "low": pl.UInt64,
    "sequence": pl.String,
    "source_id": pl.String,  # the record's own id, first word of its header
    "first": pl.Int64,  # number of a window's first residue, from 1; 0 for a whole record
}


#: Group of each row of a `PART` by a regular expression (an Arrow file).
LABEL: Schema = {"group": pl.String}


#: One input record, or window of one, that was not taken, and why.
REJECT: Schema = {
    "source": pl.String,  # name of the FASTA file
    "record": pl.Int64,  # 1-based number of the record in its file
    "source_id": pl.String,  # a window's ends in its coordinates, as those of `SEQUENCE` do
    "reason": pl.String,
    "detail": pl.String,
}


#: One distinct sequence of the corpus. Rows are in seq_id (hash) order.
SEQUENCE: Schema = {
    "seq_id": pl.String,
    "sequence": pl.String,
    "length": pl.Int32,  # residues
    "block": pl.Int32,  # leading bits of the hash: the unit of batching and resume
    "n_copies": pl.Int32,
    "n_windows": pl.Int32,  # copies that are windows of longer records
    # Ids of all copies: of whole records, sorted; then of windows, ID/FIRST-LAST, by id and place.
    # Residues are numbered from 1, the last included.
    "source_ids": pl.List(pl.String),
}


#: Why a distinct sequence was taken out of the pool by decontamination.
REMOVED: Schema = {
    "seq_id": pl.String,
    "task": pl.String,
    "task_id": pl.String,
    "containment": pl.Float64,  # share of the shorter sequence: its k-mers, or residues aligned
    "identity": pl.Float64,  # identical positions of the alignment; null for method kmer
}


#: Near duplicates of the pool, in seq_id order.
CLUSTER: Schema = {
    "seq_id": pl.String,
    "cluster_id": pl.String,  # seq_id of the cluster's representative
}


#: What a pool sequence is like, apart from its letters; in seq_id order.
FEATURE: Schema = {
    "seq_id": pl.String,
    "length": pl.Int32,
    "composition": pl.Float64,  # see corpus.composition
    "ambiguous": pl.Float64,  # share of residues that are no canonical letter
    "low_complexity": pl.Float64,  # share of residues that DUST (RNA) or tantan (protein) masks
}


#: A held-out sequence that every checkpoint is tested on, by set, then in seq_id order.
HELD_OUT: Schema = {
    "set": pl.String,  # "pool", or a name of heldout.files
    "seq_id": pl.String,
    "sequence": pl.String,
    "length": pl.Int32,
    "nearest": pl.Float64,  # largest k-mer containment in a sequence of the pool proper
}


def group_schema(names: Iterable[str]) -> Schema:
    """Groups of sequences: one text column a grouping (source, cluster, the user's), by seq_id."""
    return {"seq_id": pl.String, **dict.fromkeys(names, pl.String)}


#: A held-out example of a task, which the pool must not resemble; the tasks' stage fills it.
PROTECTED: Schema = {
    "task": pl.String,  # the names of its files
    "task_id": pl.String,
    "sequence": pl.String,
}
