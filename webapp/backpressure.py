"""Refuses photos while the queue is longer than can be worked off soon."""

from __future__ import annotations

from flask import Flask, current_app

from tasks import api as tasks_api
from webapp.latest import Latest
from webapp.settings import WebSettings
from webapp.slots import Overloaded

RETRY_AFTER_S = 30

Depth = Latest[tasks_api.QueueDepth]


def register(app: Flask) -> None:
    """Have the app know the queue's depth."""
    app.extensions["queue_depth"] = Depth("queue depth", tasks_api.queue_depth, (tasks_api.StoreUnavailable,))


def queue_depth() -> tasks_api.QueueDepth | None:
    """Return how much waits in the queue, as of a few seconds ago; None if that is not known."""
    depth: Depth = current_app.extensions["queue_depth"]
    return depth.get()


def require_room() -> None:
    """Let photos be taken, unless it is known that too many wait already.

    Raises:
        Overloaded: too many photos wait.
    """
    settings: WebSettings = current_app.extensions["settings"]
    depth = queue_depth()
    if depth is not None and depth.backlog >= settings.max_backlog:
        raise Overloaded(
            f"{depth.backlog:,} photos are waiting already. Nothing was taken; please try again later.", RETRY_AFTER_S
        )
