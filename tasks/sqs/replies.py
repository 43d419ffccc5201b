"""Where replies go: which queue a client waits on, and where a worker sends what.

kombu's pidbox gives each call a name of its own for its queue of replies. Queues of SQS are slow to make and AWS
refuses a deleted name for a while, so a client keeps a few, lends one to each call, and says in the command which one
it is. A worker notes that and answers there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from tasks.sqs.control_queues import ControlQueue

MAX_ROUTES = 1000


class ReplyQueues:
    """A client's queues of replies: as many as it ever had calls at the same time. Safe to share between threads."""

    def __init__(self, create: Callable[[], ControlQueue], is_usable: Callable[[ControlQueue], bool]) -> None:
        self._create = create
        self._is_usable = is_usable
        self._lock = threading.Lock()
        self._lent: dict[str, ControlQueue] = {}
        self._free: list[ControlQueue] = []

    def lend(self, call: str) -> ControlQueue:
        """Return the queue of a call, named as kombu names its queue of replies."""
        with self._lock:
            queue = self._lent.get(call)
            if queue is not None and self._is_usable(queue):
                return queue
            self._free = [free for free in self._free if self._is_usable(free)]
            if self._free:
                self._lent[call] = self._free.pop()
                return self._lent[call]
        made = self._create()
        with self._lock:
            self._lent[call] = made
        return made

    def give_back(self, call: str) -> None:
        """Note that a call is over."""
        with self._lock:
            queue = self._lent.pop(call, None)
            if queue is not None:
                self._free.append(queue)


class ReplyRoutes:
    """What a worker knows of the calls it heard of lately: where each waits. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urls: OrderedDict[str, str] = OrderedDict()

    def note(self, call: str, queue_url: str) -> None:
        """Note the queue of a call; the oldest calls are forgotten."""
        with self._lock:
            self._urls[call] = queue_url
            self._urls.move_to_end(call)
            if len(self._urls) > MAX_ROUTES:
                self._urls.popitem(last=False)

    def url(self, call: str) -> str | None:
        """Return the URL of a call's queue, or None if it was never heard of."""
        with self._lock:
            return self._urls.get(call)
