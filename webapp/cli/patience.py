"""Decides how long to go on: as long as something happens now and then, and nobody says stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0


class TryAgain(Exception):
    """It did not work now; it may later.

    Attributes:
        after_s: when, if the server said so.
    """

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class GivenUp(Exception):
    """Nothing has happened for too long."""


class Stopped(Exception):
    """Somebody said stop."""


class Patience:
    """Shared by all threads that send or wait: what one of them achieves is hope for all."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._progress_at_s = time.monotonic()
        self._stopped = threading.Event()
        self._trouble = ""

    def progress(self) -> None:
        """Note that something has happened."""
        self._progress_at_s = time.monotonic()
        self._trouble = ""

    def stop(self) -> None:
        """End all waiting."""
        self._stopped.set()

    def check(self) -> None:
        """Go on.

        Raises:
            Stopped: somebody said stop.
        """
        if self._stopped.is_set():
            raise Stopped

    def pause(self, seconds: float, why: str) -> None:
        """Wait a while.

        Raises:
            GivenUp: it is no use any more.
            Stopped: somebody said stop.
        """
        if time.monotonic() - self._progress_at_s > self._timeout_s:
            raise GivenUp(f"Nothing happened for {self._timeout_s:g} seconds. {self._trouble or why}".strip())
        if self._stopped.wait(seconds):
            raise Stopped

    def insist(self, call: Callable[[], Result]) -> Result:
        """Return what `call` does, tried again while it asks for that.

        Raises:
            GivenUp: it is no use any more.
            Stopped: somebody said stop.
        """
        tries = 0
        while True:
            self.check()
            try:
                return call()
            except TryAgain as failed:
                self._trouble = str(failed)
                self.pause(pause_s(tries, failed.after_s), str(failed))
                tries += 1


def pause_s(tries: int, after_s: float | None) -> float:
    """Return how long to wait after so many failed tries, if the server said `after_s`. Pure.

    >>> pause_s(0, None), pause_s(3, None), pause_s(9, None), pause_s(3, 5.0)
    (1.0, 8.0, 30.0, 5.0)
    """
    if after_s is not None:
        return min(max(after_s, FIRST_PAUSE_S), LONGEST_RETRY_AFTER_S)
    return min(FIRST_PAUSE_S * 2.0**tries, LONGEST_PAUSE_S)
