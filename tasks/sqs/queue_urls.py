"""How a channel finds a task queue: by its exact name, and never by making one.

Stock kombu lists up to 1,000 queues of the account for each channel that it opens, and makes queues that are missing,
without a dead-letter queue. Task queues are the deployment's to make.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from kombu.transport import SQS
from kombu.transport.SQS.exceptions import DoesNotExistQueueException

from tasks.sqs.control_queues import is_missing


class QueueUrls(SQS.Channel):
    """The lookup of task queues' URLs on top of kombu's SQS channel."""

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """List no queues; take those that the options name."""
        if self.predefined_queues:
            super()._update_queue_cache(queue_name_prefix)

    def _resolve_queue_url(self, queue: str) -> str:
        name = self.canonical_queue_name(queue)
        if name not in self._queue_cache:
            try:
                self._queue_cache[name] = self.sqs(queue=name).get_queue_url(QueueName=name)["QueueUrl"]
            except ClientError as error:
                if not is_missing(error):
                    raise
                raise DoesNotExistQueueException(f"SQS queue {name!r} does not exist") from error
        return str(self._queue_cache[name])

    def _new_queue(self, queue: str, **_kwargs: Any) -> str:
        return self._resolve_queue_url(queue)
