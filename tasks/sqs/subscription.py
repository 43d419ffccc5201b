"""Receives from one control queue in a thread of its own, whatever goes wrong.

Celery's receivers of events wait for one second at a time. Passed on to SQS those were 3,600 requests an hour for
nothing; the thread waits for as long as SQS lets it, and receivers wait for the thread. In a worker the thread hands
over to the event loop, so that neither a busy loop nor a failed request ends the polling.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tasks.sqs.control_messages import MAX_MESSAGES, WAIT_S, Opener, Pauses, Payload
from tasks.sqs.control_queues import ControlQueue, is_missing
from tasks.sqs.failures import log_failure

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# A receiver that is this many messages behind lets SQS keep the rest; one message holds up to 256 KiB of events.
MAX_BUFFERED = 100
PUT_TIMEOUT_S = 1.0

log = logging.getLogger(__name__)

Deliver = Callable[[Payload], object]


class ClosedError(LookupError):
    """No control queue is open under this name."""


class Subscription:
    """The receiving from one queue. It outlives its consumer: what comes meanwhile waits for the next one.

    Args:
        sqs: a client that waits for a long poll to end.
        find: returns the queue, made anew if it is gone; raises ClosedError when it is closed.
        gone: is told of a queue that somebody deleted.
    """

    def __init__(self, sqs: SQSClient, find: Callable[[], ControlQueue], gone: Callable[[ControlQueue], None]) -> None:
        self._sqs, self._find, self._gone = sqs, find, gone
        self._payloads: queue.Queue[Payload] = queue.Queue(MAX_BUFFERED)
        self._opener = Opener()
        self._stopped = threading.Event()
        self._hub: Any = None
        self._deliver: Deliver | None = None
        threading.Thread(target=self._run, name="sqs-subscription", daemon=True).start()

    def get(self, timeout_s: float | None) -> Payload:
        """Return the next message; for consumers without an event loop.

        Raises:
            queue.Empty: nothing came in time.
        """
        return self._payloads.get(timeout=timeout_s)

    def consume(self, hub: Any, deliver: Deliver) -> None:
        """Hand messages over to a consumer in an event loop from now on; call it there."""
        self._hub, self._deliver = hub, deliver
        self._hand_over()

    def pause(self) -> None:
        """Keep messages for the next consumer."""
        self._deliver = None

    def stop(self) -> None:
        """Receive no more."""
        self._stopped.set()

    def _hand_over(self) -> None:
        while self._deliver is not None:
            try:
                payload = self._payloads.get_nowait()
            except queue.Empty:
                return
            self._deliver(payload)

    def _run(self) -> None:
        pauses = Pauses()
        while not self._stopped.is_set():
            try:
                messages = self._receive()
            except ClosedError:
                return
            except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
                pause_s = pauses.failed()
                if not self._stopped.is_set():
                    log_failure(log, error, "a control queue cannot be read, trying again in %g s: %s", pause_s, error)
                self._stopped.wait(pause_s)
                continue
            if pauses.succeeded():
                log.info("the control queue can be read again")
            for payload in self._opener.open(messages):
                self._put(payload)

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

    def _put(self, payload: Payload) -> None:
        while not self._stopped.is_set():
            try:
                self._payloads.put(payload, timeout=PUT_TIMEOUT_S)
            except queue.Full:
                continue
            break
        if self._hub is not None:
            self._hub.call_soon(self._hand_over)
