"""Messages of several threads go in common requests when much comes, and at once when little does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.sqs.gather import MAX_WAIT_S, Arrivals, Gather

DEADLINE_S = 20.0


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long somebody was ready to wait for others, each time that somebody was."""
    waits: list[float | None] = []
    wait = threading.Condition.wait

    def noting(condition: threading.Condition, timeout: float | None = None) -> bool:
        waits.append(timeout)
        return wait(condition, timeout)

    monkeypatch.setattr(threading.Condition, "wait", noting)
    return waits


def test_a_message_after_a_rest_is_sent_at_once_and_alone(waits: list[float | None]) -> None:
    """A lone photo does not wait for others."""
    requests: list[Sequence[int]] = []

    def send(messages: Sequence[int]) -> Sequence[int]:
        requests.append(messages)
        return messages

    gather = Gather[int, int](send)
    assert gather.send(7) == 7
    assert waits == []
    assert requests == [[7]]


def test_in_a_rush_many_messages_go_in_few_requests_and_each_gets_its_own_outcome() -> None:
    """Sixteen threads that send all the time fill requests."""
    requests: list[Sequence[int]] = []

    def send(messages: Sequence[int]) -> list[int]:
        requests.append(messages)
        return [-message for message in messages]

    gather = Gather[int, int](send)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(gather.send, range(1, 401))) == [-message for message in range(1, 401)]
    assert sorted(message for request in requests for message in request) == list(range(1, 401))
    assert len(requests) < 200


def test_a_sender_who_waits_for_each_answer_is_hardly_held_up(waits: list[float | None]) -> None:
    """Nobody else comes meanwhile: after a few waits in vain there are none for a while."""
    gather = Gather[int, int](list)
    for message in range(300):
        gather.send(message)
    assert 0 < len(waits) < 20


def test_a_failed_request_is_told_to_all_whose_messages_were_in_it() -> None:
    """Nobody takes a message for sent that was not, and nobody waits for ever."""
    entered = threading.Barrier(3)

    def send(_messages: Sequence[int]) -> Sequence[int]:
        raise OSError("away")

    gather = Gather[int, int](send)

    def one(message: int) -> str:
        entered.wait(DEADLINE_S)
        with pytest.raises(OSError, match="away") as error:
            gather.send(message)
        return str(error.value)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, range(3))) == ["away"] * 3


def test_messages_wait_only_while_they_come_fast() -> None:
    """Ten a second are too few to wait for; a hundred are not."""
    slow = fast = Arrivals()
    for number in range(200):
        slow, fast = slow.after(number * 0.1), fast.after(number * 0.01)
    assert slow.wait_s() == 0.0
    assert fast.wait_s() == MAX_WAIT_S
