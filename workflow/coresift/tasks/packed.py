"""Maps kept in memory between the epochs, packed, up to a bound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coresift.tasks.sample import MASKED


class KeptMaps:
    """(L, L) float32 maps by number: the first that find room stay, others are made every time.

    A map of 0, 1 and unknown takes a bit a pair, or two where some are unknown; others 32.
    Epochs ask for every map in another order, so that keeping the latest would keep no more.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._kept: dict[int, list[np.ndarray]] = {}

    def get(self, index: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The map of that number, made by `make` where it is not kept; the caller's own."""
        if index in self._kept:
            return _unpacked(self._kept[index])
        values = make()
        parts = _packed(values)
        size = sum(part.nbytes for part in parts)
        if size <= self._room:
            self._room -= size
            self._kept[index] = parts
        return values


def _packed(values: np.ndarray) -> list[np.ndarray]:
    """Bits of 1 and, where there are any, of unknown, a row after the other; or the map."""
    ones, unknown = values == 1, values == MASKED
    if not (ones | unknown | (values == 0)).all():
        return [values.copy()]
    return [np.packbits(bits, axis=1) for bits in ((ones, unknown) if unknown.any() else (ones,))]


def _unpacked(parts: list[np.ndarray]) -> np.ndarray:
    if parts[0].dtype != np.uint8:
        return parts[0].copy()
    size = len(parts[0])
    ones, *unknown = (np.unpackbits(part, axis=1, count=size) for part in parts)
    values = ones.astype(np.float32)
    for bits in unknown:
        values[bits.view(bool)] = MASKED
    return values
