"""Ingest and deduplicate FASTA files as the workflow does: a job a file, then a job a bucket."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from coresift.config import Corpus, source_name
from coresift.corpus.dedup import deduplicate
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.io import SEQUENCE, write_table


def ingest_file(path: str, out: Path, corpus: Corpus) -> list[Path]:
    name = source_name(path)
    parts = [out / f"parts/{name}/{b}.parquet" for b in range(corpus.buckets)]
    limits = Limits(corpus.min_length, corpus.max_length, corpus.max_ambiguous)
    rejects = out / f"rejects/{name}.parquet"
    ingest(path, parts, rejects, "rna", limits, corpus.blocks, corpus.chunk_bytes)
    return parts


def deduplicate_bucket(parts: list[Path], path: Path, blocks: int) -> int:
    frame = deduplicate(parts, blocks)
    write_table(path, frame, SEQUENCE)
    return frame.height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fasta", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buckets", type=int, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    corpus = Corpus(fasta=options.fasta, buckets=options.buckets)
    out = options.out
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(ingest_file, path, out, corpus) for path in corpus.fasta]
        buckets = zip(*(job.result() for job in jobs), strict=True)
        made = [
            pool.submit(deduplicate_bucket, list(parts), out / f"{b}.parquet", corpus.blocks)
            for b, parts in enumerate(buckets)
        ]
        print(sum(job.result() for job in made), "distinct")


if __name__ == "__main__":
    main()
