"""`GET /batches/<id>/events`: results as they come, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response

from tasks import api as tasks_api
from webapp import answers, batches, waiting
from webapp.slots import Overloaded
from webapp.stopping import stopping

# Proxies close what is silent for a minute.
HEARTBEAT_S = 5.0
COUNTS_EVERY_S = 0.25
# Then the client comes again, to whichever process is there by then.
LONGEST_S = 600.0
RETRY_AFTER_S = 10
TOO_MANY = "Too many watch their results live. Ask for the batch itself every few seconds."
HEARTBEAT = ": still here\n\n"

blueprint = Blueprint("events", __name__)
log = logging.getLogger(__name__)


@blueprint.get("/batches/<batch_id>/events")
def events(batch_id: str) -> Response:
    """Send each photo's result, those first that are there; then `end`. Who connects again gets all again.

    Raises:
        Overloaded: too many listen.
    """
    batch = batches.find(batch_id)
    known = tasks_api.read_final([photo.id for photo in batch.photos])
    slots = waiting.slots()
    if not slots.take():
        raise Overloaded(TOO_MANY, RETRY_AFTER_S)
    response = Response(stream(batch, known), mimetype="text/event-stream")
    response.call_on_close(slots.give_back)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    return response


def event(kind: str, data: Mapping[str, Any]) -> str:
    r"""Return an event. JSON has no line breaks that would end it.

    >>> event("end", {})
    'event: end\ndata: {}\n\n'
    """
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def stream(batch: tasks_api.Batch, known: Mapping[str, tasks_api.Outcome]) -> Iterator[str]:
    """Yield a batch's events until all its photos are done, or the time is up; first what is known already.

    Photos that are added meanwhile are told, too: one that is slow hides none of them. That takes a listing for each
    heartbeat.
    """
    names = {photo.id: photo.name for photo in batch.photos}
    states = _states(batch, {photo_id: outcome.state for photo_id, outcome in known.items()})
    until_s = time.monotonic() + LONGEST_S
    for photo_id, outcome in known.items():
        yield event("result", answers.result(outcome, names[photo_id]))
    yield _counts(states)
    while "PENDING" in states.values():
        if time.monotonic() >= until_s or stopping.is_set():
            return
        pending = [photo_id for photo_id, state in states.items() if state == "PENDING"]
        counted_at_s = time.monotonic()
        for outcome in tasks_api.wait(pending, HEARTBEAT_S):
            states[outcome.id] = outcome.state
            yield event("result", answers.result(outcome, names[outcome.id]))
            if time.monotonic() - counted_at_s >= COUNTS_EVERY_S:
                counted_at_s = time.monotonic()
                yield _counts(states)
        yield HEARTBEAT
        found = _look_again(batch)
        if found is None and "PENDING" not in states.values():
            return  # nobody knows that this is the end: the client comes again
        batch = found or batch
        names = {photo.id: photo.name for photo in batch.photos}
        states = _states(batch, states)
        yield _counts(states)
    yield event("end", {})


def _look_again(batch: tasks_api.Batch) -> tasks_api.Batch | None:
    """Return a batch with the photos that were added; None if it is gone, or S3 does not tell now."""
    try:
        return tasks_api.get_batch(batch.id)
    except tasks_api.StoreUnavailable as error:
        log.warning("a batch is looked at again later: %s", error)
        return None


def _states(batch: tasks_api.Batch, known: Mapping[str, str]) -> dict[str, str]:
    return {photo.id: known.get(photo.id, "PENDING") for photo in batch.photos}


def _counts(states: Mapping[str, str]) -> str:
    return event("counts", answers.counts([{"state": state} for state in states.values()]))
