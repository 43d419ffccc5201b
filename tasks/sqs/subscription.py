"""Receives events for a client in a thread of its own, whatever goes wrong.

Celery's receiver waits for one second at a time. Passed on to SQS that were 3,600 requests an hour for nothing; this
thread waits for as long as SQS lets it, and the receiver waits for the thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.sqs.control_messages import MAX_MESSAGES, WAIT_S, Opener, Pauses, Payload
from tasks.sqs.control_queues import ControlQueue, is_missing

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# A receiver that is slower than this many polls lets SQS keep the rest.
MAX_BUFFERED_POLLS = 100
PUT_TIMEOUT_S = 1.0

log = logging.getLogger(__name__)


class Subscription:
    """The receiving from one subscriber's queue.

    Args:
        sqs: a client that waits for a long poll to end.
        find: returns the queue, made anew if it is gone.
        gone: is told of a queue that somebody deleted.
    """

    def __init__(self, sqs: SQSClient, find: Callable[[], ControlQueue], gone: Callable[[ControlQueue], None]) -> None:
        self._sqs, self._find, self._gone = sqs, find, gone
        self._polls: queue.Queue[list[Payload]] = queue.Queue(MAX_BUFFERED_POLLS)
        self._opener = Opener()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="sqs-subscription", daemon=True).start()

    def get(self, timeout_s: float | None) -> list[Payload]:
        """Return what one poll brought.

        Raises:
            queue.Empty: nothing came in time.
        """
        return self._polls.get(timeout=timeout_s)

    def stop(self) -> None:
        """Receive no more."""
        self._stopped.set()

    def _run(self) -> None:
        pauses = Pauses()
        while not self._stopped.is_set():
            try:
                messages = self._receive()
            except (BotoCoreError, ClientError) as error:
                pause_s = pauses.failed()
                if not self._stopped.is_set():
                    log.warning("events cannot be received, trying again in %g s: %s", pause_s, error)
                self._stopped.wait(pause_s)
                continue
            if pauses.succeeded():
                log.info("events are received again")
            if payloads := self._opener.open(messages):
                self._put(payloads)

    def _receive(self) -> list[Any]:
        found = self._find()
        try:
            answer = self._sqs.receive_message(
                QueueUrl=found.url, MaxNumberOfMessages=MAX_MESSAGES, WaitTimeSeconds=WAIT_S
            )
        except ClientError as error:
            if is_missing(error):
                self._gone(found)
            raise
        return list(answer.get("Messages", []))

    def _put(self, payloads: list[Payload]) -> None:
        while not self._stopped.is_set():
            try:
                self._polls.put(payloads, timeout=PUT_TIMEOUT_S)
            except queue.Full:
                continue
            return
