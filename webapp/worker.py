"""Gunicorn's thread worker, made patient with slow clients: none of them holds a thread or the main loop for long."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from functools import partial
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from webapp.deadlines import deadlines
from webapp.pace import CLOSE
from webapp.stopping import stopping

# A request's line and headers are a few kB.
HEAD_S = 10.0
# Between two pieces of a body, or of an answer that is being read.
IDLE_S = 20.0
# An answer given before the body was read is lost if the socket is closed at once: the kernel resets the connection.
# https://www.rfc-editor.org/rfc/rfc9112#section-9.6
LINGER_S = 5.0
LINGER_IDLE_S = 1.0
PIECE_BYTES = 256 * 1024

log = logging.getLogger(__name__)


class Log(Logger):
    """Gunicorn's log of its own doings; the requests are `webapp.logs`'s."""

    def access(self, *_request: Any) -> None:
        """Do nothing: gunicorn would collect some thirty facts about each request for a line that nobody gets."""


class Worker(ThreadWorker):
    """Serves requests in threads."""

    wsgi: Any

    def load_wsgi(self) -> None:
        """Load the app, and let it end connections, which WSGI does not."""
        super().load_wsgi()
        app = self.wsgi

        def serve(environ: dict[str, Any], start_response: Any) -> Any:
            environ[CLOSE] = start_response.__self__.force_close  # of gunicorn's Response
            return app(environ, start_response)

        self.wsgi = serve

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread once there is something to read, not before: many are opened in advance."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle(self, conn: TConn) -> Any:
        """Serve one request of a connection; its head must come in time."""
        deadlines.set(conn.sock, HEAD_S)
        try:
            keeps = super().handle(conn)
        finally:
            deadlines.clear(conn.sock)
        if keeps is False:
            part_from(conn.sock)
        return keeps

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request whose head is there."""
        deadlines.clear(conn.sock)
        conn.sock.settimeout(IDLE_S)
        req._expected_100_continue = False  # noqa: SLF001 - webapp.pace answers it when the body is wanted
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            log.warning("a client has not read its answer for %g s", IDLE_S)
            return False

    def murder_pending(self) -> None:
        """Do what is to be done about once a second."""
        super().murder_pending()
        if cut := deadlines.cut_overdue():
            log.warning("%d clients were too slow", cut)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Let those who wait for results know that the process ends."""
        super().handle_exit(sig, frame)
        stopping.set()


def part_from(sock: socket.socket) -> None:
    """Let the client read its answer, for a while; the main loop then closes the connection without waiting."""
    with contextlib.suppress(OSError):  # the client has gone, or does not end: both are fine
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_IDLE_S)
        until_s = time.monotonic() + LINGER_S
        piece = bytearray(PIECE_BYTES)
        while time.monotonic() < until_s and sock.recv_into(piece):
            pass
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)
