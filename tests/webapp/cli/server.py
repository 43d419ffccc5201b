"""A server that answers uploads with what it was told to, in turn: what proxies and busy servers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BATCH = "000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef"


@dataclass(frozen=True)
class Answer:
    """One answer to an upload."""

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """What was sent to the server, and what it says."""

    url: str
    answers: list[Answer]
    uploads: list[bytes] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    results: list[Mapping[str, Any]] = field(default_factory=list)


def taken(*ids: str, rejected: tuple[Mapping[str, Any], ...] = ()) -> Answer:
    """Answer that photos were taken."""
    tasks = [{"id": one, "name": one, "result_url": f"/results/{one}"} for one in ids]
    link = f"/batches/{BATCH}"
    body = {"batch_id": BATCH, "batch_url": link, "share_url": link, "tasks": tasks, "rejected": list(rejected)}
    return Answer(202, body)


def success(photo_id: str) -> Mapping[str, Any]:
    """Return a result."""
    return {"id": photo_id, "name": "x", "state": "SUCCESS", "label": "cat", "confidence": 0.9}


@contextmanager
def running(*answers: Answer, results: tuple[Mapping[str, Any], ...] = ()) -> Iterator[Server]:
    """Serve `answers`, then results as events."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(Answer(200, {"status": "ok"}))
                return
            events = [f"event: result\ndata: {json.dumps(one)}\n\n" for one in server.results]
            self._send(200, "".join([*events, "event: end\ndata: {}\n\n"]).encode(), {})

        def do_POST(self) -> None:
            server.uploads.append(self.rfile.read(int(self.headers["Content-Length"])))
            server.queries.append(self.path)
            server.keys.add(self.headers.get("Authorization", ""))
            self._answer(server.answers.pop(0))

        def _answer(self, answer: Answer) -> None:
            body = b"<html>no JSON</html>" if answer.body is None else json.dumps(answer.body).encode()
            self._send(answer.status, body, answer.headers)

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}", list(answers), results=list(results))
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield server
        http.shutdown()
        thread.join()
