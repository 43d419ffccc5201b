"""The HTTP tier: takes photos, hands out ids, shows results. It never loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from webapp.settings import WebSettings


def create_app(settings: WebSettings) -> Flask:
    """Build the web app for `settings`."""
    # Not at the top: the command-line client is in this package too, and needs neither Flask nor AWS.
    from flask import Flask

    from webapp import (
        admin,
        backpressure,
        batches,
        classify,
        csrf,
        downloads,
        errors,
        events,
        health,
        metrics,
        pages,
        presigned,
        receiving,
        reference,
        results,
        safety,
        status,
        upload,
        waiting,
    )
    from webapp.deadlines import deadlines
    from webapp.pace import paced

    app = Flask(__name__)
    app.url_map.merge_slashes = False  # an address without an id is unknown, not another address
    app.extensions["settings"] = settings
    receiving.register(app)
    waiting.register(app)
    backpressure.register(app)
    status.register(app)
    safety.register(app, settings)
    csrf.register(app)
    errors.register(app)
    metrics.register(app, uploads=app.extensions["gate"].slots, waiting=app.extensions["waiting"])
    for part in (
        admin,
        batches,
        classify,
        downloads,
        events,
        health,
        pages,
        presigned,
        reference,
        results,
        status,
        upload,
    ):
        app.register_blueprint(part.blueprint)
    app.wsgi_app = paced(app.wsgi_app, deadlines)  # type: ignore[assignment,method-assign]  # as Flask documents it
    return app
