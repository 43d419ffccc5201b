"""What the transport asks of the Celery worker it serves: does it end, which tasks run, where do results go.

And what it adds to it: a step for its events. The transport knows its worker by Celery's own signal; a process that is
no worker has none.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from celery.bootsteps import CLOSE, TERMINATE  # type: ignore[attr-defined]  # not in celery-types
from celery.signals import worker_init
from celery.worker.state import active_requests

from tasks.sqs.event_flush import EventFlush

if TYPE_CHECKING:
    from celery import Celery

_worker: weakref.ref[Any] | None = None


@worker_init.connect(weak=False)
def _serve(sender: Any, **_kwargs: Any) -> None:
    global _worker  # noqa: PLW0603 - Celery has one worker a process, and no other way from a transport to it
    _worker = weakref.ref(sender)
    sender.app.steps["consumer"].add(EventFlush)


def _current() -> Any:
    return None if _worker is None else _worker()


def app() -> Celery[Any] | None:
    """Return the worker's app; None in a process that is no worker."""
    worker = _current()
    return None if worker is None else worker.app


def is_ending() -> bool:
    """Tell whether a closed connection is the end, rather than one that the worker opens anew."""
    worker = _current()
    return worker is None or worker.blueprint.state in {None, CLOSE, TERMINATE}


def running_tags() -> frozenset[str]:
    """Return the delivery tags of the messages whose tasks run at this moment."""
    return frozenset(request.message.delivery_tag for request in tuple(active_requests))
