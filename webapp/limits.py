"""How often one key's holder, or one address, may ask; and how often an address may guess at keys.

Counted in the memory of each web process. Where nobody needs a key, only this machine's user can ask, without limits.
"""

from __future__ import annotations

import math
import time
from http import HTTPStatus

from flask import Flask, Response, request
from flask_limiter import ApplicationLimit, Limiter

from webapp.auth import caller, is_open

GUESSES_PER_MIN = 20
TOO_MANY = "Too many requests: at most {limit} a minute. Wait and try again."
TOO_MANY_GUESSES = "Too many keys that are not known. Wait a minute and try again."
# What load balancers ask again and again.
UNLIMITED = frozenset({"/healthz", "/readyz"})
# Names what no view answers, which the extension would not count otherwise.
NOWHERE = "nowhere"


def register(app: Flask, *, per_min: int) -> None:
    """Refuse what is asked too often with 429 and the seconds to wait."""
    limiter = Limiter(
        _asks,
        application_limits=[
            ApplicationLimit(f"{per_min}/minute", error_message=TOO_MANY.format(limit=per_min), exempt_when=_is_free),
            ApplicationLimit(
                f"{GUESSES_PER_MIN}/minute",
                key_function=_address,
                scope="guesses",
                error_message=TOO_MANY_GUESSES,
                exempt_when=_is_no_guess,
                deduct_when=_was_wrong,
            ),
        ],
        storage_uri="memory://",
        request_identifier=lambda: request.endpoint or NOWHERE,
    )
    limiter.init_app(app)
    limiter.request_filter(is_open)

    @app.after_request
    def say_when(answer: Response) -> Response:
        # The extension's own headers would put Retry-After on every answer, and over that of a busy storage.
        breached = limiter.current_limit
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS and breached is not None and breached.breached:
            answer.headers["Retry-After"] = str(max(1, math.ceil(breached.window.reset_time - time.time())))
        return answer


def _asks() -> str:
    return f"key {caller().name}" if caller().name else _address()


def _address() -> str:
    return f"address {request.remote_addr}"


def _is_free() -> bool:
    return request.path in UNLIMITED


def _is_no_guess() -> bool:
    return caller().name != ""


def _was_wrong(answer: Response) -> bool:
    return answer.status_code == HTTPStatus.UNAUTHORIZED and caller().key_was_wrong
