"""Speaks with the HTTP API: each call is one request, and says whether a failure is worth another try."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry, Timeout

from webapp.cli.arguments import KEY
from webapp.cli.events import Event, parse
from webapp.cli.files import File
from webapp.cli.form import Form
from webapp.cli.patience import TryAgain

CONNECT_TIMEOUT_S = 10.0
# While photos are stored nothing comes; the server's heartbeats of events are closer together.
READ_TIMEOUT_S = 120.0
EVENTS_TIMEOUT_S = 30.0
CHUNK_BYTES = 64 * 1024
TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
TAKEN = frozenset({200, 202})
KEY_NEEDED = f"the server knows no such API key; give yours by --api-key or ${KEY}"


class Unusable(Exception):
    """The server cannot be used, now or later; the message says why."""


class TooMuch(Exception):
    """The request was too large: less at a time may be taken."""


@dataclass(frozen=True)
class Rejected:
    """A file that was not taken; `index` is its place in the request."""

    index: int
    error: str
    is_temporary: bool


@dataclass(frozen=True)
class Taken:
    """What became of the files of a request: the ids of those that were taken, in order, and the others."""

    batch_id: str
    link: str
    ids: tuple[str, ...]
    rejected: tuple[Rejected, ...]


class Api:
    """One server, as one user. Safe to share between threads."""

    def __init__(self, url: str, api_key: str, connections: int) -> None:
        self._url = url
        headers = {"User-Agent": "elastic-classifier", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        timeout = Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        # Redirects are not followed: they would take the key elsewhere.
        self._http = urllib3.PoolManager(maxsize=connections, headers=headers, timeout=timeout, retries=False)
        self._headers = headers

    def check(self) -> None:
        """Make sure that there is a server.

        Raises:
            Unusable: there is none.
        """
        try:
            answer = self._http.request("GET", f"{self._url}/healthz", timeout=CONNECT_TIMEOUT_S)
        except HTTPError as error:
            raise Unusable(f"{self._url} cannot be reached: {_reason(error)}") from error
        if answer.status != HTTPStatus.OK or _fields(answer.data).get("status") != "ok":
            raise Unusable(f"{self._url} is not the address of the service: {_error(answer)}")

    def send(self, files: Sequence[File], batch_id: str, sent: Callable[[int], None]) -> Taken:
        """Send files, as part of a batch if there is one already.

        Args:
            files: what to send.
            batch_id: to add to, or "".
            sent: is told of each bit how many bytes it has.

        Raises:
            TooMuch: fewer at a time may be taken.
            TryAgain: not now.
            Unreadable: a file cannot be read; nothing was taken.
            Unusable: nothing will be taken.
        """
        form = Form(files)
        query = f"?batch={batch_id}" if batch_id else ""
        answer = self._request("POST", f"/classify{query}", headers=form.headers, body=_counted(form, sent))
        fields = _fields(answer.data)
        if answer.status not in TAKEN and "rejected" not in fields:
            if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise TooMuch(_error(answer))
            raise Unusable(KEY_NEEDED if answer.status == HTTPStatus.UNAUTHORIZED else _error(answer))
        try:
            return Taken(
                fields.get("batch_id", ""),
                fields.get("share_url") or fields.get("batch_url", ""),
                tuple(task["id"] for task in fields.get("tasks", ())),
                tuple(
                    Rejected(one["index"], one["error"], one.get("status") in TEMPORARY) for one in fields["rejected"]
                ),
            )
        except (KeyError, TypeError) as error:
            raise Unusable(f"{self._url} answers in a form that is not understood") from error

    def events(self, batch_id: str) -> Iterator[Event]:
        """Yield a batch's events until the server ends them.

        Raises:
            TryAgain: not now, or the connection was lost.
            Unusable: there will be none.
        """
        answer = self._request(
            "GET",
            f"/batches/{batch_id}/events",
            headers={"Accept": "text/event-stream"},
            timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=EVENTS_TIMEOUT_S),
            preload_content=False,
        )
        try:
            if answer.status != HTTPStatus.OK:
                raise Unusable(_error(answer))
            yield from parse(iter(lambda: answer.read1(CHUNK_BYTES), b""))
        except HTTPError as error:
            raise TryAgain(_reason(error)) from error
        finally:
            answer.close()  # an event stream that is left early leaves nothing that another request could use

    def _request(self, method: str, path: str, headers: dict[str, str], **options: Any) -> urllib3.BaseHTTPResponse:
        try:
            answer = self._http.request(method, f"{self._url}{path}", headers={**self._headers, **headers}, **options)
        except HTTPError as error:
            raise TryAgain(_reason(error)) from error
        if answer.status in TEMPORARY:
            raise TryAgain(_error(answer), _retry_after_s(answer))
        return answer


def _counted(form: Form, sent: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in form:
        yield chunk
        sent(len(chunk))


def _fields(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _error(answer: urllib3.BaseHTTPResponse) -> str:
    said = _fields(answer.data).get("error")
    if said:
        return str(said)
    moved = answer.headers.get("Location")
    return f"it answers {answer.status} {answer.reason or ''}".rstrip() + (f" to {moved}" if moved else "")


def _reason(error: HTTPError) -> str:
    text = str(error)
    # urllib3 puts the connection's object before the reason, and sometimes the error's own tuple.
    return text.rpartition(": ")[2] if "object at 0x" in text or "Connection(" in text else text


def _retry_after_s(answer: urllib3.BaseHTTPResponse) -> float | None:
    said = answer.headers.get("Retry-After")
    try:
        return Retry().parse_retry_after(said) if said else None
    except InvalidHeader:
        return None
