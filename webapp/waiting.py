"""Lets requests wait for results: so many at a time, and none beyond the end of the process."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import Flask, current_app, request
from werkzeug.exceptions import BadRequest

from tasks import api as tasks_api
from webapp.settings import WebSettings
from webapp.slots import Slots
from webapp.stopping import stopping

LONGEST_WAIT_S = 60.0
# How often one who waits looks whether the process is to end.
GLANCE_S = 2.0

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Have the app count who waits."""
    settings: WebSettings = app.extensions["settings"]
    app.extensions["waiting"] = Slots(settings.waiting_slots)


def wait_s() -> float:
    """Return for how long the request wants to wait: its parameter `wait`, 0 without.

    Raises:
        BadRequest: it is not a number of seconds in range.
    """
    text = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise BadRequest(f"`wait` should be a number of seconds from 0 to {LONGEST_WAIT_S:g}.")
    return seconds


def slots() -> Slots:
    """Return the process's slots for those who wait."""
    waiting: Slots = current_app.extensions["waiting"]
    return waiting


@contextmanager
def slot() -> Iterator[bool]:
    """Take a slot for the block; tell whether there was one."""
    taken = slots().take()
    try:
        yield taken
    finally:
        if taken:
            slots().give_back()


def wait_for(photo_ids: Sequence[str], seconds: float) -> dict[str, tasks_api.Outcome]:
    """Return the results that come in the time, by photo; at once what is there if too many wait already.

    While S3 cannot be reached there are none: the photos were taken, and an error would have them sent again.
    """
    found: dict[str, tasks_api.Outcome] = {}
    if not seconds:
        return found
    with slot() as may_wait:
        if not may_wait:
            try:
                return tasks_api.read_final(photo_ids)
            except tasks_api.StoreUnavailable as error:
                log.warning("no results to answer with: %s", error)
                return found
        deadline_s = time.monotonic() + seconds
        while waiting := [one for one in photo_ids if one not in found]:
            left_s = deadline_s - time.monotonic()
            found |= {outcome.id: outcome for outcome in tasks_api.wait(waiting, max(0.0, min(GLANCE_S, left_s)))}
            if left_s <= GLANCE_S or stopping.is_set():
                break
    return found
