"""Lets one scaler act at a time: a lease in S3, by conditional writes. No clock but one's own is trusted.

The idea is that of DynamoDB's lock client (https://aws.amazon.com/blogs/database/building-distributed-locks-with-the-dynamodb-lock-client/):
who wants the lease watches it, and takes it over once it has stayed the same for its whole length on the watcher's own
clock. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.names import LEASE_KEY

if TYPE_CHECKING:
    from tasks.objects import Bucket, StoredObject

log = logging.getLogger(__name__)


class Lease:
    """One process's part in the lease. All methods but `still_held` raise `tasks.objects.StoreUnavailable`.

    Args:
        bucket: where the lease lies.
        holder: names this process, like no other before or after it.
        lease_s: how long the lease is good for without being renewed.
        clock: seconds that never go back.
    """

    def __init__(
        self, bucket: Bucket, holder: str, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bucket = bucket
        self.holder = holder
        self._lease_s = lease_s
        self._clock = clock
        self._held_until_s: float | None = None
        self._watched = ("", 0.0)
        self._term = 0

    def acquire_or_renew(self, now_s: float) -> bool:
        """Take the lease if it is free or has run out, renew it if it is ours; tell whether we hold it.

        Args:
            now_s: Unix time, for people and nodes to read.
        """
        asked_s = self._clock()
        stored = self._bucket.get(LEASE_KEY)
        # The ETag is a hash of the body: the term makes it another one even where the wall clock stands still.
        self._term += 1
        body = json.dumps({"holder": self.holder, "term": self._term, "renewed_at_s": now_s}).encode()
        if stored is None:
            held = self._bucket.create(LEASE_KEY, body)
        elif holder_of(stored) == self.holder or self._has_run_out(stored):
            held = self._bucket.replace(LEASE_KEY, body, stored.e_tag)
        else:
            held = False
        self._held_until_s = asked_s + self._lease_s if held else None
        return held

    def still_held(self) -> bool:
        """Tell whether nobody else can hold the lease at this moment; to be asked before anything is done."""
        return self._held_until_s is not None and self._clock() < self._held_until_s

    def release(self) -> None:
        """Give the lease up, so that another need not wait; one that is not ours is left alone."""
        if self.still_held():
            self._held_until_s = None
            self._bucket.delete(LEASE_KEY)

    def _has_run_out(self, stored: StoredObject) -> bool:
        watched, since_s = self._watched
        if stored.e_tag != watched:
            self._watched = (stored.e_tag, self._clock())
            return False
        return self._clock() - since_s > self._lease_s


def holder_of(stored: StoredObject) -> str:
    """Return who wrote the lease; of one that cannot be read, nobody, so that it runs out like any other."""
    try:
        return str(json.loads(stored.data)["holder"])
    except (ValueError, LookupError, TypeError):
        log.warning("the lease cannot be read: %r", stored.data)
        return ""
