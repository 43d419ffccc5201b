"""Reads a request's body no slower than a pace, and asks for it only when somebody wants it.

A client that says ``Expect: 100-continue`` is told to go on at the first read: whoever is refused before sends nothing.
https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from werkzeug.exceptions import RequestTimeout

from webapp.deadlines import Deadlines

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SOCKET = "gunicorn.socket"
# What webapp.worker puts beside it: ends the connection after the answer.
CLOSE = "webapp.close"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Pace:
    """How slowly a body may come.

    A phone at the edge of its network still reaches this; many such clients are a proxy's to collect (deploy/nginx).

    >>> Pace(grace_s=10.0, min_bytes_per_s=8192).left_s(wanted_bytes=64 * 1024, elapsed_s=3.0)
    15.0
    """

    grace_s: float = 10.0
    min_bytes_per_s: int = 8 * 1024

    def left_s(self, wanted_bytes: int, elapsed_s: float) -> float:
        """Return the seconds left until so many bytes must be there, those that came before included."""
        return max(0.0, self.grace_s + wanted_bytes / self.min_bytes_per_s - elapsed_s)

    @property
    def too_slow(self) -> RequestTimeout:
        """The answer to who is too slow."""
        kb = self.min_bytes_per_s // 1024
        return RequestTimeout(f"The upload came too slowly: at least {kb} kB a second are needed. Please try again.")


class PacedInput(io.RawIOBase):
    """The body of a request, from a client that keeps pace.

    Attributes:
        unread: whether there is, or may be, more of it.
    """

    def __init__(
        self, stream: IO[bytes], sock: socket.socket, deadlines: Deadlines, pace: Pace, *, head: Mapping[str, Any]
    ) -> None:
        self._stream, self._sock, self._deadlines, self._pace = stream, sock, deadlines, pace
        length = head.get("CONTENT_LENGTH")
        self._length = int(length) if length else None
        self.unread = bool(self._length) or "HTTP_TRANSFER_ENCODING" in head
        # Clients of HTTP/1.0 do not know the answer; webapp.worker keeps gunicorn from giving it too early.
        expected = str(head.get("HTTP_EXPECT", "")).lower()
        self._expects_continue = expected == "100-continue" and head["SERVER_PROTOCOL"] == "HTTP/1.1"
        self._began_s: float | None = None
        self._received_bytes = 0

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer does
        """Read on.

        Raises:
            RequestTimeout: the client is too slow.
        """
        if self._expects_continue:
            self._expects_continue = False
            self._sock.sendall(CONTINUE)
        if self._began_s is None:
            self._began_s = time.monotonic()
        left_s = self._pace.left_s(self._received_bytes + len(buffer), time.monotonic() - self._began_s)
        with self._deadlines.reading(self._sock, left_s) as deadline:
            try:
                data = self._stream.read(len(buffer))
            except TimeoutError as error:  # nothing came for as long as the server lets a socket rest
                raise self._pace.too_slow from error
        if deadline.passed:
            raise self._pace.too_slow
        buffer[: len(data)] = data
        self._received_bytes += len(data)
        self.unread = bool(data) and self._received_bytes != self._length
        return len(data)


def paced(app: WSGIApplication, deadlines: Deadlines) -> WSGIApplication:
    """Return `app`, reading its requests at a pace where `webapp.worker` serves it.

    An answer that is given before the body was read ends the connection, and says so: what is still on its way would
    look like the next request.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if CLOSE not in environ:  # another server, which nobody tells to cut off who is slow
            return app(environ, start_response)
        body = PacedInput(environ["wsgi.input"], environ[SOCKET], deadlines, Pace(), head=environ)
        environ["wsgi.input"] = body

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            if body.unread:
                environ[CLOSE]()
            return start_response(status, headers, *error)

        return app(environ, start)

    return serve
