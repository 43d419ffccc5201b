"""kombu's curl client with timeouts, and with an end at which no received message is forgotten."""

from __future__ import annotations

import select
import time
from typing import Any

import pycurl
from kombu.asynchronous.http.curl import CurlClient
from kombu.asynchronous.hub import READ, WRITE

CONNECT_TIMEOUT_S = 3
# More than the longest long poll, 20 s, and what SQS needs to answer: a half-open socket must not stall a queue.
TOTAL_TIMEOUT_S = 30
SELECT_S = 0.1


class TimedCurlClient(CurlClient):
    """A curl client whose requests end: refused, answered or timed out.

    `open_polls` counts the long polls for tasks that are under way. SQS may have hidden messages for one of them
    already, so closing waits for its answer; `closing` tells the receiver to give back what comes then.
    """

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self.open_polls = 0
        self.closing = False

    def _setup_request(self, curl: Any, request: Any, buffer: Any, headers: Any) -> None:
        super()._setup_request(curl, request, buffer, headers)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S)
        curl.setopt(pycurl.TIMEOUT, TOTAL_TIMEOUT_S)

    def close(self) -> None:
        """Wait for open polls, then close. The event loop has stopped: sockets are watched here."""
        self.closing = True
        deadline_s = time.monotonic() + TOTAL_TIMEOUT_S
        while not self._closed and self.open_polls and time.monotonic() < deadline_s:
            readers = [fd for fd, events in self._fds.items() if events & READ]
            writers = [fd for fd, events in self._fds.items() if events & WRITE]
            select.select(readers, writers, [], SELECT_S)
            self._multi.socket_all()
            self._process_pending_requests()
        super().close()


def client_of(hub: Any) -> TimedCurlClient:
    """Return the event loop's client, where kombu keeps its own."""
    client = getattr(hub, "_current_http_client", None)
    if not isinstance(client, TimedCurlClient):
        client = hub._current_http_client = TimedCurlClient(hub)  # noqa: SLF001 - see above
    return client
