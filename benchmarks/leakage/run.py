"""What decontamination finds, and what it costs: k-mers beside MMseqs2, on real data.

    .venv/bin/python benchmarks/leakage/run.py finds [--modalities rna protein]
    .venv/bin/python benchmarks/leakage/run.py speed [--sizes 100000 1000000]

Run from the repository's root, with ../shared/data beside it: the test sets are those of
config/shared_*.yaml (valid and test), the pools its FASTA files. Prints the README's tables. CPU
seconds are user and system, one thread; wall seconds say little on a shared machine.
"""

from __future__ import annotations

import argparse
import logging
import resource
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from coresift.alphabet import ALPHABETS
from coresift.config import load_config
from coresift.corpus import mmseqs as mmseqs_module
from coresift.corpus.decontaminate import ExampleIndex, contaminated, least_shared
from coresift.corpus.fasta import read_blocks
from coresift.corpus.ingest import Judge
from coresift.corpus.kmer_limits import KMER_LIMITS, KmerLimits
from coresift.corpus.kmers import KmerIndex
from coresift.corpus.mmseqs import similar
from coresift.corpus.normalise import Limits
from coresift.hashing import seeded_generator
from coresift.tasks.data import protected_examples
from snakemake.utils import update_config

SHARED = Path("../shared/data")
LIMITS = Limits(min_length=30, max_length=1022, max_ambiguous=0.1)
#: k and containment of each row of the tables.
SETTINGS = {
    "rna": [
        (15, 0.5),
        (11, 0.25),
        (11, 0.15),
        (10, 0.15),
        (10, 0.1),
        (9, 0.2),
        (9, 0.15),
        (8, 0.2),
    ],
    "protein": [(8, 0.5), (8, 0.25), (6, 0.25), (6, 0.2), (5, 0.35), (5, 0.3), (5, 0.25), (4, 0.3)],
}
IDENTITIES = (1.0, 0.98, 0.95, 0.93, 0.9, 0.87, 0.85, 0.82, 0.8)
#: Of the edits of a mutant with indels, those that are insertions or deletions of one residue.
INDELS = 0.3
#: Mutated examples of a task, reversed sequences and real ones of the pool.
PER_TASK, REVERSED, REAL = 100, 20_000, 4_000
#: Lengths of the classes of examples, from and below.
LENGTHS = {"20-29": (20, 30), "30-99": (30, 100), "100 and more": (100, 2000)}


def examples_of(modality: str) -> pl.DataFrame:
    """Held-out examples of all tasks of a modality: task, task_id, sequence."""
    values = yaml.safe_load(Path(f"config/{modality}.yaml").read_text())
    update_config(values, yaml.safe_load(Path(f"config/shared_{modality}.yaml").read_text()))
    config = load_config(values)
    return protected_examples(config.tasks, config.decontaminate.splits, modality)


def pool_of(modality: str) -> pl.DataFrame:
    """The distinct sequences of the shared pool: seq_id, sequence, in hash order."""
    frames = []
    for path in sorted((SHARED / f"{modality}_pool").glob("*.fasta.gz")):
        judge = Judge("", modality, LIMITS)
        for block in read_blocks(path):
            frames.append(pl.DataFrame(judge.accept(block).distinct()).select("seq_id", "sequence"))
            judge.rejects.clear()
    return pl.concat(frames).unique("seq_id").sort("seq_id")


def mutant(sequence: str, edits: int, indels: float, letters: str, rng: np.random.Generator) -> str:
    """The sequence with that many of its residues changed, or lost, or followed by a new one."""
    found = list(sequence)
    for place in rng.choice(len(found), edits, replace=False):
        kind, other = rng.random(), letters[rng.integers(len(letters))]
        if kind < indels / 2:
            found[place] = ""
        elif kind < indels:
            found[place] += other
        else:
            found[place] = str(rng.choice([x for x in letters if x != found[place]]))
    return "".join(found)


def share_found(index: KmerIndex, others: Sequence[str], limits: KmerLimits) -> np.ndarray:
    """(n,) bool: whether others[i] is a leak of the index's sequence i."""
    found = []
    need = least_shared(index.sizes, limits.containment, limits.least)
    for start, sizes, shared in index.counts(others):
        rows = np.arange(len(sizes))
        of_other = least_shared(sizes, limits.containment, limits.least)
        own = shared[rows, start + rows]
        found.append(own >= np.minimum(of_other, need[start : start + len(sizes)]))
    return np.concatenate(found)


def settings_of(modality: str) -> Iterator[KmerLimits]:
    for k, containment in SETTINGS[modality]:
        yield KmerLimits(k, containment, KMER_LIMITS[modality].match)


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    print("|" + "---|" * len(cells))


def mutants_table(modality: str, examples: pl.DataFrame) -> None:
    """Share of mutated examples found, in percent: substitutions alone / with indels."""
    rng = seeded_generator(0, "leakage benchmark", modality)
    letters = ALPHABETS[modality].canonical
    sized = examples.with_columns(n=pl.col("sequence").str.len_chars())
    for name, (low, high) in LENGTHS.items():
        rows = sized.filter(pl.col("n").is_between(low, high, closed="left"))
        if rows.is_empty():
            continue
        chosen = pl.concat(
            part.sample(min(PER_TASK, part.height), seed=0)
            for _, part in rows.group_by("task", maintain_order=True)
        )["sequence"].to_list()
        made = {
            (identity, share): [
                mutant(s, round((1 - identity) * len(s)), share, letters, rng) for s in chosen
            ]
            for identity in IDENTITIES
            for share in (0.0, INDELS)
        }
        print(f"\n{modality}, examples of {name} residues: {len(chosen)}\n")
        head("k", "containment", "half found at", *(f"{i:.0%}" for i in IDENTITIES))
        for limits in settings_of(modality):
            index = KmerIndex(chosen, limits.k)
            shares = {
                key: share_found(index, others, limits).mean() for key, others in made.items()
            }
            cells = [
                f"{100 * shares[i, 0.0]:.0f} / {100 * shares[i, INDELS]:.0f}" for i in IDENTITIES
            ]
            row(limits.k, limits.containment, f"{limits.half_found:.0%}", *cells)


