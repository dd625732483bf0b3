"""Base pairs of one sequence: dot-bracket strings and lists of partners."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase

import numpy as np

#: Closing bracket -> opening bracket; letters are further levels of pseudoknots (WUSS, bpRNA).
BRACKETS = dict(zip(")]}>" + ascii_lowercase, "([{<" + ascii_uppercase, strict=True))
_OPEN = frozenset(BRACKETS.values())
_UNPAIRED = frozenset(".,:-_~")


def dot_bracket_partners(text: str) -> np.ndarray:
    """(L,) 0-based partner of each residue, -1 where unpaired.

    Raises:
        ValueError: a bracket is not closed or not opened, or a character is none.
    """
    partners = np.full(len(text), -1)
    waiting: dict[str, list[int]] = {}
    for i, letter in enumerate(text):
        if letter in _OPEN:
            waiting.setdefault(letter, []).append(i)
        elif letter in BRACKETS:
            stack = waiting.get(BRACKETS[letter])
            if not stack:
                raise ValueError(f"{letter!r} at position {i + 1} closes nothing")
            j = stack.pop()
            partners[i], partners[j] = j, i
        elif letter not in _UNPAIRED:
            raise ValueError(f"{letter!r} at position {i + 1} is not dot-bracket")
    for letter, stack in waiting.items():
        if stack:
            raise ValueError(f"{letter!r} at position {stack[-1] + 1} is not closed")
    return partners


def pair_matrix(partners: np.ndarray) -> np.ndarray:
    """(L, L) float32 symmetric matrix of 0 and 1."""
    matrix = np.zeros((len(partners), len(partners)), dtype=np.float32)
    paired = np.flatnonzero(partners >= 0)
    matrix[paired, partners[paired]] = 1
    return matrix


def partner_text(partners: np.ndarray) -> str:
    """A list of partners as a label: 1-based, 0 where unpaired (the third column of .bpseq)."""
    return " ".join(map(str, partners + 1))


def partners_of(label: str) -> np.ndarray:
    """(L,) partners of a label: dot-bracket, or `partner_text`.

    Raises:
        ValueError: it is neither.
    """
    if label[:1].isdigit():
        return np.array(label.split(), dtype=np.int64) - 1
    return dot_bracket_partners(label)
