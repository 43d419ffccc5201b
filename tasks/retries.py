"""A task that gives its message back when its retry cannot be sent, instead of giving it up."""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import Reject, Retry


class RetriedTask(Task[..., Any]):
    """The `base` of a task that is retried while S3 is away, when SQS may be away as well.

    Celery rejects a message whose retry could not be sent: its task becomes a FAILURE and its message a dead letter,
    though the message is still there to be done again. Given back it comes again when SQS does; a retry that can never
    be sent ends as any other message does that has come `max_receives` times.
    """

    def retry(self, *args: Any, **options: Any) -> Retry:
        """Send the task again.

        Raises:
            Reject: it could not be sent; the message goes back to the queue.
            Retry: it was sent.
        """
        try:
            return super().retry(*args, **options)
        except Reject as error:  # Celery raises it for nothing else
            raise Reject(error.reason, requeue=True) from error  # type: ignore[attr-defined]  # not in celery-types
