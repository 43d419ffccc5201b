"""The JSON API: take photos, give results."""

from __future__ import annotations

import os
import uuid

from flask import Blueprint, Request, Response, current_app, jsonify, request, url_for
from werkzeug.datastructures import FileStorage

from tasks import api as tasks_api
from webapp.settings import WebSettings
from webapp.uploads import Accepted, Received, Refused, validate

FILES_FIELD = "img"

blueprint = Blueprint("api", __name__)


@blueprint.post("/classify")
def classify() -> tuple[Response, int]:
    """Take the photos of a form (field `img`, any number); answer with a task for each.

    202 when at least one was taken (those refused are listed beside), else the first refusal's status.
    """
    settings: WebSettings = current_app.extensions["settings"]
    verdicts = _judge(request, settings)
    if not verdicts:
        return jsonify(error=f"No photo came with the request: put files into the field `{FILES_FIELD}`."), 400
    if len(verdicts) > settings.max_files:
        return jsonify(error=f"{len(verdicts)} photos came; at most {settings.max_files} are taken at a time."), 413
    outcomes = _submit_accepted(verdicts)
    tasks = [outcome for outcome in outcomes if "id" in outcome]
    rejected = [{"index": index, **outcome} for index, outcome in enumerate(outcomes) if "error" in outcome]
    if not tasks:
        refused = [verdict for verdict in verdicts if isinstance(verdict, Refused)]
        status = refused[0].status if refused else 503
        return jsonify(error=rejected[0]["error"], rejected=rejected), status
    return jsonify(tasks=tasks, rejected=rejected), 202


@blueprint.get("/results/<task_id>")
def result(task_id: str) -> tuple[Response, int]:
    """Say what became of a photo: 202 still waiting, 200 done or failed, 404 never uploaded."""
    outcome = tasks_api.fetch(task_id) if _is_id(task_id) else tasks_api.Outcome("UNKNOWN")
    if outcome.state == "UNKNOWN":
        return jsonify(error="No photo was uploaded under this id, or it has expired."), 404
    if outcome.state == "PENDING":
        return jsonify(id=task_id, state=outcome.state), 202
    if outcome.state == "FAILURE":
        return jsonify(id=task_id, name=outcome.name, state=outcome.state, error=outcome.error), 200
    return jsonify({"id": task_id, "state": outcome.state, **outcome.result}), 200


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process serves requests."""
    return jsonify(status="ok")


def _judge(form: Request, settings: WebSettings) -> list[Accepted | Refused]:
    return [
        validate(
            _receive(file, settings.max_image_bytes),
            max_bytes=settings.max_image_bytes,
            sniff=lambda data: tasks_api.probe_photo(data).content_type,
        )
        for file in form.files.getlist(FILES_FIELD)
        if file.filename
    ]


def _submit_accepted(verdicts: list[Accepted | Refused]) -> list[dict[str, str]]:
    accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
    uploads = [tasks_api.Upload(photo.name, photo.data, photo.content_type) for photo in accepted]
    submitted = iter(tasks_api.submit_many(uploads))
    return [
        _answer(verdict.name, next(submitted))
        if isinstance(verdict, Accepted)
        else {"name": verdict.name, "error": verdict.error}
        for verdict in verdicts
    ]


def _answer(name: str, submitted: str | tasks_api.SubmitError) -> dict[str, str]:
    if isinstance(submitted, tasks_api.SubmitError):
        return {"name": name, "error": str(submitted)}
    return {"id": submitted, "name": name, "result_url": url_for("api.result", task_id=submitted)}


def _receive(file: FileStorage, max_bytes: int) -> Received:
    size_bytes = file.stream.seek(0, os.SEEK_END)
    file.stream.seek(0)
    # What is too large is refused by its size alone; reading it would only fill the memory.
    return Received(file.filename or "", size_bytes, b"" if size_bytes > max_bytes else file.stream.read())


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
