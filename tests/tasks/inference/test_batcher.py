"""Many threads share one model, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.inference.batcher import Batcher
from tasks.inference.window import WindowLimits, remaining_s

LIMITS = WindowLimits(max_size=4, max_wait_s=5.0)
DEADLINE_S = 10.0


@pytest.mark.parametrize(
    ("ready", "coming", "now_s", "expected_s"),
    [
        pytest.param(1, 0, 0.0, 0.0, id="a lone item never waits"),
        pytest.param(1, 1, 0.0, 5.0, id="it waits for one on its way"),
        pytest.param(3, 9, 2.0, 3.0, id="no longer than its time"),
        pytest.param(3, 9, 6.0, 0.0, id="its time is up"),
        pytest.param(4, 9, 0.0, 0.0, id="the batch is full"),
    ],
)
def test_the_window_closes(ready: int, coming: int, now_s: float, expected_s: float) -> None:
    """By size, by time, or when nothing else is on its way."""
    assert remaining_s(ready, coming, 0.0, LIMITS, now_s) == expected_s


class Gate:
    """A model that squares numbers, refuses 13, and can be held up; it notes its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    def run(self, batch: Sequence[int]) -> list[int]:
        """Square a batch."""
        self.batches.append(list(batch))
        self.entered.set()
        assert self.open.wait(DEADLINE_S)
        if 13 in batch:
            raise ValueError("unlucky")
        return [number * number for number in batch]


def test_what_gathers_while_a_batch_runs_is_run_together_and_in_order() -> None:
    """Answers belong to their items, and no batch is larger than allowed."""
    gate = Gate()
    gate.open.clear()
    batcher = Batcher(gate.run, LIMITS)
    first = batcher.submit(1)
    assert gate.entered.wait(DEADLINE_S)
    rest = [batcher.submit(number) for number in range(2, 8)]
    gate.open.set()
    assert [future.result(DEADLINE_S).answer for future in (first, *rest)] == [n * n for n in range(1, 8)]
    assert gate.batches == [[1], [2, 3, 4, 5], [6, 7]]
    assert [future.result().batch_size for future in (first, *rest)] == [1, 4, 4, 4, 4, 2, 2]


def test_a_batch_waits_for_what_was_announced() -> None:
    """An item that is being decoded shares the batch of one that is ready."""
    gate = Gate()
    batcher = Batcher(gate.run, LIMITS)
    with batcher.coming():
        first = batcher.submit(1)
        second = batcher.submit(2)
    assert (first.result(DEADLINE_S).answer, second.result(DEADLINE_S).answer) == (1, 4)
    assert gate.batches == [[1, 2]]


def test_one_bad_item_fails_alone() -> None:
    """Its neighbours in the batch get their answers."""
    gate = Gate()
    gate.open.clear()
    batcher = Batcher(gate.run, LIMITS)
    first = batcher.submit(1)
    assert gate.entered.wait(DEADLINE_S)
    good, bad = batcher.submit(2), batcher.submit(13)
    gate.open.set()
    assert first.result(DEADLINE_S).answer == 1
    assert good.result(DEADLINE_S).answer == 4
    with pytest.raises(ValueError, match="unlucky"):
        bad.result(DEADLINE_S)


def test_a_wrong_number_of_answers_is_an_error() -> None:
    """Nobody gets the answer to another's question."""
    batcher = Batcher[int, int](lambda _: [1, 2, 3], LIMITS)
    with pytest.raises(RuntimeError, match="1 items gave 3 answers"):
        batcher.submit(1).result(DEADLINE_S)


def test_an_item_given_up_is_not_run() -> None:
    """A cancelled item costs the model nothing."""
    gate = Gate()
    gate.open.clear()
    batcher = Batcher(gate.run, LIMITS)
    first = batcher.submit(1)
    assert gate.entered.wait(DEADLINE_S)
    given_up, wanted = batcher.submit(2), batcher.submit(3)
    assert given_up.cancel()
    gate.open.set()
    assert (first.result(DEADLINE_S).answer, wanted.result(DEADLINE_S).answer) == (1, 9)
    assert gate.batches == [[1], [3]]


def test_many_threads_get_their_own_answers() -> None:
    """Under load every thread is answered rightly."""
    batcher = Batcher(Gate().run, WindowLimits(max_size=8, max_wait_s=0.001))
    numbers = [number for number in range(400) if number != 13]

    def ask(number: int) -> int:
        with batcher.coming():
            future = batcher.submit(number)
        return future.result(DEADLINE_S).answer

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, numbers)) == [number * number for number in numbers]
