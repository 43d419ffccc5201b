"""`POST /classify`: many photos in, a task for each out; with `wait` their results."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as AnyResponse

from webapp import answers, auth, form, receiving, shares, taking, waiting
from webapp.negotiation import prefers_html

blueprint = Blueprint("classify", __name__)
receiving.takes_uploads("classify.classify")


@blueprint.post("/classify")
def classify() -> tuple[Response, int] | AnyResponse:
    """Take the photos of a form (field `img`, any number); answer with a task for each.

    202 when at least one was taken (those refused are listed beside), else the first refusal's status. With `wait`, a
    number of seconds, the answer has the results too; 200 if all are there. With `batch`, the id of a batch, the photos
    are added to it; with `replaces` too, once for each file, they take the places of photos in it. A browser's form is
    sent on to the batch's page.
    """
    wait_s = waiting.wait_s()
    batch_id, replaced = _place()
    files = form.files()
    if replaced and len(replaced) != len(files):
        raise BadRequest(f"{len(files)} photos came to replace {len(replaced)}: `replaces` should come once for each.")
    taken = form.take(files, batch_id, replaced)
    if not taken.photos:
        return taking.nothing_taken(taken)
    if prefers_html():
        return redirect(url_for("batches.show", batch_id=taken.batch_id), 303)
    return _answer(taken, wait_s)


def _place() -> tuple[str, list[str]]:
    """Return the batch that photos are added to, and the photos that they are sent instead of."""
    batch_id, replaced = request.args.get("batch", ""), request.args.getlist("replaces")
    if replaced and not batch_id:
        raise BadRequest("`replaces` needs `batch`, the batch that the photos are in.")
    for one in [batch_id, *replaced] if batch_id else []:
        auth.require_owner(one)
    return batch_id, replaced


def _answer(taken: taking.Taken, wait_s: float) -> tuple[Response, int]:
    told: dict[str, Any] = {
        "batch_id": taken.batch_id,
        "batch_url": url_for("batches.show", batch_id=taken.batch_id),
        "share_url": shares.share_url(taken.batch_id),
        "tasks": [
            {"id": photo.id, "name": photo.name, "result_url": url_for("results.show", photo_id=photo.id)}
            for photo in taken.photos
        ],
        "rejected": taken.told,
    }
    if not wait_s:
        return jsonify(told), 202
    outcomes = waiting.wait_for([photo.id for photo in taken.photos], wait_s)
    shown = answers.results(taken.photos, outcomes)
    told |= {"counts": answers.counts(shown), "results": shown}
    return jsonify(told), 200 if len(outcomes) == len(taken.photos) else 202
