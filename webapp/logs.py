"""What the web process writes: a line of JSON for each request on stdout, what happened on stderr; never a secret.

Both carry the request's id. What came from outside cannot begin a line of its own.
"""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, request

from webapp.auth import caller
from webapp.request_ids import request_id

REQUESTS = "webapp.requests"
# What load balancers ask all day long.
UNLOGGED = frozenset({"/healthz", "/readyz"})
SECRETS = re.compile(
    r"""
    (?=[ebxs?&'":])  # what one of them begins with: the other characters are passed over at once
    (?:
        (?P<key>\bec_)[\w-]{8,}                                                 # an API key
      | (?P<bearer>\bbearer\s+)[^\s'"]+                                         # any key in a header
      | (?P<header>\bx-api-key['"]?\s*[:=,]\s*['"]?)[^\s'"]+
      | (?P<cookie>\bsession=)[^\s;'"]+
      | (?P<query>[?&](?:share|key|X-Amz-(?:Signature|Credential|Security-Token))=)[^\s&'"]+
      | (?P<field>['"](?:policy|x-amz-signature|x-amz-credential|x-amz-security-token)['"]:\s*['"])[^'"]+
      | (?P<digest>:(?:user|admin):)[0-9a-f]{64}
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
HIDDEN = "…"

log = logging.getLogger(REQUESTS)


def redact(text: str) -> str:
    """Return a text without the keys, cookies and signatures in it.

    >>> redact("GET /batches/1?share=AbC.dEf HTTP/1.1"), redact("Authorization: Bearer ec_0123456789")
    ('GET /batches/1?share=… HTTP/1.1', 'Authorization: Bearer …')
    """
    return SECRETS.sub(lambda found: f"{found[found.lastgroup or 0]}{HIDDEN}", text)


class Lines(logging.Formatter):
    """One line for each record, and indented ones for its traceback, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        record.request_id = request_id() or "-"
        message, *traceback = redact(super().format(record)).splitlines() or [""]
        return "\n".join([message, *(f"    {line}" for line in traceback)])

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write a record's message so that nothing in it looks like another line."""
        if not record.message.isprintable():
            record.message = "".join(
                char if char.isprintable() else char.encode("unicode_escape").decode() for char in record.message
            )
        return super().formatMessage(record)


# For gunicorn, which fills in nothing of its own: https://docs.gunicorn.org/en/stable/settings.html#logconfig-dict
CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "events": {
            "()": "webapp.logs.Lines",
            "format": "%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s",
        },
        "requests": {"()": "webapp.logs.Lines", "format": "%(message)s"},
    },
    "handlers": {
        "events": {"class": "logging.StreamHandler", "formatter": "events", "stream": "ext://sys.stderr"},
        "requests": {"class": "logging.StreamHandler", "formatter": "requests", "stream": "ext://sys.stdout"},
    },
    "root": {"level": "INFO", "handlers": ["events"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "propagate": True},
        REQUESTS: {"level": "INFO", "handlers": ["requests"], "propagate": False},
    },
}


def register(app: Flask) -> None:
    """Write a line for each request of the app."""
    app.before_request(_start)
    app.after_request(_write)


def _start() -> None:
    g.began_s = time.perf_counter()


def _write(answer: Response) -> Response:
    if request.path not in UNLOGGED:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id(),
            "method": request.method,
            "path": request.path,
            "status": answer.status_code,
            "duration_s": round(time.perf_counter() - g.began_s, 4),
            "caller": caller().name,
            "address": request.remote_addr,
        }
        log.info("%s", json.dumps(line))
    return answer
