"""Measures how long the parts of one piece of work took."""

from __future__ import annotations

from collections.abc import Callable

ROUND_TO_DIGITS = 6


class Stopwatch:
    """Laps in seconds, each from the end of the one before; `clock` returns seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_s = clock()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End the current lap under `name`."""
        now_s = self._clock()
        self.laps[name] = round(now_s - self._last_s, ROUND_TO_DIGITS)
        self._last_s = now_s