def real_table(modality: str, examples: pl.DataFrame, pool: pl.DataFrame) -> None:
    """Of what MMseqs2 finds in the real pool, the share that k-mers find; chance: reversed pool."""
    sample = pool.sample(min(REAL, pool.height), seed=0).sort("seq_id")
    decoys = pool.sample(min(REVERSED, pool.height), seed=1).with_columns(
        pl.col("sequence").str.reverse()
    )
    found = similar(sample, examples, modality, 0.8, 0.5, threads=1)
    edges = [0.8, 0.85, 0.9, 0.95, 1.01]
    bins = [
        set(found.filter(pl.col("identity").is_between(low, high, closed="left"))["seq_id"])
        for low, high in pairwise(edges)
    ]
    print(
        f"\n{modality}, {sample.height} of the pool: {found.height} found by MMseqs2 "
        f"(identity 0.8, coverage 0.5); {decoys.height} reversed\n"
    )
    names = [
        f"{low:.0%}-{min(high, 1):.0%} ({len(b)})"
        for low, high, b in zip(edges[:-1], edges[1:], bins, strict=True)
    ]
    head("k", "containment", *names, "others removed", "reversed removed")
    for limits in settings_of(modality):
        index = ExampleIndex.build(examples, limits.k)
        search = index, limits.containment, limits.least
        removed = set(contaminated(sample, *search)["seq_id"])
        chance = contaminated(decoys, *search).height
        cells = [f"{100 * len(removed & b) / max(len(b), 1):.0f} %" for b in bins]
        row(limits.k, limits.containment, *cells, len(removed.difference(*bins)), chance)


def cpu_seconds() -> float:
    """Of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def enlarged(pool: pl.DataFrame, n: int, modality: str) -> Iterator[pl.DataFrame]:
    """`n` sequences in frames of 50,000: the pool, then mutants of it (30 % of the residues)."""
    rng = seeded_generator(0, "leakage benchmark", "pool")
    codes = np.frombuffer(ALPHABETS[modality].canonical.encode(), np.uint8)
    turn = 0
    while n:
        for frame in pool.head(n).iter_slices(50_000):
            n -= frame.height
            if turn:
                letters = np.frombuffer("".join(frame["sequence"]).encode(), np.uint8).copy()
                places = np.flatnonzero(rng.random(len(letters), np.float32) < 0.3)
                letters[places] = rng.choice(codes, len(places))
                ends = frame["sequence"].str.len_bytes().cum_sum().to_list()
                text = letters.tobytes().decode()
                cut = [text[a:b] for a, b in pairwise([0, *ends])]
                frame = frame.select(seq_id=pl.col("seq_id") + f"-{turn}", sequence=pl.Series(cut))
            yield frame
        turn += 1


def speed_table(modality: str, examples: pl.DataFrame, pool: pl.DataFrame, sizes: Any) -> None:
    limits = KMER_LIMITS[modality]
    print(f"\n{modality}, k-mers: {examples.height} examples, k {limits.k}\n")
    head("pool", "residues", "index, CPU s", "search, CPU s", "removed", "peak MiB of the process")
    for n in sizes:
        began = cpu_seconds()
        index = ExampleIndex.build(examples, limits.k)
        built, searched, removed, residues = cpu_seconds() - began, 0.0, 0, 0
        for frame in enlarged(pool, n, modality):
            began = cpu_seconds()
            removed += contaminated(frame, index, limits.containment, limits.least).height
            searched += cpu_seconds() - began
            residues += int(frame["sequence"].str.len_bytes().sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row(f"{n:,}", f"{residues:,}", f"{built:.1f}", f"{searched:.1f}", removed, f"{peak:,.0f}")


def mmseqs_table(modality: str, examples: pl.DataFrame, pool: pl.DataFrame) -> None:
    """MMseqs2 with similar k-mers, its own default, and with equal ones alone."""
    sample = pool.sample(min(REAL, pool.height), seed=0).sort("seq_id")
    print(f"\n{modality}, MMseqs2: {sample.height} of the pool\n")
    head("seeds", "CPU s", "found", "of them by the first")
    first: set[str] = set()
    for name, exact_from in {"similar k-mers": 2.0, "equal k-mers": 0.0}.items():
        mmseqs_module._EXACT_FROM = exact_from
        began = cpu_seconds()
        found = set(similar(sample, examples, modality, 0.8, 0.5, threads=1)["seq_id"])
        first = first or found
        row(name, f"{cpu_seconds() - began:.1f}", len(found), len(found & first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["finds", "speed"])
    parser.add_argument("--modalities", nargs="+", default=["rna", "protein"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    logging.disable()
    for modality in options.modalities:
        examples, pool = examples_of(modality), pool_of(modality)
        if options.part == "finds":
            mutants_table(modality, examples)
            real_table(modality, examples, pool)
        else:
            speed_table(modality, examples, pool, options.sizes)
            if modality == "protein":  # seeds of nucleotides are equal k-mers anyway
                mmseqs_table(modality, examples, pool)


if __name__ == "__main__":
    main()
