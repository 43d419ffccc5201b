"""Keeps the latest value of what others know, so that many requests ask them once. Knows nothing of the value."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

log = logging.getLogger(__name__)


class Latest(Generic[Value]):
    """A value that is read at most every `fresh_s`, by one thread at a time; the others get what was read last.

    Args:
        what: names the value in the log.
        read: reads it.
        failures: what `read` may raise; the last value then serves for `stale_s`.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        what: str,
        read: Callable[[], Value],
        failures: tuple[type[Exception], ...],
        *,
        fresh_s: float = 2.0,
        stale_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._read, self._failures = what, read, failures
        self._fresh_s, self._stale_s, self._clock = fresh_s, stale_s, clock
        self._reading = threading.Lock()
        self._asked_at_s = self._read_at_s = -float("inf")
        self._value: Value | None = None
        self._failed = False

    def get(self) -> Value | None:
        """Return the value; None if it is not known, or not any more."""
        if self._clock() - self._asked_at_s >= self._fresh_s and self._reading.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._reading.release()
        return self._value if self._clock() - self._read_at_s < self._stale_s else None

    def _refresh(self) -> None:
        try:
            value = self._read()
        except self._failures as error:
            if not self._failed:  # once, not again and again while it lasts
                log.warning("%s: not known: %s", self._what, error)
            self._failed = True
        else:
            self._value, self._read_at_s, self._failed = value, self._clock(), False
        self._asked_at_s = self._clock()
