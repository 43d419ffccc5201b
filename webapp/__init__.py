"""The HTTP tier: takes photos, hands out ids, shows results. It never loads torch."""

from __future__ import annotations

from flask import Flask

from webapp import api, csrf, errors, metrics, pages, reference, safety
from webapp.settings import WebSettings


def create_app(settings: WebSettings) -> Flask:
    """Build the web app for `settings`."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    # A form's text fields are held in memory, files are not; one field per photo's name would be plenty.
    app.config["MAX_FORM_PARTS"] = settings.max_files + 100
    app.extensions["settings"] = settings
    safety.register(app, settings)
    csrf.register(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(reference.blueprint)
    errors.register(app)
    metrics.register(app)
    return app
