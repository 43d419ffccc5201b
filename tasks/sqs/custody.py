"""Which messages this process has received and not yet deleted or given back. Thread-safe; knows no AWS."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Lease:
    """A message that SQS hides from others because this process has it.

    Attributes:
        tag: what kombu calls the delivery: the receipt handle it came with.
        receipt_handle: the newest one; SQS takes no other.
        received_at_s: when that came, by `time.monotonic`.
        finished: its task has ended, and it is about to be deleted.
        lost: SQS does not hide it any longer; its task runs on.
    """

    queue_url: str
    message_id: str
    tag: str
    receipt_handle: str
    received_at_s: float
    finished: bool = False
    lost: bool = False


class Custody:
    """The leases, by tag."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._tags: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, queue_url: str, message_id: str, receipt_handle: str) -> bool:
        """Take a message that was received; False if it is here already, so that it must not be run again.

        That happens when SQS could not be told in time that the message is still in work, or done: it shows it again.
        Its new receipt handle replaces the old one.
        """
        with self._lock:
            known = self._leases.get(self._tags.get(message_id, ""))
            if known is not None:
                self._leases[known.tag] = replace(
                    known, receipt_handle=receipt_handle, received_at_s=time.monotonic(), lost=False
                )
                return False
            self._leases[receipt_handle] = Lease(
                queue_url, message_id, receipt_handle, receipt_handle, time.monotonic()
            )
            self._tags[message_id] = receipt_handle
            return True

    def finish(self, tag: str) -> bool:
        """Note that a message's task has ended; False if the message is not here."""
        return self._change(tag, finished=True)

    def lose(self, tag: str) -> bool:
        """Note that SQS no longer hides a message; False if the message is not here."""
        return self._change(tag, lost=True)

    def _change(self, tag: str, *, finished: bool | None = None, lost: bool | None = None) -> bool:
        with self._lock:
            lease = self._leases.get(tag)
            if lease is not None:
                self._leases[tag] = replace(
                    lease,
                    finished=lease.finished if finished is None else finished,
                    lost=lease.lost if lost is None else lost,
                )
            return lease is not None

    def drop(self, tag: str) -> Lease | None:
        """Forget a message: it was deleted, given back or lost. Returns what was known of it."""
        with self._lock:
            lease = self._leases.pop(tag, None)
            if lease is not None:
                self._tags.pop(lease.message_id, None)
            return lease

    def get(self, tag: str) -> Lease | None:
        """Return what is known of a message."""
        with self._lock:
            return self._leases.get(tag)

    def unfinished(self) -> list[Lease]:
        """Return the messages whose task waits or runs."""
        with self._lock:
            return [lease for lease in self._leases.values() if not lease.finished]
