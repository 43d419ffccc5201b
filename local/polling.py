"""ministack with SQS's long polls as AWS has them: one ends when a message comes. `uvicorn local.polling:app`.

ministack looks for messages ten times a second, which adds 50 ms to a photo's way through an idle system. Messages that
nobody sends to the queue, because they were delayed, not deleted in time or moved, are found by a look, as are those of
services other than SQS and SNS. Of the emulators' environment; knows nothing of the system.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from ministack.app import app
from ministack.services import sns, sqs

__all__ = ["app"]

LOOK_S = 0.2
# What may make a message visible.
ARRIVALS = ("SendMessage", "SendMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch")
# ministack has no public way to any of these.
_handlers: dict[str, Callable[..., Any]] = sqs._HANDLERS  # noqa: SLF001
_receive = _handlers["ReceiveMessage"]
_deliver = sns._deliver_to_sqs  # noqa: SLF001
_polls: dict[str, asyncio.Event] = {}

Data = dict[str, Any]


async def _receive_soon(data: Data, queue_url: str) -> Data:
    queue = data.get("QueueUrl", queue_url)
    asked_s = data.get("WaitTimeSeconds")
    if asked_s is None:
        asked_s = sqs._get_q(queue)["attributes"].get("ReceiveMessageWaitTimeSeconds", "0")  # noqa: SLF001
    until_s = time.monotonic() + int(asked_s)
    while True:
        found: Data = await _receive({**data, "WaitTimeSeconds": 0}, queue_url)
        left_s = until_s - time.monotonic()
        if found or left_s <= 0:
            return found
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_polls.setdefault(_name(queue), asyncio.Event()).wait(), min(LOOK_S, left_s))


def _name(queue: str) -> str:
    """Return the name of a queue from its URL or its ARN."""
    return queue.replace(":", "/").rpartition("/")[2]


def _wake(queue: str) -> None:
    if waiting := _polls.pop(_name(queue), None):
        waiting.set()


def _waking(handler: Callable[..., Data]) -> Callable[..., Data]:
    def handle(data: Data, queue_url: str) -> Data:
        result = handler(data, queue_url)
        _wake(data.get("QueueUrl", queue_url))
        return result

    return handle


def _deliver_and_wake(endpoint: str, *message: Any, **named: Any) -> Any:
    result = _deliver(endpoint, *message, **named)
    _wake(endpoint)
    return result


_handlers["ReceiveMessage"] = _receive_soon
_handlers.update({action: _waking(_handlers[action]) for action in ARRIVALS})
sns._deliver_to_sqs = _deliver_and_wake  # noqa: SLF001
