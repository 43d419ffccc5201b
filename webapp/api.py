"""The JSON API: take photos, give results."""

from __future__ import annotations

import os

from flask import Blueprint, Request, Response, current_app, jsonify, request, url_for
from werkzeug.datastructures import FileStorage

from tasks import api as tasks_api
from webapp.settings import WebSettings
from webapp.uploads import Accepted, Received, Refused, validate

FILES_FIELD = "img"
LONGEST_WAIT_S = 60.0

blueprint = Blueprint("api", __name__)


@blueprint.post("/classify")
def classify() -> tuple[Response, int]:
    """Take the photos of a form (field `img`, any number); answer with a task for each.

    202 when at least one was taken (those refused are listed beside), else the first refusal's status. With `wait`, a
    number of seconds, the answer has the results too; 200 if all are there.
    """
    settings: WebSettings = current_app.extensions["settings"]
    verdicts = _judge(request, settings)
    if not verdicts:
        return jsonify(error=f"No photo came with the request: put files into the field `{FILES_FIELD}`."), 400
    if len(verdicts) > settings.max_files:
        return jsonify(error=f"{len(verdicts)} photos came; at most {settings.max_files} are taken at a time."), 413
    accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
    submitted = _submit(accepted)
    outcomes = iter(submitted.outcomes if submitted else ())
    rejected: list[dict[str, object]] = []
    for index, verdict in enumerate(verdicts):
        outcome = verdict if isinstance(verdict, Refused) else next(outcomes)
        if not isinstance(outcome, tasks_api.Photo):
            rejected.append({"index": index, "name": outcome.name, "error": _reason(outcome)})
    if submitted is None or not submitted.photos:
        refused = [verdict for verdict in verdicts if isinstance(verdict, Refused)]
        return jsonify(error=rejected[0]["error"], rejected=rejected), refused[0].status if refused else 503
    tasks = [
        {"id": photo.id, "name": photo.name, "result_url": url_for("api.result", task_id=photo.id)}
        for photo in submitted.photos
    ]
    taken = {"batch_id": submitted.batch_id, "tasks": tasks, "rejected": rejected}
    wait_s = _wait_s()
    if not wait_s:
        return jsonify(taken), 202
    results = list(tasks_api.wait([photo.id for photo in submitted.photos], wait_s))
    return jsonify(taken | {"results": [_shown(one) for one in results]}), 200 if len(results) == len(tasks) else 202


@blueprint.get("/results/<task_id>")
def result(task_id: str) -> tuple[Response, int]:
    """Say what became of a photo: 202 still waiting, 200 done or failed, 404 never uploaded.

    With `wait`, a number of seconds, the answer comes as soon as there is a result.
    """
    outcome = tasks_api.fetch(task_id)
    wait_s = _wait_s()
    if outcome.state == "PENDING" and wait_s:
        outcome = next(iter(tasks_api.wait([task_id], wait_s)), outcome)
    if outcome.state == "UNKNOWN":
        return jsonify(error="No photo was uploaded under this id, or it has expired."), 404
    return jsonify(_shown(outcome)), 200 if outcome.is_final else 202


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process serves requests."""
    return jsonify(status="ok")


def _judge(form: Request, settings: WebSettings) -> list[Accepted | Refused]:
    return [
        validate(
            _receive(file),
            max_bytes=settings.max_image_bytes,
            sniff=lambda opened: tasks_api.probe_photo(opened).content_type,
        )
        for file in form.files.getlist(FILES_FIELD)
        if file.filename
    ]


def _receive(file: FileStorage) -> Received:
    size_bytes = file.stream.seek(0, os.SEEK_END)
    file.stream.seek(0)
    return Received(file.filename or "", size_bytes, file.stream)


def _submit(accepted: list[Accepted]) -> tasks_api.Submitted | None:
    if not accepted:
        return None
    uploads = [tasks_api.Upload(photo.name, photo.content_type, photo.file, photo.size_bytes) for photo in accepted]
    return tasks_api.submit(uploads, tasks_api.Sender())


def _reason(outcome: Refused | tasks_api.SubmitError) -> str:
    return outcome.error if isinstance(outcome, Refused) else str(outcome)


def _shown(outcome: tasks_api.Outcome) -> dict[str, object]:
    known: dict[str, object] = {"id": outcome.id, "state": outcome.state}
    if outcome.state == "SUCCESS":
        return known | dict(outcome.result)
    if outcome.state == "FAILURE":
        return known | {"name": outcome.name, "error": outcome.error}
    return known


def _wait_s() -> float:
    return min(request.args.get("wait", 0.0, type=float), LONGEST_WAIT_S)
