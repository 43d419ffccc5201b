"""The HTTP tier: takes photos, hands out ids, shows results. It never loads torch."""

from __future__ import annotations

from flask import Flask

from webapp import api, errors, metrics, pages, safety
from webapp.settings import WebSettings


def create_app(settings: WebSettings) -> Flask:
    """Build the web app for `settings`."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    # A form's text fields are held in memory, files are not; one field per photo's name would be plenty.
    app.config["MAX_FORM_PARTS"] = settings.max_files + 100
    app.extensions["settings"] = settings
    safety.register(app, settings)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    errors.register(app)
    metrics.register(app)
    return app
