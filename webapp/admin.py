"""`POST /reset`: begin anew."""

from __future__ import annotations

import logging
from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from tasks import api as tasks_api
from webapp import auth

log = logging.getLogger(__name__)
blueprint = Blueprint("admin", __name__)


@blueprint.post("/reset")
@auth.admin_only
def reset() -> Response:
    """Delete all photos, results and batches of all users, empty the queue, and say how many there were."""
    removed = tasks_api.reset()
    log.warning("reset by %s: %s", auth.caller().name or "the operator", removed)
    return jsonify(asdict(removed))
