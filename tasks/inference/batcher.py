"""Gathers items from many threads into batches for one model, and gives each thread its own answer back.

The first item opens a batch's window (`tasks.inference.window` says when it closes); while a batch runs, the next one
gathers. Idea: mosec's and LitServe's dynamic batching; here each item stays a Celery task of its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from tasks.inference.window import WindowLimits, remaining_s

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Answered(Generic[Answer]):
    """An answer, and what it took.

    Attributes:
        answer: the function's.
        batch_size: items that ran together.
        wait_s: seconds from being submitted to the start of the batch.
        run_s: seconds that the batch ran.
        cpu_s: CPU seconds that it took of the thread that ran it.
    """

    answer: Answer
    batch_size: int
    wait_s: float
    run_s: float
    cpu_s: float


@dataclass(frozen=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    since_s: float
    future: Future[Answered[Answer]]


class Batcher(Generic[Item, Answer]):
    """Runs a function on batches, in a thread of its own. Safe to share between threads.

    Args:
        run: maps a batch to its answers, one for each item, in order.
        limits: of a batch.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Answer]], limits: WindowLimits) -> None:
        self._run = run
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting[Item, Answer]] = deque()
        self._coming = 0
        threading.Thread(target=self._serve, name="batcher", daemon=True).start()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Announce an item: submit it in the block, wait for its answer after it. Batches may wait for the block."""
        with self._changed:
            self._coming += 1
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1
                self._changed.notify_all()

    def submit(self, item: Item) -> Future[Answered[Answer]]:
        """Add an item to the next batch; the future has its answer, or the error that it alone raised."""
        waiting = _Waiting[Item, Answer](item, time.perf_counter(), Future())
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def _serve(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._answer(batch)

    def _next_batch(self) -> list[_Waiting[Item, Answer]]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting))
            while wait_s := self._remaining_s():
                self._changed.wait(wait_s)
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limits.max_size))]
        # An item whose caller has given up is left out; from here on no caller can.
        return [waiting for waiting in taken if waiting.future.set_running_or_notify_cancel()]

    def _remaining_s(self) -> float:
        opened_s = self._waiting[0].since_s
        return remaining_s(len(self._waiting), self._coming, opened_s, self._limits, time.perf_counter())

    def _answer(self, batch: Sequence[_Waiting[Item, Answer]]) -> None:
        begin_s, begin_cpu_s = time.perf_counter(), time.thread_time()
        try:
            answers = self._run([waiting.item for waiting in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} items gave {len(answers)} answers")  # noqa: TRY301 - like an error of `run`
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the items' owners, and the thread must go on
            self._alone(batch, error)
            return
        run_s, cpu_s = time.perf_counter() - begin_s, time.thread_time() - begin_cpu_s
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.future.set_result(Answered(answer, len(batch), begin_s - waiting.since_s, run_s, cpu_s))

    def _alone(self, batch: Sequence[_Waiting[Item, Answer]], error: Exception) -> None:
        # One bad item must not fail its neighbours: each is run by itself, and the bad one fails alone.
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        for waiting in batch:
            self._answer([waiting])
