"""Whether who asks is a browser that wants a page, or a program that wants JSON."""

from __future__ import annotations

from flask import request


def prefers_html() -> bool:
    """Whether the request would rather have a page; who takes anything gets JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
