"""HTTP requests by libcurl, which take little CPU time from what they measure: one open connection for each thread."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycurl

CONNECT_TIMEOUT_S = 10
TIMEOUT_S = 120


class HttpError(OSError):
    """There was no answer."""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return what the body says.

        Raises:
            ValueError: it is no JSON.
        """
        return json.loads(self.body)


class Http:
    """Safe to share between threads. Every method raises `HttpError` when there is no answer.

    Args:
        headers: of every request, as lines.
        insecure: whether to take any certificate.
    """

    def __init__(self, headers: Sequence[str] = (), *, insecure: bool = False) -> None:
        self._headers = ["Expect:", *headers]  # else large bodies wait for "100 Continue"
        self._insecure = insecure
        self._of_thread = threading.local()

    def get(self, url: str) -> Answer:
        """Ask."""
        curl = self._curl()
        curl.setopt(pycurl.HTTPGET, 1)
        return _perform(curl, url)

    def post_files(self, url: str, field: str, paths: Sequence[Path]) -> Answer:
        """Send files as an HTML form does, read while they are sent."""
        curl = self._curl()
        with pycurl.CurlMime(curl) as form:
            for path in paths:
                form.add_file(field, str(path), filename=path.name, content_type="application/octet-stream")
            curl.setopt(pycurl.MIMEPOST, form)
            try:
                return _perform(curl, url)
            finally:
                curl.unsetopt(pycurl.MIMEPOST)

    def _curl(self) -> Any:
        if not hasattr(self._of_thread, "curl"):
            curl = self._of_thread.curl = pycurl.Curl()
            curl.setopt(pycurl.NOSIGNAL, 1)  # libcurl's timeouts must not use signals in threads
            curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S)
            curl.setopt(pycurl.TIMEOUT, TIMEOUT_S)
            curl.setopt(pycurl.HTTPHEADER, self._headers)
            if self._insecure:
                curl.setopt(pycurl.SSL_VERIFYPEER, 0)
                curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        return self._of_thread.curl


def _perform(curl: Any, url: str) -> Answer:
    body = io.BytesIO()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEFUNCTION, body.write)
    try:
        curl.perform()
    except pycurl.error as error:
        raise HttpError(error.args[1]) from error
    return Answer(curl.getinfo(pycurl.RESPONSE_CODE), body.getvalue())
