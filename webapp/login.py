"""Signing in to the page with an API key, and out again."""

from __future__ import annotations

import re

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp import auth

blueprint = Blueprint("auth", __name__)


@blueprint.get("/login")
@auth.public
def login() -> str | Response:
    """Show the form; where nobody needs a key there is nothing to sign in to."""
    if auth.is_open():
        return redirect(url_for("pages.index"))
    return render_template("login.html", next=local_path(request.args.get("next", "")), error="")


@blueprint.post("/login", endpoint="login_with_key")
@auth.public
def login_with_key() -> Response | tuple[str, int]:
    """Begin a session for the holder of the key in the field `key`."""
    to = local_path(request.form.get("next", ""))
    key = auth.keys().find(request.form.get("key", "").strip())
    if key is None:
        auth.refuse_key()
        return render_template("login.html", next=to, error="This key is not known."), 401
    auth.sign_in(key)
    return redirect(to, 303)


@blueprint.post("/logout")
@auth.public
def logout() -> Response:
    """End the session."""
    auth.sign_out()
    return redirect(url_for("auth.login"), 303)


def local_path(given: str) -> str:
    r"""Return where to go after signing in: a path of this app, whatever was asked for.

    >>> local_path("/batches/1"), local_path("https://evil.example/"), local_path("/\\evil.example")
    ('/batches/1', '/', '/')
    """
    # A browser takes \\ for / and drops tabs and line ends, none of which is printable.
    return given if re.match(r"/(?![/\\])", given) and given.isprintable() else "/"
