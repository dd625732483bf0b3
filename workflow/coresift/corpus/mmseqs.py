"""Near duplicates by MMseqs2: search against held-out examples, and clusters of the pool.

Steinegger & Soeding 2017 (search), 2018 (linclust). Only the forward strand is compared: the models
read one strand. Results do not depend on threads, nor on how the pool is cut into buckets: each
pool sequence is a query of its own against all examples, and the pool is clustered as a whole.

Clusters are made by linclust's own steps, less two shortcuts of `mmseqs linclust`. That takes
reverse complements of RNA for near duplicates, and it clusters in two stages and joins the two, so
that a member need not align to its representative. Here there is one stage: every member has been
aligned to its representative. k-mer matches of the other strand are left out, and what they leave
alone is clustered again by itself.
"""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from coresift.corpus.dedup import iter_pool
from coresift.corpus.tables import CLUSTER, REMOVED
from coresift.tables import conform

logger = logging.getLogger(__name__)

#: Sequence type; left to itself, `createdb` may take RNA for protein.
_DBTYPE = {"rna": "2", "protein": "1"}
#: k-mers shorter than MMseqs2 would choose: more sensitive, and a table of MB where its 15 for RNA
#: needs 9 GB.
_SEARCH = {
    "rna": ["--search-type", "3", "--strand", "1", "-k", "11"],
    "protein": ["--search-type", "1", "-k", "5"],
}
#: Shorter examples have no seed; where all are, MMseqs2 fails.
_SHORTEST = {"rna": 17, "protein": 12}
#: From this identity on proteins are aligned only where they share k-mers, not similar ones alone:
#: a twentieth of the time at the same finds (benchmarks/leakage).
_EXACT_FROM = 0.8
#: Identity and coverage decide, not the E-value, which grows with the number of sequences.
_ANY_E_VALUE = ("-e", "1e6")
#: Keeps k-mer matches of the strand: the scores of the other's are below zero.
_SCORE = ("--filter-column", "2")
_FORWARD = (*_SCORE, "--comparison-operator", "ge", "--comparison-value", "0")
_REVERSE = (*_SCORE, "--comparison-operator", "le", "--comparison-value", "-1")
#: k-mers of a sequence that linclust matches, beside one for every five nucleotides.
_KMERS = "21"
#: Examples that may pass the prefilter for one pool sequence.
_MAX_EXAMPLES = 1000


class MmseqsError(RuntimeError):
    """MMseqs2 is not installed, or failed; the message holds its last words."""


def mmseqs(*arguments: str | Path) -> None:
    """Run `mmseqs`.

    Raises:
        MmseqsError: see the class.
    """
    command = ["mmseqs", *map(str, arguments)]
    logger.info("%s", " ".join(command))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MmseqsError(
            "mmseqs: not on PATH; install MMseqs2 (Debian: mmseqs2) or run snakemake --sdm conda"
        ) from None
    if done.returncode:
        raise MmseqsError(
            f"mmseqs {arguments[0]} failed ({done.returncode}):\n"
            f"{(done.stdout + done.stderr)[-2000:]}"
        )


def _write_fasta(path: Path, frames: Iterable[pl.DataFrame]) -> int:
    """Write columns name and sequence; returns the number of records."""
    n = 0
    with path.open("wb") as handle:
        for frame in frames:
            text = frame.select(pl.format(">{}\n{}", "name", "sequence"))
            text.write_csv(handle, include_header=False, quote_style="never")
            n += frame.height
    return n


def similar(
    pool: pl.DataFrame,
    examples: pl.DataFrame,
    modality: str,
    identity: float,
    coverage: float,
    threads: int,
) -> pl.DataFrame:
    """Pool sequences that align to an example (columns of `REMOVED`), in hash order.

    An alignment counts if its share of identical positions reaches `identity` and it covers
    `coverage` of the shorter sequence. The example of the highest identity, then coverage, is
    named; ties go to the first in (task, task_id) order. Seeds need a stretch of about 18 (RNA) or
    16 (protein) residues: shorter examples are not found; `decontaminate.method: kmer` finds them.

    Args:
        pool: columns seq_id, sequence.
        examples: columns task, task_id, sequence; normalised.
    """
    if not pool.height or not examples.height:
        return pl.DataFrame(schema=dict(REMOVED))
    shortest = _SHORTEST[modality]
    named = examples.filter(pl.col("sequence").str.len_bytes() >= shortest).with_row_index("name")
    if named.height < examples.height:
        logger.warning(
            "%d of %d examples are shorter than %d residues and cannot be found by MMseqs2 "
            "(decontaminate.method: kmer finds them)",
            *(examples.height - named.height, examples.height, shortest),
        )
    if not named.height:
        return pl.DataFrame(schema=dict(REMOVED))
    with tempfile.TemporaryDirectory() as folder:
        queries, targets = Path(folder, "pool.fasta"), Path(folder, "examples.fasta")
        hits = Path(folder, "hits.tsv")
        _write_fasta(queries, [pool.rename({"seq_id": "name"})])
        _write_fasta(targets, [named])
        mmseqs(
            *("easy-search", queries, targets, hits, Path(folder, "work")),
            *("--dbtype", _DBTYPE[modality], *_SEARCH[modality]),
            *("--exact-kmer-matching", str(int(identity >= _EXACT_FROM))),
            *(*_ANY_E_VALUE, "--min-seq-id", str(identity), "--max-seqs", str(_MAX_EXAMPLES)),
            *("--mask", "0", "--threads", str(threads)),
            *("--format-output", "query,target,fident,qcov,tcov"),
        )
        columns = ["seq_id", "name", "identity", "query_coverage", "target_coverage"]
        types = [pl.String, pl.UInt32, *[pl.Float64] * 3]
        found = pl.read_csv(
            hits,
            separator="\t",
            has_header=False,
            schema=dict(zip(columns, types, strict=True)),
        )
    best = (
        found.with_columns(containment=pl.max_horizontal("query_coverage", "target_coverage"))
        .filter(pl.col("identity") >= identity, pl.col("containment") >= coverage)
        .join(named, on="name")
        .sort(
            *("seq_id", "identity", "containment", "task", "task_id"),
            descending=[False, True, True, False, False],
        )
        .unique("seq_id", keep="first", maintain_order=True)
    )
    return conform(best, REMOVED)


