"""Tells when a node's scaler is gone and its queue empty, long enough to give up. Knows no cloud and no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Reading:
    """One look at the scaler's lease and at the queue.

    Attributes:
        lease: changes whenever the lease is renewed; empty if there is no lease; None if it could not be read.
        queue_empty: whether the queue holds no message at all; None if that is not known.
    """

    lease: str | None
    queue_empty: bool | None


@dataclass(frozen=True)
class Watch:
    """Since when nobody has renewed the lease, and since when the queue has been empty, on this node's own clock.

    Attributes:
        lease: the last that was read; None before the first.
        unrenewed_since_s: when it was first seen.
        empty_since_s: since when every look found the queue empty and no lease renewed; None if the last did not.
    """

    lease: str | None = None
    unrenewed_since_s: float = 0.0
    empty_since_s: float | None = None

    def after(self, reading: Reading, now_s: float) -> Watch:
        """Return what is known after a look. What could not be read is never "empty".

        >>> Watch().after(Reading("a", None), 0).after(Reading("a", True), 60)
        Watch(lease='a', unrenewed_since_s=0, empty_since_s=60)
        """
        if reading.lease is None:
            return replace(self, empty_since_s=None)
        if reading.lease != self.lease:
            return Watch(reading.lease, now_s)
        if not reading.queue_empty:
            return replace(self, empty_since_s=None)
        return replace(self, empty_since_s=now_s if self.empty_since_s is None else self.empty_since_s)

    def given_up(self, now_s: float, limit_s: float) -> bool:
        """Tell whether the lease has not been renewed and the queue has been empty for `limit_s`."""
        return self.empty_since_s is not None and now_s - max(self.empty_since_s, self.unrenewed_since_s) >= limit_s
