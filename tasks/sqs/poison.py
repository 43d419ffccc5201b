"""Ends tasks whose message keeps coming back because their worker dies: with a result, and as a dead letter.

The queue's redrive policy must allow one receive more than ``max_receives``: on that one the task is not run but its
FAILURE is stored, the message goes back at once, and SQS moves it to the dead-letter queue.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import Reject

DEFAULT_MAX_RECEIVES = 5


class PoisonMessage(Exception):
    """The task was started too often without ever finishing."""


class SafeTask(Task):  # type: ignore[type-arg]  # generic in its stubs only
    """A task that is not run again once its message was received too often."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Store a FAILURE and give the message back instead of running the task for yet another time.

        Raises:
            celery.exceptions.Reject: the message was received more than ``max_receives`` times.
        """
        limit = int(self.app.conf.broker_transport_options.get("max_receives", DEFAULT_MAX_RECEIVES))
        received = (getattr(self.request, "sqs", None) or {}).get("receive_count", 0)
        if received <= limit:
            return super().before_start(task_id, args, kwargs)
        error = PoisonMessage(
            f"Started {limit} times, and each time its worker ended before the task did; it is not tried again."
        )
        self.backend.mark_as_failure(task_id, error, request=self.request)
        raise Reject(str(error), requeue=True)
