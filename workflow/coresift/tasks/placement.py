"""Where the residues of a structure file belong in a task's sequence.

A residue is placed by its number. Only where the numbers say nothing is it placed by the order of
the letters, and then only where every way to fit the observed residues into the sequence, in
their order, agrees on its place; otherwise its place is not known.
"""

from __future__ import annotations

import numpy as np

from coresift.alphabet import ALPHABETS
from coresift.corpus.normalise import normalise
from coresift.tasks.readers.chains import Chain

#: Place of a residue that is not in the sequence, or whose place is not known.
NOWHERE = -1


def place_residues(chain: Chain, sequence: str, modality: str) -> np.ndarray | None:
    """(residues,) position of each observed residue in `sequence`, -1 where it is not known.

    The first of these that can be told decides: the number in the chain's full sequence (mmCIF's
    label_seq_id; the author's number and SEQRES), where that is the task's sequence, holds it, or
    is a part of it; the residues are the whole sequence; the numbers' distances; the order.

    Returns:
        None if the residues are not part of the sequence.
    """
    wanted = _codes(sequence, modality)
    observed = _codes([residue.letter for residue in chain.residues], modality)
    full = None if chain.sequence is None else _codes(chain.sequence, modality)
    in_full = None if full is None else _in_full_sequence(chain, observed, full)
    shift = None if full is None else _shift(full, wanted)
    if in_full is not None and shift is not None:
        moved = in_full + shift
        inside = (in_full != NOWHERE) & (moved >= 0) & (moved < len(wanted))
        return np.where(inside, moved, NOWHERE)
    if len(observed) == len(wanted) and _fit(observed, wanted).all():
        return np.arange(len(wanted))
    if full is None and chain.labelled:
        # By definition this number counts from the first residue of the sequence.
        labels = np.array([residue.label for residue in chain.residues]) - 1
        inside = labels[0] >= 0 and labels[-1] < len(wanted)
        if inside and not _is_counter(labels + 1) and _fit(observed, wanted[labels]).all():
            return labels
    numbers = _numbers(chain)
    if numbers is not None and full is None and _is_counter(numbers):
        numbers = None
    places = None if numbers is None else _by_distances(numbers, observed, wanted)
    return places if places is not None else _by_order(observed, wanted)


def _codes(letters: str | list[str], modality: str) -> np.ndarray:
    """(n,) uint8 codes of letters, 0 for a letter that stands for several residues."""
    text = normalise("".join(letters), modality) if letters else ""
    known = ALPHABETS[modality].canonical
    return np.array([ord(letter) if letter in known else 0 for letter in text], dtype=np.uint8)


def _fit(a: np.ndarray, b: np.ndarray | np.uint8) -> np.ndarray:
    """Whether residues may be the same one."""
    return np.asarray((a == b) | (a == 0) | (b == 0))


def _in_full_sequence(chain: Chain, observed: np.ndarray, full: np.ndarray) -> np.ndarray | None:
    """Position of each residue in the chain's full sequence; None if they do not fit."""
    if chain.labelled:
        return np.array([residue.label for residue in chain.residues]) - 1
    if len(observed) == len(full) and _fit(observed, full).all():
        return np.arange(len(full))
    numbers = _numbers(chain)
    places = None if numbers is None else _by_distances(numbers, observed, full)
    return places if places is not None else _by_order(observed, full)


def _shift(full: np.ndarray, wanted: np.ndarray) -> int | None:
    """Position in the task's sequence of the full one's first residue.

    None if neither is a part of the other, or in several places.
    """
    inner, outer, sign = (wanted, full, -1) if len(wanted) < len(full) else (full, wanted, 1)
    windows = np.lib.stride_tricks.sliding_window_view(outer, len(inner))
    found = [i for i, window in enumerate(windows) if _fit(window, inner).all()]
    return sign * found[0] if len(found) == 1 else None


def _numbers(chain: Chain) -> np.ndarray | None:
    """(residues,) ascending author's numbers; an insertion code shifts those after it by one.

    None if there are none, or they are not in order.
    """
    keys = [(residue.number, residue.insertion) for residue in chain.residues]
    numbers, inserted = [], 0
    for i, (number, _) in enumerate(keys):
        if number is None:
            return None
        inserted += i > 0 and number == keys[i - 1][0]
        numbers.append(number + inserted)
    found = np.array(numbers, dtype=np.int64)
    return found if (np.diff(found) > 0).all() else None


def _is_counter(numbers: np.ndarray) -> bool:
    """Whether the numbers only count the residues of the file.

    Many tools renumber residues so; whether some are missing between them cannot be seen then.
    """
    return bool(numbers[0] in (0, 1) and (np.diff(numbers) == 1).all())


def _by_distances(
    numbers: np.ndarray, observed: np.ndarray, wanted: np.ndarray
) -> np.ndarray | None:
    """Positions as far apart as the numbers; not known if there are several such ways.

    None if there is no such way.
    """
    offsets = numbers - numbers[0]
    starts = [
        start
        for start in range(len(wanted) - int(offsets[-1]))
        if _fit(observed, wanted[start + offsets]).all()
    ]
    if len(starts) > 1:
        return np.full(len(observed), NOWHERE)
    return starts[0] + offsets if starts else None


def _by_order(observed: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """Positions on which every way to fit the residues in their order agrees, the others unknown.

    None if there is no such way.
    """
    first, last = _leftmost(observed, wanted), _leftmost(observed[::-1], wanted[::-1])
    if first is None or last is None:
        return None
    return np.where(first == len(wanted) - 1 - last[::-1], first, NOWHERE)


def _leftmost(observed: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """The first position that each residue can have."""
    places: list[int] = []
    place = -1
    for letter in observed:
        place += 1
        while place < len(wanted) and not _fit(wanted[place], letter):
            place += 1
        if place == len(wanted):
            return None
        places.append(place)
    return np.array(places, dtype=np.int64)
