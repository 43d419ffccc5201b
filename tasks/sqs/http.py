"""kombu's curl client with timeouts: a half-open socket must not stall a queue for ever."""

from __future__ import annotations

from typing import Any

import pycurl
from kombu.asynchronous.http.curl import CurlClient

CONNECT_TIMEOUT_S = 3
# More than the longest long poll, 20 s, and what SQS needs to answer.
TOTAL_TIMEOUT_S = 30


class TimedCurlClient(CurlClient):
    """A curl client whose requests end: answered, refused or timed out."""

    def _setup_request(self, curl: Any, request: Any, buffer: Any, headers: Any) -> None:
        super()._setup_request(curl, request, buffer, headers)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S)
        curl.setopt(pycurl.TIMEOUT, TOTAL_TIMEOUT_S)


def client_of(hub: Any) -> TimedCurlClient:
    """Return the event loop's client, where kombu keeps its own."""
    client = getattr(hub, "_current_http_client", None)
    if not isinstance(client, TimedCurlClient):
        client = hub._current_http_client = TimedCurlClient(hub)  # noqa: SLF001 - see above
    return client
