"""Waiting for results on behalf of many."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from local.processes import wait_until
from tasks.watcher import Pace, Watcher

DEADLINE_S = 20.0
SLOW_S = 10.0


class OutageError(Exception):
    """The store cannot be reached."""


class Store:
    """Answers that come when the test says so, and the questions that were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[set[str]] = []
        self.failures: list[Exception] = []

    def read(self, ids: Iterable[str]) -> Mapping[str, str]:
        """Return the answers that are there."""
        wanted = set(ids)
        self.asked.append(wanted)
        if self.failures:
            raise self.failures.pop()
        return {one: self.answers[one] for one in wanted if one in self.answers}


def test_answers_come_as_they_are_there_until_all_are() -> None:
    """Nobody waits for the slowest before he sees the first."""
    store = Store()
    watcher = Watcher[str](store.read, OutageError)
    store.answers["a"] = "cat"
    waiting = watcher.wait(["a", "b"], DEADLINE_S)
    assert next(waiting) == "cat"
    store.answers["b"] = "dog"
    assert list(waiting) == ["dog"]


def test_waiting_ends_when_the_time_is_up() -> None:
    """What has no answer by then is not waited for, and no longer asked for."""
    store = Store()
    watcher = Watcher[str](store.read, OutageError)
    assert list(watcher.wait(["a"], 0.05)) == []
    assert watcher.waiters == 0


def test_what_many_wait_for_is_asked_for_once() -> None:
    """Ten people who watch one photo cost one question."""
    store = Store()
    watcher = Watcher[str](store.read, OutageError)
    with ThreadPoolExecutor(10) as pool:
        waits = [pool.submit(lambda: list(watcher.wait(["a"], DEADLINE_S))) for _ in range(10)]
        wait_until(lambda: watcher.waiters == 10, DEADLINE_S, "10 waiters")
        store.answers["a"] = "cat"
        assert [wait.result(DEADLINE_S) for wait in waits] == [["cat"]] * 10
    assert all(asked == {"a"} for asked in store.asked)


def test_an_outage_delays_an_answer() -> None:
    """The question is asked again, and also after an error that nobody had foreseen."""
    store = Store()
    store.failures = [OutageError("away"), RuntimeError("garbage")]
    store.answers["a"] = "cat"
    assert list(Watcher[str](store.read, OutageError).wait(["a"], DEADLINE_S)) == ["cat"]
    assert len(store.asked) == 3


def test_results_are_asked_for_when_they_are_likely_to_be_there() -> None:
    """Where results take a while, few questions are asked in vain."""
    store = Store()
    watcher = Watcher[str](store.read, OutageError)
    for name in ("first", "second", "third"):
        threading.Timer(0.3, store.answers.__setitem__, (name, "cat")).start()
        store.asked.clear()
        began_s = time.monotonic()
        assert list(watcher.wait([name], DEADLINE_S)) == ["cat"]
        assert time.monotonic() - began_s >= 0.3
    assert len(store.asked) < 10


def test_a_quick_result_is_not_kept_from_its_owner_by_slow_ones() -> None:
    """Others wait for a batch that takes long; what is there is handed out soon, also to who waits anew."""
    store = Store()
    watcher = Watcher[str](store.read, OutageError)
    for number in range(20):
        store.answers[f"slow-{number}"] = "cat"
        assert list(watcher.wait([f"slow-{number}"], DEADLINE_S, began_s=time.monotonic() - SLOW_S)) == ["cat"]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: list(watcher.wait(["slow"], DEADLINE_S)))
        wait_until(lambda: watcher.waiters == 1, DEADLINE_S, "somebody who waits")
        store.answers["quick"] = "dog"
        begin_s = time.monotonic()
        assert list(watcher.wait(["quick"], DEADLINE_S)) == ["dog"]
        assert time.monotonic() - begin_s < SLOW_S / 2
        store.answers["slow"] = "cat"
        assert slow.result(DEADLINE_S) == ["cat"]


def test_what_takes_unusually_long_is_asked_for_rarely_but_for_ever() -> None:
    """An hour's backlog costs a question every two seconds."""
    pace = Pace(usual_s=0.2, best_s=0.1)
    assert pace.next_s(age_s=0.3) <= 0.05
    assert pace.next_s(age_s=3600) == 2.0
