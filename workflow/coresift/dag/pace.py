"""How fast a long loop goes and how long it still takes, for its log lines."""

from __future__ import annotations

import time


class Pace:
    """The speed of a loop since this was made, asked for at every turn and given now and then.

    Args:
        seconds: at least so long between two answers.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._start = self._shown = time.monotonic()

    def due(self, done: int, left: int) -> tuple[float, float] | None:
        """Units done a second, and seconds that those left take; None while it is too soon."""
        now = time.monotonic()
        if now - self._shown <= self._seconds:
            return None
        self._shown = now
        rate = max(1e-9, done / (now - self._start))
        return rate, left / rate
