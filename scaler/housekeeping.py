"""What the scaler clears away beside its decisions: queues of dead nodes and clients, results of dead letters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

log = logging.getLogger(__name__)

# Of each chore's first run after the start: a new scaler has more urgent things to do.
FIRST_AFTER_S = 5.0


@dataclass(frozen=True)
class Chore:
    """Something to do again and again.

    Attributes:
        name: for the log.
        every_s: seconds from the end of a run to the next.
        run: does it; any exception is logged, and the chore is done again at its time.
    """

    name: str
    every_s: float
    run: Callable[[], object]


@contextmanager
def doing(chores: tuple[Chore, ...], first_after_s: float = FIRST_AFTER_S) -> Iterator[None]:
    """Do chores, each in a thread of its own so that a slow one delays no decision, until the block ends."""
    closing = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(chore, closing, first_after_s), name=chore.name, daemon=True)
        for chore in chores
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        closing.set()
        for thread in threads:
            thread.join()


def _repeat(chore: Chore, closing: threading.Event, first_after_s: float) -> None:
    wait_s = first_after_s
    while not closing.wait(wait_s):
        try:
            chore.run()
        except Exception:  # whatever goes wrong in a chore must not end it for good
            log.exception("%s failed and is done again in %g s", chore.name, chore.every_s)
        wait_s = chore.every_s
