"""Turns what goes wrong into an answer that says what happened and what to do: JSON, or a page for browsers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, make_response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from tasks.api import StoreUnavailable
from webapp import metrics, pages, request_ids
from webapp.negotiation import prefers_html
from webapp.settings import MIB, WebSettings
from webapp.slots import Overloaded

RETRY_AFTER_S = 5
UNAVAILABLE = "The storage cannot be reached right now. Nothing was lost; please try again."

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Answer every error of `app` in the API's form."""
    settings: WebSettings = app.extensions["settings"]
    too_large = (
        f"The request is too large: at most {settings.max_request_bytes / MIB:.3g} MB or {settings.max_files} photos. "
        "Send fewer photos at a time."
    )

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> AnyResponse:
        if error.code is None or error.code < HTTPStatus.BAD_REQUEST or error.response is not None:
            return error.get_response()  # a redirect
        sentence = error.description or HTTPStatus(error.code).phrase
        if isinstance(error, RequestEntityTooLarge) and sentence == RequestEntityTooLarge.description:
            sentence = too_large
        headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
        return answer(error.code, sentence, headers)

    @app.errorhandler(Overloaded)
    def overloaded(error: Overloaded) -> AnyResponse:
        metrics.refused("overload")
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": str(error.retry_after_s)})

    @app.errorhandler(StoreUnavailable)
    def unavailable(error: StoreUnavailable) -> AnyResponse:
        log.error("storage cannot be reached: %s", error)
        metrics.refused("storage")
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)})


def answer(status: int, sentence: str, headers: Mapping[str, str] | None = None, **fields: Any) -> Response:
    """Return an error's answer; `fields` are for programs only."""
    request_id = request_ids.request_id()
    if prefers_html():
        response = make_response(pages.show_error(status, sentence, request_id), status)
    else:
        response = make_response(jsonify(error=sentence, request_id=request_id, **fields), status)
    response.headers.update(headers or {})
    response.headers.add("Vary", "Accept")
    return response
