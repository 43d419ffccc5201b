"""Keeps the messages that a worker holds invisible to others for as long as it lives, and no longer.

So the base visibility timeout can be short: a dead worker's messages are back within it, and a task may still run up
to SQS's 12 hours.
"""

from __future__ import annotations

import logging
import threading
import time
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from tasks.sqs.batches import split
from tasks.sqs.custody import Custody, Lease
from tasks.sqs.failures import log_failure
from tasks.sqs.quotas import MAX_IN_FLIGHT_S

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Extended three times per timeout; after a failure the next try comes sooner. Several may fail before the message
# comes back.
BEATS_PER_TIMEOUT = 3
RETRIES_PER_BEAT = 4

log = logging.getLogger(__name__)


def extension_s(lease: Lease, timeout_s: int, now_s: float) -> int:
    """Return the visibility timeout to ask for: the base timeout, or what is left of SQS's 12 hours; 0 for none.

    >>> extension_s(Lease("", "", "", "", received_at_s=0.0), timeout_s=60, now_s=43_190.0)
    10
    """
    return max(0, min(timeout_s, int(lease.received_at_s + MAX_IN_FLIGHT_S - now_s)))


class VisibilityHeartbeat:
    """Extends every message in custody from a thread of its own, so that a busy main loop cannot delay it."""

    def __init__(self, client: SQSClient, custody: Custody, timeout_s: int) -> None:
        self._client = client
        self._custody = custody
        self._timeout_s = timeout_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sqs-visibility", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, as soon as no task is left that waits or runs."""
        self._closing.set()

    def _run(self) -> None:
        beat_s = self._timeout_s / BEATS_PER_TIMEOUT
        pause_s = beat_s
        while True:
            if self._closing.wait(pause_s):
                if not self._custody.unfinished():
                    return
                time.sleep(pause_s)
            pause_s = beat_s if self._beat() else beat_s / RETRIES_PER_BEAT

    def _beat(self) -> bool:
        """Extend all messages; tell whether SQS did so, but for those that it will not extend at all."""
        held = [lease for lease in self._custody.unfinished() if not lease.lost]
        leases = sorted(held, key=attrgetter("queue_url"))
        answered = True
        for queue_url, of_queue in groupby(leases, attrgetter("queue_url")):
            for part in split(list(of_queue)):
                try:
                    answered &= self._extend(queue_url, part)
                except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
                    log_failure(log, error, "%d messages not kept invisible, trying again soon: %s", len(part), error)
                    answered = False
        return answered

    def _extend(self, queue_url: str, leases: list[Lease]) -> bool:
        now_s = time.monotonic()
        # Read again: a task may have ended while the beat's earlier batches were sent.
        current = [lease for lease in map(self._custody.get, (lease.tag for lease in leases)) if lease is not None]
        asked = [(lease, extension_s(lease, self._timeout_s, now_s)) for lease in current if not lease.finished]
        for lease in (lease for lease, seconds in asked if not seconds):
            self._lose(lease, "it was held for 12 hours, the longest that SQS allows")
        entries = [
            {"Id": str(number), "ReceiptHandle": lease.receipt_handle, "VisibilityTimeout": seconds}
            for number, (lease, seconds) in enumerate(asked)
            if seconds
        ]
        if not entries:
            return True
        answer = self._client.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]  # dicts of the right shape
        failed = answer.get("Failed", [])
        for failure in failed:
            lease, why = asked[int(failure["Id"])][0], f"{failure['Code']} {failure.get('Message', '')}"
            if failure["SenderFault"]:
                self._lose(lease, why)
            else:
                log.warning("message %s not kept invisible, trying again soon: %s", lease.message_id, why)
        return all(failure["SenderFault"] for failure in failed)

    def _lose(self, asked: Lease, why: str) -> None:
        lease = self._custody.get(asked.tag)
        # Finished or received anew since it was asked for: nothing is lost.
        if lease is not None and not lease.finished and lease.receipt_handle == asked.receipt_handle:
            self._custody.lose(lease.tag)
            log.warning("message %s is worked on, and may be delivered again: %s", lease.message_id, why)