def cluster(
    buckets: Sequence[str | Path],
    modality: str,
    identity: float,
    coverage: float,
    threads: int,
    memory_mb: int,
) -> pl.DataFrame:
    """Clusters of the pool by linclust (columns of `CLUSTER`), in hash order.

    A member aligns to its cluster's representative, on the forward strand, with at least
    `identity`, over at least `coverage` of the member's length (of two of one length, of either's).
    Two sequences that would align may be in different clusters: only those that share a k-mer with
    a representative are compared. Neither threads nor memory change the result.

    Raises:
        MmseqsError: MMseqs2 failed, or lost a sequence.
    """
    limits = ["--min-seq-id", str(identity), "-c", str(coverage), "--cov-mode", "1"]
    workers = ["--threads", str(threads)]
    memory = ["--split-memory-limit", f"{memory_mb * 3 // 4}M"]
    pool = iter_pool(buckets, ["seq_id", "sequence"])
    found, alone = _cluster_once(pool, modality, limits, workers, memory)
    left = 2 * found.height
    # What low complexity, alike on both strands, leaves alone would go one by one.
    while 0 < len(alone) <= left // 2:
        left = len(alone)
        logger.info("%d sequences matched the other strand alone: clustered again", len(alone))
        pool = iter_pool(buckets, ["seq_id", "sequence"])
        again = (frame.filter(pl.col("seq_id").is_in(alone.implode())) for frame in pool)
        more, alone = _cluster_once(again, modality, limits, workers, memory)
        found = found.update(more, on="seq_id")
    return conform(found.sort("seq_id"), CLUSTER)


def _cluster_once(
    pool: Iterable[pl.DataFrame],
    modality: str,
    limits: Sequence[str],
    workers: Sequence[str],
    memory: Sequence[str],
) -> tuple[pl.DataFrame, pl.Series]:
    """Columns of `CLUSTER`, and who is alone after k-mer matches of the other strand were left out.

    Fewer than there were: the longest sequence is what others are matched to.
    """
    with tempfile.TemporaryDirectory() as folder:
        fasta, table = Path(folder, "pool.fasta"), Path(folder, "clusters.tsv")
        names = ("pool", "matches", "forward", "aligned", "clusters")
        database, matches, forward, aligned, clusters = (Path(folder, name) for name in names)
        n = _write_fasta(fasta, (frame.rename({"seq_id": "name"}) for frame in pool))
        if n == 0:
            return pl.DataFrame(schema=dict(CLUSTER)), pl.Series(dtype=pl.String)
        mmseqs("createdb", fasta, database, "--dbtype", _DBTYPE[modality], "--shuffle", "0")
        mmseqs(
            "kmermatcher", database, matches, *limits, "--kmer-per-seq", _KMERS, *memory, *workers
        )
        turned = pl.Series(dtype=pl.String)
        if modality == "rna":
            turned = _turned(database, matches, Path(folder, "turned"), workers)
            mmseqs("filterdb", matches, forward, *_FORWARD, *workers)
            matches = forward
        # Mode 3 counts identical positions, where linclust's would estimate them from the score.
        mmseqs(
            *("align", database, database, matches, aligned, "--alignment-mode", "3"),
            *(*limits, *_ANY_E_VALUE, *workers),
        )
        # Greedily, the longest first, as linclust clusters by this coverage.
        mmseqs("clust", database, aligned, clusters, "--cluster-mode", "3", *workers)
        mmseqs("createtsv", database, database, clusters, table, *workers)
        found = pl.read_csv(
            table,
            separator="\t",
            has_header=False,
            schema={"cluster_id": pl.String, "seq_id": pl.String},
        )
    if found["seq_id"].n_unique() != n or found.height != n:
        raise MmseqsError(f"{n} sequences went into clustering, {found.height} came out")
    alone = found.filter(pl.len().over("cluster_id") == 1, pl.col("seq_id").is_in(turned.implode()))
    return found, alone["seq_id"]


def _turned(database: Path, matches: Path, target: Path, workers: Sequence[str]) -> pl.Series:
    """Names of the sequences that k-mers match to another one on the other strand."""
    mmseqs("filterdb", matches, target, *_REVERSE, *workers)
    table = target.with_suffix(".tsv")
    mmseqs("createtsv", database, database, target, table, *workers)
    texts, numbers = ("representative", "seq_id"), ("score", "diagonal")
    types = {**dict.fromkeys(texts, pl.String), **dict.fromkeys(numbers, pl.Int64)}
    rows = pl.scan_csv(
        table, separator="\t", has_header=False, schema=types, raise_if_empty=False, glob=False
    )
    others = rows.filter(pl.col("seq_id") != pl.col("representative"))
    return others.select(pl.col("seq_id").unique()).collect(engine="streaming").to_series()
