"""When a batch is closed. Pure: no clock, no threads, no model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WindowLimits:
    """How large a batch may become, and how long its first item may wait for others."""

    max_size: int
    max_wait_s: float


def remaining_s(ready: int, coming: int, opened_s: float, limits: WindowLimits, now_s: float) -> float:
    """Return for how long a batch is worth being kept open; 0 means "run it now".

    The first item opens the window. It closes when the batch is full, when its time is up, or when nothing else is on
    its way: a lone item never waits.

    Args:
        ready: items that wait to be run, at least one.
        coming: items that are being fetched or decoded and will be ready soon.
        opened_s: when the first item became ready.
        limits: of a batch.
        now_s: the time now, on the clock of `opened_s`.

    >>> limits = WindowLimits(max_size=8, max_wait_s=0.005)
    >>> remaining_s(1, 0, opened_s=10.0, limits=limits, now_s=10.0)  # alone
    0.0
    >>> remaining_s(8, 3, opened_s=10.0, limits=limits, now_s=10.0)  # full
    0.0
    >>> round(remaining_s(2, 3, opened_s=10.0, limits=limits, now_s=10.002), 3)
    0.003
    """
    if coming == 0 or ready >= limits.max_size:
        return 0.0
    return max(0.0, opened_s + limits.max_wait_s - now_s)
