"""Serves `/metrics` and `/healthz` of a scaler from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from flask import Flask, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from werkzeug.serving import make_server


def create_app(registry: CollectorRegistry, sick: Callable[[], str]) -> Flask:
    """Return the app.

    Args:
        registry: the figures.
        sick: says what is wrong with the scaler; an empty string while nothing is.
    """
    app = Flask(__name__)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    @app.get("/healthz")
    def healthz() -> tuple[dict[str, str], HTTPStatus]:
        reason = sick()
        if reason:
            return {"status": "sick", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE
        return {"status": "ok"}, HTTPStatus.OK

    return app


@contextmanager
def serving(app: Flask, host: str, port: int) -> Iterator[None]:
    """Serve the app until the block ends.

    Raises:
        SystemExit: the port is in use (werkzeug says so in one line).
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each question says nothing
    server = make_server(host, port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="scaler-http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
