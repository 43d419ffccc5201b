"""The web app's figures for Prometheus at `/metrics`: requests by endpoint, photos, refusals, uploads and waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, current_app
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_flask_exporter import PrometheusMetrics

from webapp.slots import Slots

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Each method has figures of its own for as long as the process lives, and HTTP lets anybody invent some.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "OTHER"


class Figures:
    """What the app counts beside its requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.photos = Counter("web_photos", "photos, by what became of them", ["outcome"], registry=registry)
        self.refused = Counter("web_refused", "requests refused with 503, by reason", ["reason"], registry=registry)
        self.busy = Gauge(
            "web_busy",
            "requests that upload or wait for results now",
            ["what"],
            registry=registry,
            multiprocess_mode="livesum",
        )


def register(app: Flask, *, uploads: Slots, waiting: Slots) -> None:
    """Measure the app's requests and serve the figures.

    With WEB_WORKERS above 1 they are the sum over all processes, whichever is asked (see webapp.serving).
    """
    registry = CollectorRegistry()
    PrometheusMetrics(app, registry=registry, group_by="endpoint", defaults_prefix="web")
    figures = app.extensions["figures"] = Figures(registry)
    uploads.changed = figures.busy.labels("uploads").set
    waiting.changed = figures.busy.labels("waiting").set
    app.wsgi_app = _with_few_methods(app.wsgi_app)  # type: ignore[assignment,method-assign]  # as Flask documents it


def refused(reason: str) -> None:
    """Count a request that was refused."""
    _figures().refused.labels(reason).inc()


def photos(*, taken: int, rejected: int) -> None:
    """Count the photos of an upload."""
    _figures().photos.labels("taken").inc(taken)
    _figures().photos.labels("rejected").inc(rejected)


def _with_few_methods(app: WSGIApplication) -> WSGIApplication:
    """Have an app take all methods that are not `METHODS` for one, which no view answers."""

    def few(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in METHODS:
            environ["REQUEST_METHOD"] = OTHER
        return app(environ, start_response)

    return few


def _figures() -> Figures:
    figures: Figures = current_app.extensions["figures"]
    return figures
