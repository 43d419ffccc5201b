"""Says no in time: how much one process takes on at once. Knows neither HTTP nor what is limited."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Overloaded(Exception):
    """More is asked for than can be done now; the message says what to do.

    Attributes:
        retry_after_s: when to ask again.
    """

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Slots:
    """So much of something, taken and given back. Safe to share between threads.

    Args:
        limit: how much there is.
        changed: is told how much is used whenever that changes.

    >>> slots = Slots(2)
    >>> slots.take(2), slots.take(1), slots.used
    (True, False, 2)
    >>> slots.give_back(2)
    >>> slots.used
    0
    """

    def __init__(self, limit: int, changed: Callable[[int], object] = int) -> None:
        self.limit = limit
        self.changed = changed
        self.used = 0
        self._lock = threading.Lock()

    def take(self, amount: int = 1) -> bool:
        """Take some, all or nothing; tell whether there was as much."""
        with self._lock:
            if self.used + amount > self.limit:
                return False
            self.used += amount
            self.changed(self.used)
            return True

    def give_back(self, amount: int = 1) -> None:
        """Give back what was taken."""
        with self._lock:
            self.used -= amount
            self.changed(self.used)
