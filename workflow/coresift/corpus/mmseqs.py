"""Near duplicates by MMseqs2: search against held-out examples, and clusters of the pool.

Steinegger & Soeding 2017 (search), 2018 (linclust). Only the forward strand is compared: the models
read one strand. Results do not depend on threads, nor on how the pool is cut into buckets: each
pool sequence is a query of its own against all examples, and the pool is clustered as a whole.
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
#: From this identity on proteins are aligned only where they share k-mers, not similar ones alone:
#: a twentieth of the time at the same finds (benchmarks/leakage).
_EXACT_FROM = 0.8
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
    named = examples.with_row_index("name")
    with tempfile.TemporaryDirectory() as folder:
        queries, targets = Path(folder, "pool.fasta"), Path(folder, "examples.fasta")
        hits = Path(folder, "hits.tsv")
        _write_fasta(queries, [pool.rename({"seq_id": "name"})])
        _write_fasta(targets, [named])
        mmseqs(
            *("easy-search", queries, targets, hits, Path(folder, "work")),
            *("--dbtype", _DBTYPE[modality], *_SEARCH[modality]),
            *("--exact-kmer-matching", str(int(identity >= _EXACT_FROM))),
            # Identity and coverage decide, not the E-value, which grows with the examples' number.
            *("-e", "1e6", "--min-seq-id", str(identity), "--max-seqs", str(_MAX_EXAMPLES)),
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

    A member aligns to its cluster's representative with at least `identity`, over at least
    `coverage` of the member's length. Neither threads nor memory change the result.

    Raises:
        MmseqsError: MMseqs2 failed, or lost a sequence.
    """
    with tempfile.TemporaryDirectory() as folder:
        fasta, table = Path(folder, "pool.fasta"), Path(folder, "clusters.tsv")
        database, clusters = Path(folder, "pool"), Path(folder, "clusters")
        pool = iter_pool(buckets, ["seq_id", "sequence"])
        n = _write_fasta(fasta, (frame.rename({"seq_id": "name"}) for frame in pool))
        if n == 0:
            return pl.DataFrame(schema=dict(CLUSTER))
        mmseqs("createdb", fasta, database, "--dbtype", _DBTYPE[modality], "--shuffle", "0")
        mmseqs(
            *("linclust", database, clusters, Path(folder, "work")),
            *("--min-seq-id", str(identity), "-c", str(coverage), "--cov-mode", "1"),
            *("--threads", str(threads), "--split-memory-limit", f"{memory_mb * 3 // 4}M"),
        )
        mmseqs("createtsv", database, database, clusters, table)
        found = pl.read_csv(
            table,
            separator="\t",
            has_header=False,
            schema={"cluster_id": pl.String, "seq_id": pl.String},
        )
    if found["seq_id"].n_unique() != n or found.height != n:
        raise MmseqsError(f"{n} sequences went into linclust, {found.height} came out")
    return conform(found.sort("seq_id"), CLUSTER)
