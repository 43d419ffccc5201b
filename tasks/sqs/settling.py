"""Tells SQS, in batches and off the worker's loop, what became of the messages: deleted, or given back.

An acknowledgement that is lost costs a second run of a task. So one that SQS did not answer is sent again for as long
as the process lives; only what SQS refuses is left, with a log line, to the visibility timeout.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from tasks.sqs.batches import split
from tasks.sqs.custody import Custody
from tasks.sqs.failures import log_failure
from tasks.sqs.quotas import MAX_BATCH_ENTRIES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# How long an acknowledgement waits for others; AWS bills each request. It frees its place among the prefetched messages
# at once. A worker that is killed meanwhile leaves messages of finished tasks to others: at least once.
LINGER_S = 0.25
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0
# How long an ending process tries to reach SQS.
FLUSH_DEADLINE_S = 10.0
THROTTLED = ("ThrottlingException", "RequestThrottled", "OverLimit", "TooManyRequestsException")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settlement:
    """What became of a message; with `tag`, one that is in custody until SQS knows."""

    action: Literal["delete", "release"]
    queue_url: str
    receipt_handle: str
    tag: str = ""


def may_pass(error: Exception) -> bool:
    """Tell whether the same request may be answered later: it was lost, throttled or met a fault of SQS's own."""
    if not isinstance(error, ClientError):
        return True
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", HTTPStatus.INTERNAL_SERVER_ERROR)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.response["Error"]["Code"] in THROTTLED


class Settler:
    """Takes settlements from any thread; a thread of its own sends them."""

    def __init__(self, client: SQSClient, custody: Custody) -> None:
        self._client = client
        self._custody = custody
        self._waiting: deque[Settlement] = deque()
        self._changed = threading.Condition()
        self._closing_at_s: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="sqs-settling", daemon=True)
        self._thread.start()

    def add(self, settlements: Iterable[Settlement]) -> None:
        """Settle messages soon; after `close`, now."""
        with self._changed:
            self._waiting.extend(settlements)
            self._changed.notify()
            ended = self._ended
        if ended:
            self._send(self._take())

    def close(self) -> None:
        """Settle all that was added, as far as SQS answers within FLUSH_DEADLINE_S, and end."""
        with self._changed:
            self._closing_at_s = time.monotonic() + FLUSH_DEADLINE_S
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        while self._wait():
            unanswered = self._send(self._take())
            failures = failures + 1 if unanswered else 0
            if unanswered:
                self._put_off(unanswered, min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1)))

    def _put_off(self, unanswered: list[Settlement], pause_s: float) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(unanswered))
            closing = self._closing_at_s is not None
            pause_s = FIRST_PAUSE_S if closing else pause_s
            self._changed.wait_for(lambda: (self._closing_at_s is not None) != closing, timeout=pause_s)

    def _wait(self) -> bool:
        """Wait for settlements, then for others to join them; False if it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing_at_s is not None)
            self._changed.wait_for(self._is_due, timeout=LINGER_S)
            out_of_time = self._closing_at_s is not None and time.monotonic() > self._closing_at_s
            if self._waiting and out_of_time:
                log.error("%d messages not settled: SQS does not answer; they will come again", len(self._waiting))
            self._ended = out_of_time or not self._waiting
            return not self._ended

    def _is_due(self) -> bool:
        return (
            self._closing_at_s is not None
            or len(self._waiting) >= MAX_BATCH_ENTRIES
            or any(settlement.action == "release" for settlement in self._waiting)
        )

    def _take(self) -> list[Settlement]:
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken

    def _send(self, settlements: list[Settlement]) -> list[Settlement]:
        """Send settlements; return those that SQS did not answer."""
        unanswered: list[Settlement] = []
        kind = attrgetter("action", "queue_url")
        for _kind, same in groupby(sorted(settlements, key=kind), kind):
            for part in split(list(same)):
                unanswered += self._send_batch(part)
        return unanswered

    def _send_batch(self, part: list[Settlement]) -> list[Settlement]:
        try:
            refused = self._ask_batch(part)
        except Exception as error:
            if may_pass(error):
                log_failure(log, error, "%d messages not settled, trying again: %s", len(part), error)
                return part
            log.exception("%d messages not settled, they will come again", len(part))
            self._forget(part)
            return []
        self._forget(settlement for settlement in part if settlement not in refused)
        return [settlement for settlement in refused if not self._settle_alone(settlement)]

    def _ask_batch(self, part: list[Settlement]) -> list[Settlement]:
        """Send one batch; return the entries that SQS refused."""
        visible = {"VisibilityTimeout": 0} if part[0].action == "release" else {}
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": self._receipt(settlement), **visible}
            for number, settlement in enumerate(part)
        ]
        url = part[0].queue_url
        if part[0].action == "release":
            failed = self._client.change_message_visibility_batch(QueueUrl=url, Entries=entries).get("Failed", [])
        else:
            failed = self._client.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed", [])
        return [part[int(failure["Id"])] for failure in failed]

    def _settle_alone(self, settlement: Settlement) -> bool:
        """Try once more an entry that was refused in a batch; False if SQS did not answer."""
        url, receipt = settlement.queue_url, self._receipt(settlement)
        try:
            if settlement.action == "release":
                self._client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
            else:
                self._client.delete_message(QueueUrl=url, ReceiptHandle=receipt)
        except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
            if may_pass(error):
                log_failure(log, error, "a message could not be %sd, trying again: %s", settlement.action, error)
                return False
            # A stale receipt: the message is deleted, or was delivered to another worker meanwhile.
            log.warning("a message could not be %sd: %s", settlement.action, error)
        self._forget([settlement])
        return True

    def _receipt(self, settlement: Settlement) -> str:
        lease = self._custody.get(settlement.tag) if settlement.tag else None
        return settlement.receipt_handle if lease is None else lease.receipt_handle

    def _forget(self, settlements: Iterable[Settlement]) -> None:
        for settlement in settlements:
            if settlement.tag:
                self._custody.drop(settlement.tag)
