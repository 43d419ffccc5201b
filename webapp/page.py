"""The page for people: choose photos, watch their labels come."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template

from webapp.settings import WebSettings

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
def index() -> str:
    """Show the page."""
    settings: WebSettings = current_app.extensions["settings"]
    return render_template(
        "index.html", flower_url=settings.flower_url, max_image_mb=settings.max_image_bytes // (1024 * 1024)
    )
