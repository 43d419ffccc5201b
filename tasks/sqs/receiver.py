"""Receives a queue's messages by long polls in a thread of its own, and hands them to the event loop.

kombu polls in the event loop: an answer that is no answer ends its polling for good, a busy loop delays it, and a
poll that is open when the loop stops takes its messages along for the whole visibility timeout. It asks for one
message whenever one task ends; this waits a moment for other tasks to end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tasks.sqs.failures import log_failure
from tasks.sqs.incoming import Incoming

# A free place waits this long for others to be filled by the same request.
LINGER_S = 0.1
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 15.0

log = logging.getLogger(__name__)

Messages = list[Incoming]


class Receiver:
    """Polls one queue while there is room for messages.

    Args:
        queue: its name, for the log.
        receive: asks SQS for at most so many messages, waits up to the poll's length.
        post: calls a function in the event loop; `deliver` is called there only.
        deliver: takes messages.
        give_back: makes messages visible to others; called in any thread.
    """

    def __init__(
        self,
        queue: str,
        *,
        receive: Callable[[int], Messages],
        post: Callable[[Callable[[], None]], object],
        deliver: Callable[[Messages], None],
        give_back: Callable[[Messages], None],
    ) -> None:
        self._queue = queue
        self._receive, self._post, self._deliver, self._give_back = receive, post, deliver, give_back
        self._changed = threading.Condition()
        self._room = 0
        self._enough = 1
        self._undelivered: Messages = []
        self._delivering = False
        self._stopped = False
        self._giving_back = False
        self._failures = 0
        self._thread: threading.Thread | None = None

    def start(self, room: int, enough: int) -> None:
        """Receive, from now on, up to `room` messages; at once if there is room for `enough`."""
        with self._changed:
            self._stopped = self._giving_back = False
            self._room, self._enough = room, enough
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"sqs-receiver-{self._queue}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def set_room(self, room: int, enough: int) -> None:
        """Say how many messages there is room for now."""
        with self._changed:
            self._room, self._enough = room, enough
            self._changed.notify_all()

    @property
    def open(self) -> bool:
        """Whether something may still be delivered: a poll is open, or what it brought waits for the loop."""
        with self._changed:
            return self._thread is not None or self._delivering

    def finish(self) -> None:
        """Poll no more; what an open poll brings is still delivered."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Receive no more. A poll that is open goes on, and what it brings is given back."""
        with self._changed:
            self._stopped = self._giving_back = True
            messages, self._undelivered = self._undelivered, []
            self._delivering = False
            self._changed.notify_all()
        if messages:
            self._give_back(messages)

    def join(self, timeout_s: float) -> None:
        """Wait, after `stop`, for the open poll to end."""
        with self._changed:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
            if thread.is_alive():
                log.warning("queue %s: the last poll did not end within %g s", self._queue, timeout_s)

    def _run(self) -> None:
        while (room := self._wait_for_room()) > 0:
            messages = self._poll(room)
            if messages:
                self._hand_over(messages)

    def _wait_for_room(self) -> int:
        """Wait until there is room and all was delivered; return the room, or 0 to end."""
        with self._changed:
            while not self._stopped:
                self._changed.wait_for(lambda: self._stopped or (self._room > 0 and not self._delivering))
                self._changed.wait_for(lambda: self._stopped or self._room >= self._enough, timeout=LINGER_S)
                if self._room > 0 and not self._stopped:
                    return self._room
            self._thread = None
            return 0

    def _poll(self, room: int) -> Messages:
        try:
            messages = self._receive(room)
        except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
            with self._changed:
                if self._stopped:
                    return []
                self._failures += 1
                pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._failures - 1))
                log_failure(
                    log, error, "queue %s cannot be read, trying again in %g s: %s", self._queue, pause_s, error
                )
                self._changed.wait_for(lambda: self._stopped, timeout=pause_s)
                return []
        if self._failures:
            log.info("queue %s can be read again", self._queue)
            self._failures = 0
        return messages

    def _hand_over(self, messages: Messages) -> None:
        with self._changed:
            giving_back = self._giving_back
            if not giving_back:
                self._undelivered, self._delivering = messages, True
        if giving_back:
            self._give_back(messages)
        else:
            self._post(self._deliver_now)

    def _deliver_now(self) -> None:
        with self._changed:
            messages, self._undelivered = self._undelivered, []
        try:
            if messages:
                self._deliver(messages)
        finally:
            with self._changed:
                self._delivering = False
                self._changed.notify_all()
