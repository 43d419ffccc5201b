"""Turns what goes wrong into an answer that says what happened and what to do: JSON for the API."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from tasks.api import StoreUnavailable
from webapp.settings import MIB, WebSettings

RETRY_AFTER_S = 5
log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Answer every error of `app` in the API's form."""
    settings: WebSettings = app.extensions["settings"]

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_error: RequestEntityTooLarge) -> tuple[Response, int]:
        limit = f"{settings.max_request_bytes / MIB:.3g} MB or {settings.max_files} photos"
        return jsonify(error=f"The request is too large: at most {limit}. Send fewer photos at a time."), 413

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code or 500

    @app.errorhandler(StoreUnavailable)
    def unavailable(error: StoreUnavailable) -> tuple[Response, int, dict[str, str]]:
        log.error("storage cannot be reached: %s", error)
        message = "The storage cannot be reached right now. Nothing was lost; please try again."
        return jsonify(error=message), 503, {"Retry-After": str(RETRY_AFTER_S)}
