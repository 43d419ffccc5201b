"""Pauses and rounds, on a clock of the test's own."""

from __future__ import annotations

from itertools import islice, repeat

import pytest

from tasks.polling import growing_pauses, rounds


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


def test_pauses_double_up_to_the_last() -> None:
    """Soon at first, then rarely, for ever."""
    assert list(islice(growing_pauses(0.05, 1.0), 8)) == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("timeout_s", "at_s"),
    [
        pytest.param(0.0, [0.0], id="no time: one look"),
        pytest.param(2.0, [0.0, 1.0, 2.0], id="the end is a look"),
        pytest.param(2.5, [0.0, 1.0, 2.0, 2.5], id="the last pause is cut"),
    ],
)
def test_rounds_end_with_the_time(timeout_s: float, at_s: list[float]) -> None:
    """There is a look at once and one at the deadline, and none after it."""
    clock = Clock()
    looks = [clock.now_s - 100 for _round in rounds(repeat(1.0), timeout_s, now=clock.now, sleep=clock.sleep)]
    assert looks == at_s


def test_time_spent_looking_counts() -> None:
    """Looks that take longer than the pauses do not stretch the time limit."""
    clock = Clock()
    looks = 0
    for _round in rounds(repeat(1.0), 10.0, now=clock.now, sleep=clock.sleep):
        looks += 1
        clock.sleep(6.0)
    assert (looks, clock.now_s - 100) == (2, 13.0)


def test_without_a_limit_rounds_go_on() -> None:
    """Who gives no time limit waits for ever."""
    clock = Clock()
    assert len(list(islice(rounds(repeat(1.0), None, now=clock.now, sleep=clock.sleep), 1000))) == 1000
