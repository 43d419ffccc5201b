"""Holders of API keys, and an app that asks for keys, for the tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Flask, Response, jsonify

from tasks import api as tasks_api
from webapp import auth, create_app
from webapp.keys import Key, Role, digest_of, new_key
from webapp.settings import WebSettings


@dataclass(frozen=True)
class Holder:
    """Somebody with an API key."""

    name: str
    role: Role = Role.USER
    key: str = field(default_factory=new_key)

    @property
    def line(self) -> str:
        """What the operator writes into API_KEYS."""
        return str(Key(self.name, self.role, digest_of(self.key)))

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends."""
        return {"Authorization": f"Bearer {self.key}"}

    def id(self, rest: str = "e6aff5dc2b1-0a1b2c3-0123456789abcdef") -> str:
        """Return an id of the holder's."""
        return f"{tasks_api.owner_tag(self.name)}-{rest}"


def guarded_app(*holders: Holder, **environ: str) -> Flask:
    """Build the web app for these holders of keys, with addresses that answer without storage."""
    keys = {"API_KEYS": " ".join(holder.line for holder in holders)}
    app = create_app(WebSettings.from_env(keys | environ))

    def about(id_: str = "") -> Response:
        return jsonify(id=id_, name=auth.caller().name, is_admin=auth.caller().is_admin)

    app.add_url_rule("/about", "about", about, methods=["GET", "POST"])
    app.add_url_rule("/about/<id_>", "about_id", about, methods=["GET", "POST"])
    app.add_url_rule("/secret", "secret", auth.admin_only(about), methods=["GET", "POST"])
    return app
