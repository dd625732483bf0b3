"""Normalisation of one sequence, and the reasons to reject one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from coresift.alphabet import ALPHABETS


@cache
def _tables(modality: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Translation table, and the canonical, all and trailing letters, as bytes."""
    alphabet = ALPHABETS[modality]
    table = bytearray(range(256))
    for code in range(ord("a"), ord("z") + 1):
        table[code] = code - 32
    for old, new in alphabet.replace.items():
        table[ord(old)] = table[ord(old.lower())] = ord(new)
    return (
        bytes(table),
        alphabet.canonical.encode(),
        alphabet.letters.encode(),
        alphabet.trailing.encode(),
    )


def normalise(sequence: str, modality: str) -> str:
    """Upper case, T -> U for RNA (see `ALPHABETS`), trailing stop removed.

    Letters outside the alphabet are kept, for `reject_reason` to find; a character outside ASCII
    becomes '?'.
    """
    raw = sequence.encode("ascii", "replace").translate(_tables(modality)[0])
    return strip_trailing(raw, modality).decode("ascii")


def strip_trailing(sequence: bytes, modality: str) -> bytes:
    """Without the letters dropped from the end (a protein's stop)."""
    return sequence.rstrip(_tables(modality)[3])


def normalise_joined(bodies: bytes, modality: str) -> bytes:
    """Normalise many sequences at once: wrapped bodies joined by '>' to lines, one a sequence.

    As `normalise`, but trailing stops stay: `suspects` finds such lines.
    """
    table = bytearray(_tables(modality)[0])
    table[ord(">")] = ord("\n")
    return bodies.replace(b"\n", b"").translate(bytes(table))


@dataclass(frozen=True)
class Limits:
    """What a pool sequence must satisfy: lengths in residues, ambiguity as a fraction."""

    min_length: int
    max_length: int
    max_ambiguous: float


def reject_reason(sequence: str, modality: str, limits: Limits) -> tuple[str, str] | None:
    """Why a normalised sequence is rejected, as (reason, detail); None if it is good.

    Reasons: no_sequence, letters, too_short, too_long, ambiguous.
    """
    if not sequence:
        return "no_sequence", "the record has a header and no residues"
    _, canonical, letters, _ = _tables(modality)
    rest = sequence.encode("ascii").translate(None, canonical)
    if rest:
        foreign = rest.translate(None, letters)
        if foreign:
            shown = "".join(sorted(set(foreign.decode("ascii"))))[:20]
            return "letters", f"{len(foreign)} characters outside the {modality} alphabet: {shown}"
    length = len(sequence)
    if length < limits.min_length:
        return "too_short", f"{length} residues, minimum {limits.min_length}"
    if length > limits.max_length:
        return "too_long", f"{length} residues, maximum {limits.max_length}"
    if len(rest) > limits.max_ambiguous * length:
        return "ambiguous", f"{len(rest)} of {length} residues are ambiguity codes"
    return None


def suspects(lines: bytes, modality: str, limits: Limits) -> np.ndarray:
    """(k,) int64: numbers of the lines, normalised sequences, that `reject_reason` may reject.

    All others are of canonical letters and of allowed length.
    """
    canonical = _tables(modality)[1]
    lengths = _line_lengths(lines)
    odd = _line_lengths(lines.translate(None, canonical)) > 0
    return np.flatnonzero(odd | (lengths < limits.min_length) | (lengths > limits.max_length))


def _line_lengths(lines: bytes) -> np.ndarray:
    """(n,) int64 lengths of lines separated by a newline (none after the last)."""
    breaks = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    return np.diff(breaks, prepend=-1, append=len(lines)) - 1
