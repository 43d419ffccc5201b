"""Values that many ask for and few read."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from webapp.latest import Latest


class Source:
    """Something to read: counts how often it is, and fails when told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.reads = 0
        self.fails = False

    def read(self) -> int:
        """Return how often it was read."""
        self.reads += 1
        if self.fails:
            raise OSError("away")
        return self.reads

    def latest(self) -> Latest[int]:
        """Return the value under test."""
        return Latest("value", self.read, (OSError,), fresh_s=2.0, stale_s=10.0, clock=lambda: self.now_s)


def test_a_value_is_read_once_while_it_is_fresh() -> None:
    """However many ask, the source is asked again only when the value is old."""
    source = Source()
    latest = source.latest()
    assert [latest.get(), latest.get()] == [1, 1]
    source.now_s = 2.0
    assert latest.get() == 2


def test_a_source_that_fails_leaves_its_last_value_for_a_while_then_nothing() -> None:
    """Not known is None: neither an old value for ever nor 0."""
    source = Source()
    latest = source.latest()
    latest.get()
    source.fails, source.now_s = True, 5.0
    assert latest.get() == 1
    source.now_s = 10.0
    assert latest.get() is None


def test_nobody_waits_for_a_slow_source_but_who_reads_it() -> None:
    """While one thread reads, the others get what is known."""
    begun, go_on = threading.Event(), threading.Event()

    def read() -> int:
        begun.set()
        go_on.wait(10)
        return 1

    latest = Latest("value", read, (), fresh_s=60.0)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(latest.get)
        assert begun.wait(10)
        assert latest.get() is None
        go_on.set()
        assert reader.result() == 1
    assert latest.get() == 1
