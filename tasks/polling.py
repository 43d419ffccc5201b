"""How long to wait before asking again. Knows neither what is asked for nor whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import repeat

GROWTH = 2.0


def growing_pauses(first_s: float, last_s: float) -> Iterator[float]:
    """Yield pauses for ever: 0.05 and 1 give 0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, ..."""
    pause_s = first_s
    while pause_s < last_s:
        yield pause_s
        pause_s *= GROWTH
    yield from repeat(last_s)


def rounds(
    pauses: Iterator[float],
    timeout_s: float | None,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Yield at once, then after each pause, until the time is up; the last round is at the deadline, not past it."""
    deadline_s = None if timeout_s is None else now() + timeout_s
    for pause_s in pauses:
        yield
        left_s = pause_s if deadline_s is None else deadline_s - now()
        if left_s <= 0:
            return
        sleep(min(pause_s, left_s))
