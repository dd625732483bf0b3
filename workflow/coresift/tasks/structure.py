"""Labels over the residues of one sequence: dot-bracket, partners, pairs, coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

#: First words of labels that are partners or pairs of residues, or coordinates of atoms.
PARTNERS, PAIRS, COORDINATES = "partners", "pairs", "coordinates"
#: Before the residues whose pairs are not known.
_UNKNOWN = "unknown"

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


def wrong_partner(partners: np.ndarray, base: int) -> tuple[int, str] | None:
    """The first residue whose partner cannot be, from 0, and why; None where all can.

    Args:
        partners: (L,) 0-based partner of each residue, -1 where unpaired.
        base: number of the first residue, for the message.
    """
    size = len(partners)
    inside = (partners >= 0) & (partners < size)
    back = partners[np.where(inside, partners, 0)]
    wrong = (partners != -1) & ~(inside & (back == np.arange(size)) & (partners != np.arange(size)))
    if not wrong.any():
        return None
    i = int(wrong.argmax())
    own, other = i + base, int(partners[i]) + base
    if not inside[i]:
        return i, f"residue {own} pairs with {other}, residues are {base} to {size - 1 + base}"
    if partners[i] == i:
        return i, f"residue {own} pairs with itself"
    return i, f"residue {own} pairs with {other}, which does not pair with it"


def partner_text(partners: np.ndarray) -> str:
    """A list of 0-based partners, -1 where unpaired, as a label: `partners` and the numbers."""
    return " ".join([PARTNERS, *map(str, partners)])


def partners_of(label: str) -> np.ndarray:
    """(L,) partners of a label: dot-bracket, or `partner_text`.

    Raises:
        ValueError: it is neither, or a partner cannot be.
    """
    words = label.split()
    if words[0] == PARTNERS:
        partners = np.array(words[1:], dtype=np.int64)
        wrong = wrong_partner(partners, 0)
        if wrong is not None:
            raise ValueError(f"{wrong[1]} (counted from 0)")
        return partners
    if words[0].lstrip("-").isdigit():
        raise ValueError(
            "the label is a list of numbers: one partner a residue needs data.partners_base, pairs "
            "of residues are read by data.pairs"
        )
    return dot_bracket_partners(label)


def pairs_text(
    first: Sequence[int], second: Sequence[int], unknown: Sequence[int], base: int
) -> str:
    """Pairs of residues as a label: `pairs`, 0-based `i~j` each, `unknown`, and residues."""
    pairs = (f"{i - base}~{j - base}" for i, j in zip(first, second, strict=True))
    return " ".join([PAIRS, *pairs, _UNKNOWN, *(str(i - base) for i in unknown)])


def pair_map(label: str, size: int, masked: int) -> np.ndarray:
    """(size, size) float32 map of 0 and 1 of a `pairs_text`; `masked` where a pair is not known.

    Raises:
        ValueError: a residue is not one of the sequence's, or is paired with itself.
    """
    words = label.split()
    cut = words.index(_UNKNOWN)
    pairs = np.array([w.split("~") for w in words[1:cut]], dtype=np.int64).reshape(-1, 2)
    unknown = np.array(words[cut + 1 :], dtype=np.int64)
    for residue in (*pairs.ravel(), *unknown):
        if not 0 <= residue < size:
            raise ValueError(
                f"residue {residue} (counted from 0) of a sequence of {size}; is pairs.base right?"
            )
    alone = pairs[pairs[:, 0] == pairs[:, 1]]
    if len(alone):
        raise ValueError(f"residue {alone[0, 0]} (counted from 0) pairs with itself")
    values = np.zeros((size, size), dtype=np.float32)
    values[pairs[:, 0], pairs[:, 1]] = values[pairs[:, 1], pairs[:, 0]] = 1
    values[unknown] = values[:, unknown] = masked
    return values


def coordinates_text(atoms: Sequence[Sequence[float | None] | None]) -> str | None:
    """Coordinates of atoms as a label: `coordinates`, then x y z of each residue, atom by atom.

    Args:
        atoms: 3 L numbers of each atom, or L lists of 3, None = not resolved; None = the atom is
            absent.

    Raises:
        ValueError: an atom has others than 3 numbers a residue.
    """
    parts = []
    for values in atoms:
        if values is None:
            return None
        numbers = None if isinstance(values, str) else _numbers(values)
        if numbers is None or len(numbers) % 3:
            raise ValueError("coordinates are not a list of 3 numbers a residue")
        parts.append(" ".join(numbers))
    return f"{COORDINATES} {';'.join(parts)}"


def _numbers(values: Sequence[Any]) -> list[str] | None:
    """Numbers as text, those of residues one after another; None where some are no such."""
    if any(isinstance(value, list) for value in values):
        places = [[None] * 3 if value is None else value for value in values]
        if any(not isinstance(place, list) or len(place) != 3 for place in places):
            return None
        values = [number for place in places for number in place]
    try:
        return ["nan" if value is None else repr(float(value)) for value in values]
    except (TypeError, ValueError):
        return None


def coordinate_distances(label: str, masked: int) -> np.ndarray:
    """(L, L) float32 distances of a `coordinates_text`, `masked` where one is not resolved.

    The least distance between two residues' atoms.

    Raises:
        ValueError: the atoms are not of equally many residues.
    """
    atoms = [
        np.array(part.split(), dtype=np.float64).reshape(-1, 3)
        for part in label.removeprefix(COORDINATES).split(";")
    ]
    sizes = sorted({len(places) for places in atoms})
    if len(sizes) > 1:
        raise ValueError(f"coordinates of {sizes[0]} and of {sizes[-1]} residues")
    distances = np.full((sizes[0], sizes[0]), np.inf)
    for one in atoms:
        for other in atoms:
            between = np.linalg.norm(one[:, None] - other[None], axis=2)
            distances = np.fmin(distances, np.where(np.isnan(between), np.inf, between))
    return np.where(np.isinf(distances), masked, distances).astype(np.float32)
