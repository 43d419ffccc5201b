"""Puts together who may ask the app what, in the order in which a request meets it."""

from __future__ import annotations

import logging
from datetime import timedelta

from flask import Flask, Request, abort, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.sansio.utils import host_is_trusted

from webapp import auth, headers, limits, login, logs, request_ids, shares
from webapp.access_settings import AccessSettings

SESSION_LASTS = timedelta(days=7)
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
NOBODY = "WEB_PROXIES is set and there are no API keys: nobody gets in. Set API_KEYS."
FOREIGN_HOST = "Without API keys the app answers to addresses of its own machine alone: set API_KEYS."

log = logging.getLogger(__name__)


def register(app: Flask, settings: AccessSettings) -> None:
    """Guard the app as its settings say. What is registered here reads no request's body; `webapp.csrf` comes later."""
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=settings.proxies)  # type: ignore[method-assign]  # as Flask documents it
    app.secret_key = settings.signing_key
    app.session_interface = _Sessions()
    app.config.update(
        PERMANENT_SESSION_LIFETIME=SESSION_LASTS,
        SESSION_REFRESH_EACH_REQUEST=False,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    request_ids.register(app)
    logs.register(app)
    headers.register(app)
    if not settings.keys.ring():
        _guard_without_keys(app, behind_proxy=settings.proxies > 0)
    limits.register(app, per_min=settings.rate_limit_per_min)
    shares.register(app, signing_key=settings.signing_key, days=settings.share_days)
    auth.register(app, settings.keys, behind_proxy=settings.proxies > 0)
    app.register_blueprint(login.blueprint)


class _Sessions(SecureCookieSessionInterface):
    """Flask's signed cookie, sent by HTTPS alone where the app is reached that way."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - Flask's signature
        return request.is_secure

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the cookie; without one there is nothing to make a signer for, as programs have none."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)


def _guard_without_keys(app: Flask, *, behind_proxy: bool) -> None:
    if behind_proxy:
        # Everybody needs a key there, whatever host they name; a balancer's health checks name none of ours.
        log.warning(NOBODY)
    else:
        app.before_request(_check_host)


def _check_host() -> None:
    # Another site's page can have its own name mean 127.0.0.1; and a proxy may stand before an app that knows of none.
    if not host_is_trusted(request.host, LOOPBACK_HOSTS):
        abort(400, FOREIGN_HOST)
