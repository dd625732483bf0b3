"""Normalisation of one sequence, and the reasons to reject one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from coresift.alphabet import ALPHABETS

#: Stands for a character that is not a canonical letter, in `normalise_lines`.
ODD = 0xFF
#: Gaps of an alignment.
GAPS = b"-.~"


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
    return raw.rstrip(_tables(modality)[3]).decode("ascii")


def normalise_lines(text: bytearray, modality: str) -> bytearray:
    """Wrapped sequences, normalised as `normalise` does and joined, with the odd letters marked.

    Every character that is not a canonical letter becomes `ODD`.
    """
    return text.translate(_odd_table(modality), b"\n")


@cache
def _odd_table(modality: str) -> bytes:
    table, canonical, _, _ = _tables(modality)
    return bytes(code if code in canonical else ODD for code in table)


@dataclass(frozen=True)
class Limits:
    """What a pool sequence must satisfy: lengths in residues, others as fractions of them.

    Attributes:
        max_low_complexity: None where nobody looks at it.
        mask: put the unknown letter for low complexity below that.
        long: what becomes of a sequence above `max_length`: window, crop or reject.
        overlap: residues that a window shares with the one before.
    """

    min_length: int
    max_length: int
    max_ambiguous: float
    max_low_complexity: float | None = None
    mask: bool = False
    long: str = "reject"
    overlap: int = 0

    @classmethod
    def of(cls, corpus: Mapping[str, Any]) -> Limits:
        """Limits from the values of `corpus.settings.Corpus`."""
        low = corpus["low_complexity"]
        return cls(
            corpus["min_length"],
            corpus["max_length"],
            corpus["max_ambiguous"],
            None if low["action"] == "keep" else low["share"],
            low["action"] == "mask",
            corpus["long"],
            corpus["window_overlap"],
        )


#: Why a sequence is rejected: the reason and a detail.
Reason = tuple[str, str]


def unreadable(sequence: str, modality: str) -> Reason | None:
    """Why nothing can be taken of a normalised sequence: no_sequence, aligned or letters."""
    if not sequence:
        return "no_sequence", "the record has a header and no residues"
    _, canonical, letters, _ = _tables(modality)
    rest = sequence.encode("ascii").translate(None, canonical)
    if rest:
        foreign = rest.translate(None, letters)
        if foreign and not foreign.translate(None, GAPS):
            return "aligned", (
                f"{len(foreign)} gaps ({_distinct(foreign)}): an alignment, not sequences; "
                "remove the gaps, e.g. with `seqkit seq -g`"
            )
        if foreign:
            return "letters", (
                f"{len(foreign)} characters outside the {modality} alphabet: {_distinct(foreign)}"
            )
    return None


def reject_reason(sequence: str, modality: str, limits: Limits) -> Reason | None:
    """Why a normalised sequence, uncut, is rejected; None if it is good.

    Reasons: those of `unreadable`, too_short, too_long, ambiguous.
    """
    reason = unreadable(sequence, modality)
    if reason is not None:
        return reason
    length = len(sequence)
    if length < limits.min_length:
        return "too_short", f"{length} residues, minimum {limits.min_length}"
    if length > limits.max_length:
        return "too_long", f"{length} residues, maximum {limits.max_length}"
    codes = len(sequence.encode("ascii").translate(None, _tables(modality)[1]))
    if codes > limits.max_ambiguous * length:
        return "ambiguous", f"{codes} of {length} residues are ambiguity codes"
    return None


def _distinct(letters: bytes) -> str:
    shown = "".join(sorted(set(letters.decode("ascii"))))[:20]
    return shown if shown.isprintable() else repr(shown)
