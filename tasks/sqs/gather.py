"""Sends what several threads have to send in common requests, when so much comes that waiting for it is worth it.

One of the threads sends for the others that came meanwhile. Where little comes nothing waits: whether it does is judged
by how fast messages came lately.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

Message = TypeVar("Message")
Outcome = TypeVar("Outcome")

# Messages of this many seconds, and no more than fit into one request, are sent together; and none is waited for much
# longer than the next takes in a burst: results come in batches, so that what their readers send next does, too.
MAX_WAIT_S = 0.05
NEXT_WAIT_S = 0.02
MAX_SIZE = 10
# How much the newest pause between two messages says about the next.
SMOOTHING = 0.1
# One message after a rest does not tell of more: with these two, about thirty in quick succession do.
LONGEST_PAUSE_S = 1.0
# After waiting in vain a message goes at once, after a second time in a row three, then seven and so on: by chance it
# happens now and then, with a sender who waits for each answer it happens every time.
AT_ONCE_AT_MOST = 127


@dataclass(frozen=True)
class Arrivals:
    """How fast messages come.

    >>> busy = Arrivals(last_s=100.0, pause_s=0.01)
    >>> busy.wait_s()
    0.05
    >>> busy.after(160.0).wait_s()  # the first after a minute
    0.0
    """

    last_s: float = 0.0
    pause_s: float = LONGEST_PAUSE_S

    def after(self, now_s: float) -> Arrivals:
        """Return what is known after a message."""
        pause_s = min(now_s - self.last_s, LONGEST_PAUSE_S)
        return Arrivals(now_s, self.pause_s + SMOOTHING * (pause_s - self.pause_s))

    def wait_s(self) -> float:
        """Return how long a message is worth being held back: not at all if no other would come."""
        return MAX_WAIT_S if self.pause_s <= MAX_WAIT_S else 0.0


class Gather(Generic[Message, Outcome]):
    """Safe to share between threads.

    Args:
        send: sends messages and returns an outcome for each, in order.
    """

    def __init__(self, send: Callable[[Sequence[Message]], Sequence[Outcome]]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._waiting: list[tuple[Message, Future[Outcome]]] = []
        self._has_leader = False
        self._arrivals = Arrivals()
        self._in_vain = 0
        self._at_once = 0

    def send(self, message: Message) -> Outcome:
        """Send a message, perhaps with others'.

        Raises:
            Exception: what `send` raised.
        """
        future: Future[Outcome] = Future()
        with self._changed:
            self._arrivals = self._arrivals.after(time.monotonic())
            self._waiting.append((message, future))
            if self._has_leader:
                self._changed.notify_all()
                leads = False
            else:
                leads = self._has_leader = True
        if leads:
            self._lead()
        return future.result()

    def _lead(self) -> None:
        with self._changed:
            wait_s = 0.0 if self._at_once else self._arrivals.wait_s()
            until_s = time.monotonic() + wait_s
            seen = 0
            while seen < len(self._waiting) < MAX_SIZE and (left_s := until_s - time.monotonic()) > 0:
                seen = len(self._waiting)
                self._changed.wait(min(left_s, NEXT_WAIT_S))
            taken, self._waiting = self._waiting, []
            self._has_leader = False
            if wait_s:
                self._in_vain = self._in_vain + 1 if len(taken) == 1 else 0
                self._at_once = min(AT_ONCE_AT_MOST, 2**self._in_vain - 1)
            else:
                self._at_once = max(0, self._at_once - len(taken))
        try:
            outcomes = self._send([message for message, _future in taken])
        except BaseException as error:  # noqa: BLE001 - each of those who wait for it raises it, this thread too
            for _message, future in taken:
                future.set_exception(error)
        else:
            for (_message, future), outcome in zip(taken, outcomes, strict=True):
                future.set_result(outcome)
