"""Ends tasks whose message keeps coming back because their worker dies: with a result that says so.

The queue's redrive policy must allow one receive more than the transport's option ``max_receives``: on that one a
worker stores the FAILURE instead of running the task, and makes the message a dead letter itself. What SQS moves by
itself is settled later, see `tasks.sqs.dead_letters`.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery import states
from celery.app.task import Context
from celery.backends.base import DisabledBackend
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.serialization import loads, prepare_accept_content

if TYPE_CHECKING:
    from celery import Celery


class PoisonMessage(Exception):
    """The task was given to workers too often without ever ending, or its message cannot be read."""

    @classmethod
    def after(cls, receives: int) -> PoisonMessage:
        """Name the cause of a message that came back that often."""
        return cls(
            f"Given to a worker {receives} times, and each worker ended before the task did; it is not tried again."
        )


def store_failure(app: Celery[Any], envelope: Mapping[str, Any], error: Exception) -> str:
    """Store `error` as the result of the task in `envelope`, unless it has ended; return the state it was in.

    Callbacks for errors, chains and groups learn of it as of any failure.
    """
    task_id = envelope["headers"].get("id")
    backend: Any = app.backend
    if task_id is None or isinstance(backend, DisabledBackend):
        return states.PENDING
    state = str(backend.get_state(task_id))
    if state not in states.READY_STATES:
        backend.mark_as_failure(task_id, error, request=_request(app, envelope))
    return state


def _request(app: Celery[Any], envelope: Mapping[str, Any]) -> Context:
    """Return what the result store and error callbacks read about a task: its name, arguments and relations."""
    args, kwargs, relations = None, None, {}
    how = (envelope.get("content-type", ""), envelope.get("content-encoding", ""))
    # A result lacks the arguments that nobody can read.
    with contextlib.suppress(ContentDisallowed, DecodeError, TypeError, ValueError):
        args, kwargs, embed = loads(envelope["body"], *how, accept=prepare_accept_content(app.conf.accept_content))
        relations = dict(embed)
    headers = {**envelope["headers"], **relations}
    return Context(headers, args=args, kwargs=kwargs, delivery_info=envelope["properties"].get("delivery_info"))
