"""FASTA of any size from real rRNA: windows, 10 % of them shuffled, 15 % exact duplicates."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import numpy as np

BLAST = "/usr/share/ncbi/data"
BATCH = 50_000
DUPLICATES, SHUFFLES = 0.15, 0.10


def parents() -> tuple[bytes, np.ndarray, np.ndarray]:
    """SILVA SSU and LSU of Debian's ncbi-rrna-data: joined letters, start and end of each."""
    found = [
        subprocess.run(
            ["blastdbcmd", "-db", name, "-entry", "all", "-outfmt", "%s"],
            env={**os.environ, "BLASTDB": BLAST},
            capture_output=True,
            check=True,
        ).stdout
        for name in ("SSURef_93.fasta", "LSURef_93.fasta")
    ]
    letters = b"".join(found)
    ends = np.flatnonzero(np.frombuffer(letters, np.uint8) == ord("\n"))
    return letters, np.concatenate([[0], ends[:-1] + 1]), ends


def records(n: int, lengths: tuple[int, int], seed: int = 0) -> Iterator[bytes]:
    """FASTA text in batches: log-uniform lengths, or the parent's own, lines of 60 letters."""
    low, high = lengths
    letters, starts, ends = parents()
    earlier: list[bytes] = []
    for first in range(0, n, BATCH):
        size = min(BATCH, n - first)
        rng = np.random.default_rng([seed, first])
        parent = rng.integers(len(starts), size=size)
        room = ends[parent] - starts[parent]
        length = np.minimum((low * (high / low) ** rng.random(size)).astype(np.int64), room)
        start = starts[parent] + (rng.random(size) * (room - length + 1)).astype(np.int64)
        kind = rng.random(size)
        source = rng.integers(1 << 40, size=size)
        lines: list[bytes] = []
        made: list[bytes] = []
        for i, (a, b, u, s) in enumerate(
            zip(start.tolist(), (start + length).tolist(), kind, source.tolist(), strict=True)
        ):
            if u < DUPLICATES and made:
                choices = earlier if earlier and s % 2 else made
                sequence = choices[s // 2 % len(choices)]
            else:
                sequence = letters[a:b]
                if u > 1 - SHUFFLES:
                    sequence = rng.permutation(np.frombuffer(sequence, np.uint8)).tobytes()
            made.append(sequence)
            lines.append(b">URS%010d/%d-%d ribosomal RNA fragment\n" % (first + i, a % 9999, b - a))
            lines += [sequence[j : j + 60] + b"\n" for j in range(0, len(sequence), 60)]
        earlier = earlier or made
        yield b"".join(lines)


def make_fasta(paths: Sequence[Path], n: int, lengths: tuple[int, int]) -> None:
    """Write `n` records of these lengths, batches in turn to the files."""
    with ExitStack() as stack:
        handles = [stack.enter_context(path.open("wb")) for path in paths]
        for handle, text in zip(cycle(handles), records(n, lengths)):
            handle.write(text)
