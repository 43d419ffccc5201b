"""`POST /reset`: begin anew."""

from __future__ import annotations

import logging
from dataclasses import asdict
from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from tasks import api as tasks_api
from webapp import auth, errors

# SQS empties a queue once a minute at most:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html
RETRY_AFTER_S = 60
INCOMPLETE = (
    "Not everything could be removed. Please try again in a minute: the queue is emptied once a minute at most."
)

log = logging.getLogger(__name__)
blueprint = Blueprint("admin", __name__)


@blueprint.post("/reset")
@auth.admin_only
def reset() -> Response:
    """Delete all photos, results and batches of all users, empty the queue, and say how many there were."""
    try:
        removed = tasks_api.reset()
    except tasks_api.StoreUnavailable as error:
        log.warning("reset is incomplete: %s", error)
        return errors.answer(HTTPStatus.SERVICE_UNAVAILABLE, INCOMPLETE, {"Retry-After": str(RETRY_AFTER_S)})
    log.warning("reset by %s: %s", auth.caller().name or "the operator", removed)
    return jsonify(asdict(removed))
