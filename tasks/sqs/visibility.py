"""Keeps the messages that a worker holds invisible to others for as long as it lives, and no longer.

So the base visibility timeout can be short: a dead worker's messages are back within it, and a task may still run up
to SQS's 12 hours.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from tasks.sqs.batches import split
from tasks.sqs.quotas import MAX_IN_FLIGHT_S

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Extended three times per timeout: two beats may fail before the message comes back.
BEATS_PER_TIMEOUT = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """A message in this worker's hands."""

    queue_url: str
    receipt_handle: str
    received_at_s: float


def extension_s(held: Held, timeout_s: int, now_s: float) -> int:
    """Return the visibility timeout to ask for: the base timeout, or what is left of SQS's 12 hours; 0 for none.

    >>> extension_s(Held("", "", 0.0), 60, 43_190.0)
    10
    """
    return max(0, min(timeout_s, int(held.received_at_s + MAX_IN_FLIGHT_S - now_s)))


class VisibilityHeartbeat:
    """Extends every held message from a thread of its own, so that a busy main loop cannot delay it."""

    def __init__(self, client: Callable[[], SQSClient], timeout_s: int) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, queue_url: str, receipt_handle: str) -> None:
        """Start to extend a message that was just received."""
        with self._lock:
            self._held[receipt_handle] = Held(queue_url, receipt_handle, time.monotonic())
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="sqs-visibility", daemon=True)
                self._thread.start()

    def release(self, receipt_handle: str) -> None:
        """Stop at once: the message is finished or given back."""
        with self._lock:
            self._held.pop(receipt_handle, None)

    def stop(self) -> None:
        """End the thread; messages still held are given up to their visibility timeout."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._held.clear()
        self._stop.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._timeout_s / BEATS_PER_TIMEOUT):
            with self._lock:
                held = list(self._held.values())
            by_queue: defaultdict[str, list[Held]] = defaultdict(list)
            for message in held:
                by_queue[message.queue_url].append(message)
            for queue_url, messages in by_queue.items():
                for part in split(messages):
                    self._extend(queue_url, part)

    def _extend(self, queue_url: str, messages: list[Held]) -> None:
        with self._lock:  # not those that were finished since
            messages = [message for message in messages if message.receipt_handle in self._held]
        now_s = time.monotonic()
        asked = [(message, extension_s(message, self._timeout_s, now_s)) for message in messages]
        entries = [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
            for number, (message, seconds) in enumerate(asked)
            if seconds > 0
        ]
        if not entries:
            return
        try:
            answer = self._client().change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]  # dicts of the right shape
        except (BotoCoreError, ClientError) as error:
            log.warning("%d messages not kept invisible, trying again at the next beat: %s", len(entries), error)
            return
        for failure in answer.get("Failed", []):
            log.info("message not kept invisible: %s %s", failure["Code"], failure.get("Message", ""))
            if failure["SenderFault"]:  # deleted, or delivered to another worker meanwhile
                self.release(asked[int(failure["Id"])][0].receipt_handle)
