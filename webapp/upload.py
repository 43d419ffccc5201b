"""`POST /upload`: one photo in, its label out, in one call."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, current_app, jsonify, make_response, request, url_for
from werkzeug.exceptions import BadRequest

from tasks.api import Outcome
from webapp import answers, errors, form, receiving, taking, waiting
from webapp.settings import WebSettings

blueprint = Blueprint("upload", __name__)
receiving.takes_uploads("upload.upload")


@blueprint.post("/upload")
def upload() -> Response:
    """Take one photo (field `img`, `file`, `image` or `myfile`) and answer with its name and label when it is done.

    As text, or as JSON for who prefers that. 202 with the id when it takes too long, 422 if it cannot be classified.
    """
    files = form.files()
    if len(files) > 1:
        raise BadRequest("Send one photo; /classify takes several.")
    taken = form.take(files)
    if not taken.photos:
        return taking.nothing_taken(taken)
    (photo,) = taken.photos
    settings: WebSettings = current_app.extensions["settings"]
    outcome = waiting.wait_for([photo.id], settings.upload_wait_s).get(photo.id)
    if outcome is None:
        result_url = url_for("results.show", photo_id=photo.id)
        return make_response(jsonify(id=photo.id, name=photo.name, state="PENDING", result_url=result_url), 202)
    if outcome.state == "FAILURE":
        shown = {name: value for name, value in answers.result(outcome).items() if name in {"id", "name", "state"}}
        return errors.answer(HTTPStatus.UNPROCESSABLE_ENTITY, outcome.error, **shown)
    return _told(outcome)


def _told(outcome: Outcome) -> Response:
    shown = answers.result(outcome)
    if request.accept_mimetypes.best_match(["text/plain", "application/json"]) == "application/json":
        response = jsonify(shown)
    else:
        response = Response(f"{shown['name']},{shown['label']}", mimetype="text/plain")
    response.headers.add("Vary", "Accept")
    return response
