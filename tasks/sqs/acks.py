"""Deletes acknowledged messages in batches, off the worker's loop.

An acknowledgement that is lost costs a second delivery, never a task: so failures are retried a few times, logged,
and left to the visibility timeout.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from tasks.sqs.batches import split
from tasks.sqs.quotas import MAX_BATCH_ENTRIES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# How long an acknowledgement waits for others. With the model busy a batch fills before that.
ACK_DEADLINE_S = 0.1
ATTEMPTS = 5
RETRY_PAUSE_S = 0.5
FLUSH_DEADLINE_S = 10.0

log = logging.getLogger(__name__)

Ack = tuple[str, str]  # queue URL, receipt handle


class AckBatcher:
    """Takes acknowledgements from any thread; one thread of its own sends them."""

    def __init__(self, client: Callable[[], SQSClient]) -> None:
        self._client = client
        self._acks: queue.SimpleQueue[Ack | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, queue_url: str, receipt_handle: str) -> None:
        """Acknowledge a message soon."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sqs-acks", daemon=True)
                self._thread.start()
            self._acks.put((queue_url, receipt_handle))

    def flush(self) -> None:
        """Send all that was added, and end the thread; a later `add` starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            self._acks.put(None)
        thread.join(FLUSH_DEADLINE_S)

    def _run(self) -> None:
        ending = False
        while not ending:
            batch, ending = self._collect()
            by_queue: defaultdict[str, list[str]] = defaultdict(list)
            for queue_url, handle in batch:
                by_queue[queue_url].append(handle)
            for queue_url, handles in by_queue.items():
                self._delete(queue_url, handles)

    def _collect(self) -> tuple[list[Ack], bool]:
        """Wait for the first acknowledgement, then for others until the batch is full or the deadline is over."""
        batch: list[Ack] = []
        deadline_s: float | None = None
        while len(batch) < MAX_BATCH_ENTRIES:
            try:
                ack = self._acks.get(timeout=None if deadline_s is None else max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                break
            if ack is None:
                return batch, True
            batch.append(ack)
            deadline_s = deadline_s or time.monotonic() + ACK_DEADLINE_S
        return batch, False

    def _delete(self, queue_url: str, handles: list[str]) -> None:
        for attempt in range(ATTEMPTS):
            handles = [handle for part in split(handles) for handle in self._delete_batch(queue_url, part)]
            if not handles:
                return
            time.sleep(RETRY_PAUSE_S * (attempt + 1))
        log.error("%d acknowledged messages of %s could not be deleted and will come again", len(handles), queue_url)

    def _delete_batch(self, queue_url: str, handles: list[str]) -> list[str]:
        """Send one request; return the handles to try again."""
        entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)]
        try:
            answer = self._client().delete_message_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]  # dicts of the right shape
        except (BotoCoreError, ClientError) as error:
            log.warning("acknowledging %d messages failed, trying again: %s", len(handles), error)
            return handles
        failed = answer.get("Failed", [])
        for failure in failed:
            log.warning("message not deleted: %s %s", failure["Code"], failure.get("Message", ""))
        # The sender's fault means a stale receipt: the message was delivered again meanwhile, its next owner deletes it.
        return [handles[int(failure["Id"])] for failure in failed if not failure["SenderFault"]]
