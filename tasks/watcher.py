"""Waits for results on behalf of many: one thread asks for what any of them waits for, as often as it is worth it.

Knows neither S3 nor Celery: what it asks with is handed to it.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

# Asked for the first time when nearly the usual time has passed, and then a little later, again and again. The usual
# time settles where (1 - FIRST_ASK) / NEXT_ASK questions are asked in vain; a later first one costs more time than
# questions.
FIRST_ASK, NEXT_ASK = 0.9, 0.15
# Alone it may take less than the best time so far.
AT_REST = 0.9
# What takes much longer than usual is asked for ever more rarely.
OF_AGE = 0.1
MIN_PAUSE_S, MAX_PAUSE_S = 0.01, 2.0
# One slow batch must not make the others' first question late.
FIRST_AT_MOST_S = 0.8
SMOOTHING = 0.2
# The best of long ago was perhaps another model's: it counts for less with each result.
FORGETTING = 1.02

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """When to ask for a result, from how long results take lately, and how long they take at best.

    >>> busy = Pace(usual_s=0.5, best_s=0.1)
    >>> busy.first_s(age_s=0.05)
    0.4
    >>> busy.next_s(age_s=0.5), busy.next_s(age_s=60)
    (0.075, 2.0)
    >>> busy.at_rest().first_s(age_s=0.05)
    0.031
    """

    usual_s: float = 0.0
    best_s: float = math.inf

    def first_s(self, age_s: float) -> float:
        """Return how long to wait with the first question for what is `age_s` old."""
        return max(0.0, round(min(FIRST_AT_MOST_S, FIRST_ASK * self.usual_s) - age_s, 6))

    def next_s(self, age_s: float) -> float:
        """Return how long to wait after a question in vain."""
        return min(MAX_PAUSE_S, max(MIN_PAUSE_S, NEXT_ASK * self.usual_s, OF_AGE * (age_s - self.usual_s)))

    def learn(self, took_s: float) -> Pace:
        """Return the pace after a result that took so long."""
        usual_s = self.usual_s + SMOOTHING * (took_s - self.usual_s) if self.usual_s else took_s
        return Pace(usual_s, min(FORGETTING * self.best_s, took_s))

    def at_rest(self) -> Pace:
        """Return the pace for what comes when nothing else is waited for: it will not queue behind others."""
        return Pace(min(self.usual_s, AT_REST * self.best_s), self.best_s)


@dataclass
class _Watched(Generic[Answer]):
    began_s: float
    due_s: float
    waiters: list[queue.SimpleQueue[tuple[str, Answer]]]


class Watcher(Generic[Answer]):
    """Watches results by id. Safe to share between threads.

    Args:
        read: returns the answers that are there, of the ids that it is asked for.
        retry_on: what `read` may raise for a while; the questions are asked again later.
    """

    def __init__(self, read: Callable[[Iterable[str]], Mapping[str, Answer]], retry_on: type[Exception]) -> None:
        self._read = read
        self._retry_on = retry_on
        self._watched: dict[str, _Watched[Answer]] = {}
        self._changed = threading.Condition()
        self._pace = Pace()
        self._thread: threading.Thread | None = None

    def wait(self, ids: Iterable[str], timeout_s: float, *, began_s: float | None = None) -> Iterator[Answer]:
        """Yield answers as they come, until all are there or the time is up.

        Args:
            ids: what to wait for.
            timeout_s: for how long.
            began_s: when it was asked for, on `time.monotonic`; without, now.
        """
        deadline_s = time.monotonic() + timeout_s
        arrived: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()
        waiting = set(ids)
        self._add(waiting, arrived, time.monotonic() if began_s is None else began_s)
        try:
            while waiting:
                try:
                    answered, answer = arrived.get(timeout=max(0.0, deadline_s - time.monotonic()))
                except queue.Empty:
                    return
                waiting.discard(answered)
                yield answer
        finally:
            self._remove(waiting, arrived)

    @property
    def waiters(self) -> int:
        """How many wait, each counted once for each id that it waits for."""
        with self._changed:
            return sum(len(watched.waiters) for watched in self._watched.values())

    def _add(self, ids: Iterable[str], waiter: queue.SimpleQueue[tuple[str, Answer]], began_s: float) -> None:
        now_s = time.monotonic()
        with self._changed:
            if not self._watched:
                self._pace = self._pace.at_rest()
            for one in ids:
                due_s = now_s + self._pace.first_s(now_s - began_s)
                self._watched.setdefault(one, _Watched(began_s, due_s, [])).waiters.append(waiter)
            if self._thread is None:  # not at the start: a server forks after it has loaded the app
                self._thread = threading.Thread(target=self._serve, name="watcher", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _remove(self, ids: Iterable[str], waiter: queue.SimpleQueue[tuple[str, Answer]]) -> None:
        with self._changed:
            for one in ids:
                watched = self._watched.get(one)
                if watched is None or waiter not in watched.waiters:
                    continue
                watched.waiters.remove(waiter)
                if not watched.waiters:
                    del self._watched[one]

    def _serve(self) -> None:
        while True:
            due = self._next_due()
            try:
                answers = self._read(due)
            except self._retry_on as error:
                log.warning("results are asked for again: %s", error)
                answers = {}
            except Exception:
                # The thread serves everybody: it must outlive an answer that it cannot read.
                log.exception("results could not be read")
                answers = {}
            self._hand_out(due, answers)

    def _next_due(self) -> list[str]:
        with self._changed:
            while True:
                now_s = time.monotonic()
                due = [one for one, watched in self._watched.items() if watched.due_s <= now_s]
                if due:
                    return due
                first_s = min((watched.due_s for watched in self._watched.values()), default=math.inf)
                self._changed.wait(None if first_s == math.inf else first_s - now_s)

    def _hand_out(self, asked: Iterable[str], answers: Mapping[str, Answer]) -> None:
        now_s = time.monotonic()
        with self._changed:
            for one in asked:
                watched = self._watched.get(one)
                if watched is None:
                    continue
                age_s = now_s - watched.began_s
                if one not in answers:
                    watched.due_s = now_s + self._pace.next_s(age_s)
                    continue
                self._pace = self._pace.learn(age_s)
                del self._watched[one]
                for waiter in watched.waiters:
                    waiter.put((one, answers[one]))
