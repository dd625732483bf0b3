"""Ingest and deduplicate FASTA files as the workflow does: a job a file, then a job a bucket."""

from __future__ import annotations

from coresift.logs import start

start("/dev/null")

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from coresift.corpus.dedup import deduplicate
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.io import SEQUENCE, write_arrow

LIMITS = Limits(min_length=30, max_length=1022, max_ambiguous=0.1)
BLOCKS, CHUNK_BYTES = 1024, 16 << 20


def ingest_file(path: str, out: Path, buckets: int) -> list[Path]:
    source = Path(path).stem
    parts = [out / f"parts/{source}/{b}.arrow" for b in range(buckets)]
    rejects = out / f"rejects/{source}.parquet"
    ingest(path, source, parts, rejects, "rna", LIMITS, BLOCKS, CHUNK_BYTES)
    return parts


def deduplicate_bucket(parts: list[Path], path: Path) -> int:
    table = deduplicate(parts, BLOCKS)
    write_arrow(path, table, SEQUENCE)
    return table.num_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fasta", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buckets", type=int, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    out, buckets = options.out, options.buckets
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(ingest_file, path, out, buckets) for path in options.fasta]
        parts = zip(*(job.result() for job in jobs), strict=True)
        made = [
            pool.submit(deduplicate_bucket, list(paths), out / f"{b}.arrow")
            for b, paths in enumerate(parts)
        ]
        print(sum(job.result() for job in made), "distinct")


if __name__ == "__main__":
    main()
