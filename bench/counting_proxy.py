"""A reverse proxy that counts the requests through it and can answer in their server's stead, as a failing S3 would."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
UPSTREAM_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Call:
    """A request as it arrived; of SQS and SNS with its action, whose body only `instead` sees."""

    method: str
    path: str
    action: str = ""
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Answer:
    """What the proxy says instead of passing a request on."""

    status: int
    body: bytes = b""

    @classmethod
    def s3_error(cls, status: int, code: str) -> Answer:
        """Return S3's way to say `code`."""
        return cls(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>-</Message></Error>".encode())


@dataclass
class CountingProxy:
    """What went through the proxy, and what it does.

    Attributes:
        url: where it listens.
        calls: every request, in order.
        instead: asked before each request is passed on; an answer is given back, None passes it on.
        hang_up: while set, every connection is closed unanswered.
    """

    url: str
    calls: list[Call] = field(default_factory=list)
    instead: Callable[[Call], Answer | None] | None = None
    hang_up: bool = False

    def count(self, *methods: str) -> int:
        """Return how many requests had one of these methods."""
        return sum(call.method in methods for call in self.calls)

    def take(self) -> list[str]:
        """Return the methods of the requests since the last time, in order."""
        methods = [call.method for call in self.calls]
        self.calls.clear()
        return methods


@contextmanager
def counting_proxy(target_url: str) -> Iterator[CountingProxy]:
    """Run a proxy before `target_url`, in threads of this process."""
    with _Server((LOOPBACK, 0), _Handler) as server:
        server.daemon_threads = True
        proxy = CountingProxy(f"http://{LOOPBACK}:{server.server_address[1]}")
        server.proxy, server.target = proxy, urlsplit(target_url)  # type: ignore[attr-defined]  # for the handlers
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _form_action(body: bytes) -> str:
    return body.partition(b"Action=")[2].partition(b"&")[0].decode() if body.startswith(b"Action=") else ""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Processes that are stopped leave their connections as they are.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    server: Any
    upstream: http.client.HTTPConnection | None = None

    def serve(self) -> None:
        proxy: CountingProxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if proxy.hang_up:
            self.close_connection = True
            return
        # SQS: "AmazonSQS.SendMessage" in a header; SNS: "Publish" in a form.
        action = self.headers.get("x-amz-target") or _form_action(body)
        call = Call(self.command, self.path, action, body)
        proxy.calls.append(replace(call, body=b""))
        answer = proxy.instead(call) if proxy.instead else None
        if answer is None:
            self.pass_on(body)
        else:
            self.reply(answer.status, {}, answer.body, len(answer.body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # noqa: N815 - http.server calls these names

    def pass_on(self, body: bytes) -> None:
        if self.upstream is None:
            where = self.server.target
            self.upstream = http.client.HTTPConnection(where.hostname, where.port, timeout=UPSTREAM_TIMEOUT_S)
        self.upstream.request(self.command, self.path, body, dict(self.headers))
        answer = self.upstream.getresponse()
        data = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS}
        self.reply(answer.status, headers, data, int(answer.getheader("content-length") or len(data)))

    def reply(self, status: int, headers: dict[str, str], body: bytes, length: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def finish(self) -> None:
        if self.upstream is not None:
            self.upstream.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Stay silent."""
