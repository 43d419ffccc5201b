"""Who asks, and whether they may: API keys in headers, the page's signed session, ids that tell their owner.

Whatever is not `public` needs a key as soon as there are keys; every id in an address must belong to who asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, abort, current_app, g, redirect, request, session, url_for
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

from tasks import api as tasks_api
from webapp import shares
from webapp.keys import Key, KeyRing, Role
from webapp.keys.source import KeySource

READING = frozenset({"GET", "HEAD", "OPTIONS"})
CHALLENGE = WWWAuthenticate("bearer", {"realm": "photos"})

P = ParamSpec("P")
R = TypeVar("R")

_public: set[Callable[..., object]] = set()


@dataclass(frozen=True)
class Caller:
    """Who asks. Where no key is needed everybody is the operator, and nameless."""

    name: str
    is_admin: bool
    key_was_wrong: bool = False

    @property
    def is_known(self) -> bool:
        """Whether this is somebody with a key, or nobody needs one."""
        return self.is_admin or self.name != ""


OPERATOR = Caller("", is_admin=True)
STRANGER = Caller("", is_admin=False)
PRETENDER = Caller("", is_admin=False, key_was_wrong=True)


def register(app: Flask, keys: KeySource, *, behind_proxy: bool) -> None:
    """Let only those who may ask the app: behind a proxy nobody without a key, though there be no keys yet."""
    app.extensions["keys"] = keys
    app.extensions["behind_proxy"] = behind_proxy
    app.before_request(_gate)


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Let everybody ask a view. Put it outermost, next to the route."""
    _public.add(view)
    return view


def admin_only(view: Callable[P, R]) -> Callable[P, R]:
    """Let nobody but admins ask a view."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not caller().is_admin:
            abort(403, "This needs the key of an admin.")
        return view(*args, **kwargs)

    return guarded


def keys() -> KeyRing:
    """Return the keys that are taken now."""
    source: KeySource = current_app.extensions["keys"]
    return source.ring()


def caller() -> Caller:
    """Return who asks."""
    if "caller" not in g:
        g.caller = OPERATOR if is_open() else _identify(keys())
    who: Caller = g.caller
    return who


def header_key() -> str | None:
    """Return the API key that came with the request's headers."""
    if request.authorization is not None and request.authorization.type == "bearer":
        return request.authorization.token or ""
    return request.headers.get("X-API-Key")


def require_owner(id_: str) -> None:
    """Let the request go on only if the id's photo or batch is the caller's, or opened by a share link to read.

    Anything else looks as if it did not exist.
    """
    if tasks_api.is_id(id_) and (owns(id_) or (request.method in READING and shares.opens(id_))):
        return
    abort(404, "There is nothing under this id, or it has expired.")


def owns(id_: str) -> bool:
    """Tell whether an id's photo or batch is the caller's; an admin owns all."""
    who = caller()
    return who.is_admin or (who.name != "" and tasks_api.tag_of(id_) == tasks_api.owner_tag(who.name))


def is_open() -> bool:
    """Tell whether nobody needs a key: there are none, and nobody but this machine reaches the app."""
    return not (keys() or current_app.extensions["behind_proxy"])


def sign_in(key: Key) -> None:
    """Begin a session of the page for a key's holder, without anything of the one before."""
    session.clear()
    session.permanent = True
    session["key"] = key.digest


def sign_out() -> None:
    """End the page's session."""
    session.clear()


def refuse_key() -> None:
    """Note that who asks gave a key that is not known."""
    g.caller = PRETENDER


def _identify(taken: KeyRing) -> Caller:
    given = header_key()
    if given is not None:
        key = taken.find(given)
        return _holder(key) if key else PRETENDER
    # The session names a key, not a person: a key that is taken away ends its sessions.
    key = taken.find_digest(str(session.get("key", "")))
    return _holder(key) if key else STRANGER


def _holder(key: Key) -> Caller:
    return Caller(key.name, is_admin=key.role is Role.ADMIN)


def _gate() -> Response | None:
    if request.endpoint is None or _is_public(request.endpoint):
        return None
    ids = [str(value) for value in (request.view_args or {}).values()]  # no address has anything else in it
    if not caller().is_known and not (request.method in READING and ids and all(map(shares.opens, ids))):
        return _turn_away()
    for id_ in ids:
        require_owner(id_)
    return None


def _is_public(endpoint: str) -> bool:
    return endpoint == "static" or current_app.view_functions[endpoint] in _public


def _turn_away() -> Response:
    if caller().key_was_wrong:
        raise Unauthorized("This API key is not known.", www_authenticate=CHALLENGE)
    if (
        request.method == "GET"
        and request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    ):
        return redirect(url_for("auth.login", next=request.full_path.rstrip("?")))
    raise Unauthorized(
        "An API key is needed: send it as `Authorization: Bearer KEY`, or sign in at /login.",
        www_authenticate=CHALLENGE,
    )
