"""All that a connection does with the messages it received: keeps them invisible, deletes them, gives them back.

It outlives its connection while tasks of it still run: SQS knows no connections, so they are acknowledged as ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.sqs.custody import Custody
from tasks.sqs.incoming import Incoming
from tasks.sqs.settling import Settlement, Settler
from tasks.sqs.visibility import VisibilityHeartbeat

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Inbox:
    """Received messages by their delivery tags. Thread-safe.

    Args:
        client: one with timeouts well below the visibility timeout.
        visibility_timeout_s: for how long a message stays invisible if this process dies.
    """

    def __init__(self, client: SQSClient, visibility_timeout_s: int) -> None:
        self._custody = Custody()
        self._settler = Settler(client, self._custody)
        self._heartbeat = VisibilityHeartbeat(client, self._custody, visibility_timeout_s)

    def take(self, queue_url: str, message: Incoming) -> bool:
        """Take a message; False if it is in work here already, so that it must not be run again."""
        return self._custody.take(queue_url, message.message_id, message.receipt_handle)

    def holds(self, tag: str) -> bool:
        """Tell whether a message waits or runs here."""
        lease = self._custody.get(tag)
        return lease is not None and not lease.finished

    def delete(self, tag: str) -> None:
        """Delete a message soon; nothing extends it any more."""
        lease = self._custody.get(tag)
        if lease is not None and self._custody.finish(tag):
            self._settler.add([Settlement("delete", lease.queue_url, lease.receipt_handle, tag)])

    def release(self, tags: Iterable[str]) -> int:
        """Make messages visible to others now; return how many there were."""
        leases = [lease for lease in map(self._custody.drop, tags) if lease is not None]
        self._settler.add([Settlement("release", lease.queue_url, lease.receipt_handle) for lease in leases])
        return len(leases)

    def give_back(self, queue_url: str, messages: Iterable[Incoming]) -> None:
        """Make messages visible to others that were received and not taken."""
        self._settler.add([Settlement("release", queue_url, message.receipt_handle) for message in messages])

    def leave(self, tag: str) -> None:
        """Forget a message: it becomes visible to others when its visibility timeout is over."""
        self._custody.drop(tag)

    def close(self) -> None:
        """Settle what is to be settled; extend what still runs until it ends."""
        self._settler.close()
        self._heartbeat.close()
