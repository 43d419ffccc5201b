"""`/results`: what became of a photo, and of all lately."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from tasks import api as tasks_api
from webapp import answers, auth, waiting

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
NO_PHOTO = "No photo was uploaded under this id, or it has expired."

blueprint = Blueprint("results", __name__)


@blueprint.get("/results/<photo_id>")
def show(photo_id: str) -> tuple[Response, int]:
    """Say what became of a photo: 202 still waiting, 200 done or failed, 404 never uploaded.

    With `wait`, a number of seconds, the answer comes as soon as there is a result.
    """
    wait_s = waiting.wait_s()
    outcome = tasks_api.fetch(photo_id)
    if outcome.state == "PENDING":
        outcome = waiting.wait_for([photo_id], wait_s).get(photo_id, outcome)
    if outcome.state == "UNKNOWN":
        raise NotFound(NO_PHOTO)
    return jsonify(answers.result(outcome)), 200 if outcome.is_final else 202


@blueprint.get("/results")
def index() -> Response:
    """Give the caller's newest results, numbered from the newest, with their total; `next` leads to the page after."""
    limit = _limit()
    before = request.args.get("before", "")
    if before and not tasks_api.is_id(before):
        raise BadRequest("`before` should be the id of a photo, as `next` names it.")
    found = tasks_api.recent(auth.caller().name, limit=limit, after=before)
    shown = [
        {"number": number, **answers.result(outcome)}
        for number, outcome in enumerate(found.outcomes, start=found.first + 1)
    ]
    return jsonify(total=found.total, total_is_exact=found.is_exact, results=shown, next=found.next or None)


def _limit() -> int:
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(MAX_LIMIT)) + 1 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"`limit` should be a number from 1 to {MAX_LIMIT}.")
    return limit
