"""Headers that tell a browser how little a page of this app may do, and that answers are not to be kept.

https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
"""

from __future__ import annotations

from flask import Flask, Response, request

# Scripts and styles come from files of this app and nowhere else: none inline. `blob:` shows chosen photos at once.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    # No text becomes markup or code by a script's mistake: https://developer.mozilla.org/docs/Web/API/Trusted_Types_API
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "; ".join(f"{what} {sources}" for what, sources in POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # A share link's token stays out of other sites' logs.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}


def register(app: Flask) -> None:
    """Put the headers on each answer of the app; a view may have set a stricter or looser one itself."""
    app.after_request(_add)


def _add(answer: Response) -> Response:
    wanted = {**ALWAYS, **(HTTPS_ONLY if request.is_secure else {})}
    # All at once: each look-up of a name that is missing costs werkzeug an exception.
    given = {name.lower() for name, _ in answer.headers}
    answer.headers.extend([(name, value) for name, value in wanted.items() if name.lower() not in given])
    return answer
