"""One id for each request: taken from who asks if it is well-formed, else made; in every answer, log line and task."""

from __future__ import annotations

import re
import uuid

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9_.-]{8,64}")


def register(app: Flask) -> None:
    """Give each answer of the app its request's id."""
    app.before_request(_take)
    app.after_request(_tell)


def request_id() -> str:
    """Return the id of the request being answered; "" outside of one."""
    if not has_request_context():
        return ""
    if "request_id" not in g:
        _take()
    known: str = g.request_id
    return known


def _take() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if WELL_FORMED.fullmatch(given) else str(uuid.uuid4())


def _tell(answer: Response) -> Response:
    answer.headers[HEADER] = request_id()
    return answer
