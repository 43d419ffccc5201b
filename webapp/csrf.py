"""Tells the page's own forms and scripts from those that another site makes a browser send.

A request with an API key in its headers needs no such proof: another site cannot set them. Nor does a program without
a session: only browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`) and send cookies unasked.
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

from flask import Flask, abort, request, session
from flask_wtf.csrf import CSRFProtect, validate_csrf
from wtforms import ValidationError

from webapp.auth import READING, header_key

HEADERS = ("X-CSRFToken", "X-CSRF-Token")
FIELD = "csrf_token"
FORGED = "The request came from another site's page and was refused."
OUT_OF_DATE = "This page is out of date: reload it and try again."


def register(app: Flask) -> None:
    """Refuse forged requests; give templates `csrf_token()`."""
    # A page may stay open for long: its token holds as long as the session. The check is the one below, which looks
    # into a form's body only where no header proves the request.
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None)
    CSRFProtect(app)
    app.before_request(_check)


def _check() -> None:
    if request.endpoint is None or request.method in READING or header_key() is not None:
        return
    if not _is_of_this_site():
        abort(403, FORGED)
    if _is_browsers():
        given = next((request.headers[name] for name in HEADERS if name in request.headers), None)
        try:
            validate_csrf(given or request.form.get(FIELD))
        except ValidationError:
            abort(403, OUT_OF_DATE)


def _is_of_this_site() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin in {None, f"http://{request.host}", f"https://{request.host}"}


def _is_browsers() -> bool:
    return "Sec-Fetch-Site" in request.headers or "Origin" in request.headers or bool(session)
