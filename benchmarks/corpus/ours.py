"""Ingest and deduplicate FASTA files as the workflow does: a job a file, then a job a bucket."""

from __future__ import annotations

from coresift.dag.logs import start

start("/dev/null")

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from coresift.corpus.dedup import deduplicate
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.corpus.tables import SEQUENCE
from coresift.tables import write_arrow


def ingest_file(path: str, out: Path, corpus: dict[str, Any]) -> list[Path]:
    source = Path(path).stem
    parts = [out / f"parts/{source}/{b}.arrow" for b in range(corpus["buckets"])]
    rejects = out / f"rejects/{source}.parquet"
    blocks, chunk = corpus["blocks"], corpus["chunk_bytes"]
    ingest(path, source, parts, rejects, "rna", Limits.of(corpus), blocks, chunk)
    return parts


def deduplicate_bucket(parts: list[Path], path: Path, blocks: int) -> int:
    table = deduplicate(parts, blocks)
    write_arrow(path, table, SEQUENCE)
    return table.num_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fasta", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpus", type=json.loads, required=True, help="the config's section")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    out, corpus = options.out, options.corpus
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(ingest_file, path, out, corpus) for path in options.fasta]
        parts = zip(*(job.result() for job in jobs), strict=True)
        made = [
            pool.submit(deduplicate_bucket, list(paths), out / f"{b}.arrow", corpus["blocks"])
            for b, paths in enumerate(parts)
        ]
        print(sum(job.result() for job in made), "distinct")


if __name__ == "__main__":
    main()
