"""Whether the process serves, and whether what it needs can be reached: for load balancers and people on call."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, current_app, jsonify

from tasks import api as tasks_api
from webapp.auth import public
from webapp.latest import Latest

# So that anybody may ask as often as they like.
CHECKED_FOR_S = 2.0

log = logging.getLogger(__name__)
blueprint = Blueprint("health", __name__)


@blueprint.record
def _setup(state: object) -> None:
    state.app.extensions["readiness"] = Latest("readiness", tasks_api.check, (), fresh_s=CHECKED_FOR_S)  # type: ignore[attr-defined]  # flask.sansio's SetupState


@blueprint.get("/healthz")
@public
def healthz() -> Response:
    """Say that the process serves requests."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@public
def readyz() -> tuple[Response, int]:
    """Say whether photos can be taken; 503 names the parts that cannot be reached."""
    readiness: Latest[dict[str, str]] = current_app.extensions["readiness"]
    broken = readiness.get()
    if broken is None:
        return jsonify(status="not known yet", broken=[]), 503
    if broken:
        log.error("not ready: %s", broken)
        return jsonify(status="not ready", broken=sorted(broken)), 503
    return jsonify(status="ready", broken=[]), 200
