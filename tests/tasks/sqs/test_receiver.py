"""A queue's receiver polls while there is room, outlives failures, and keeps no message it may not deliver."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import EndpointConnectionError

from local.processes import wait_until
from tasks.sqs import receiver
from tasks.sqs.incoming import Incoming
from tasks.sqs.receiver import Receiver

DEADLINE_S = 5.0


def message(name: str) -> Incoming:
    """Return a received message."""
    return Incoming(name, name, "", 1, 0.0)


@dataclass
class Surroundings:
    """A queue, an event loop that a test turns by hand, and what became of messages."""

    answers: queue.SimpleQueue[list[Incoming] | Exception] = field(default_factory=queue.SimpleQueue)
    rooms: list[int] = field(default_factory=list)
    loop: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    delivered: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    polling: threading.Event = field(default_factory=threading.Event)

    def receive(self, room: int) -> list[Incoming]:
        self.rooms.append(room)
        self.polling.set()
        answer = self.answers.get()
        self.polling.clear()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def turn_loop(self) -> None:
        callback = self.loop.get(timeout=DEADLINE_S)
        assert callable(callback)
        callback()

    def deliver(self, messages: list[Incoming]) -> None:
        self.delivered += [message.message_id for message in messages]

    def give_back(self, messages: list[Incoming]) -> None:
        self.given_back += [message.message_id for message in messages]


@pytest.fixture
def around() -> Surroundings:
    """Nothing received yet."""
    return Surroundings()


@pytest.fixture
def running(around: Surroundings) -> Iterator[Receiver]:
    """A receiver that ends with the test."""
    made = Receiver(
        "q", receive=around.receive, post=around.loop.put, deliver=around.deliver, give_back=around.give_back
    )
    yield made
    made.stop()
    around.answers.put([])
    made.join(DEADLINE_S)


def test_messages_are_delivered_in_the_event_loop(around: Surroundings, running: Receiver) -> None:
    """Celery's consumer works there, and nowhere else."""
    running.start(8, 1)
    around.answers.put([message("a"), message("b")])
    wait_until(lambda: not around.loop.empty(), DEADLINE_S, "a callback")
    assert not around.delivered
    around.turn_loop()
    assert around.delivered == ["a", "b"]
    assert around.rooms[0] == 8


def test_no_poll_starts_before_the_last_ones_messages_took_their_room(around: Surroundings, running: Receiver) -> None:
    """Else the worker would be handed more than it may prefetch."""
    running.start(1, 1)
    around.answers.put([message("a")])
    wait_until(lambda: not around.loop.empty(), DEADLINE_S, "a callback")
    running.set_room(1, 1)
    assert around.rooms == [1]
    running.set_room(0, 1)
    around.turn_loop()
    running.set_room(2, 1)
    wait_until(lambda: around.rooms == [1, 2], DEADLINE_S, "the next poll")


def test_places_that_come_free_together_are_filled_by_one_request(around: Surroundings, running: Receiver) -> None:
    """A request for each place that comes free would cost one for each task."""
    running.start(0, 6)
    for room in range(1, 7):
        running.set_room(room, 6)
    wait_until(lambda: bool(around.rooms), DEADLINE_S, "a poll")
    assert around.rooms == [6]


def test_a_single_free_place_waits_for_a_moment_only(around: Surroundings, running: Receiver) -> None:
    """Long tasks end one by one; their places must not stay empty."""
    running.start(1, 6)
    wait_until(lambda: around.rooms == [1], DEADLINE_S, "a poll")


def test_polling_goes_on_after_failures(
    around: Surroundings, running: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With pauses that grow, and a line in the log for each failure."""
    monkeypatch.setattr(receiver, "FIRST_PAUSE_S", 0.01)
    running.start(1, 1)
    for _failure in range(3):
        around.answers.put(EndpointConnectionError(endpoint_url="http://sqs"))
    around.answers.put([message("a")])
    around.turn_loop()
    assert around.delivered == ["a"]
    assert caplog.text.count("cannot be read, trying again") == 3


def test_what_an_open_poll_brings_after_the_end_is_given_back(around: Surroundings, running: Receiver) -> None:
    """SQS hid it for this worker; another one gets it now instead of after the visibility timeout."""
    running.start(1, 1)
    around.polling.wait(DEADLINE_S)
    running.stop()
    around.answers.put([message("late")])
    running.join(DEADLINE_S)
    assert (around.delivered, around.given_back) == ([], ["late"])


def test_what_the_event_loop_did_not_deliver_is_given_back(around: Surroundings, running: Receiver) -> None:
    """The loop stops between a poll's answer and its delivery."""
    running.start(1, 1)
    around.answers.put([message("posted")])
    wait_until(lambda: not around.loop.empty(), DEADLINE_S, "a callback")
    running.stop()
    around.turn_loop()
    assert (around.delivered, around.given_back) == ([], ["posted"])


def test_a_consumer_that_is_back_before_the_poll_ends_gets_its_messages(
    around: Surroundings, running: Receiver
) -> None:
    """A drain that is reverted at once: one poll, not two."""
    running.start(1, 1)
    around.polling.wait(DEADLINE_S)
    running.stop()
    running.start(1, 1)
    around.answers.put([message("a")])
    around.turn_loop()
    assert (around.delivered, around.given_back) == (["a"], [])
    assert around.rooms[:1] == [1]


def test_a_consumer_that_is_back_later_polls_anew(around: Surroundings, running: Receiver) -> None:
    """A drain that is reverted after the last poll ended."""
    running.start(1, 1)
    around.polling.wait(DEADLINE_S)
    running.stop()
    around.answers.put([])
    running.join(DEADLINE_S)
    running.start(3, 1)
    wait_until(lambda: around.rooms == [1, 3], DEADLINE_S, "a poll")


def test_a_receiver_that_finishes_delivers_what_its_open_poll_brings(around: Surroundings, running: Receiver) -> None:
    """Given back it would go to the next worker that stops, and count as a delivery each time."""
    running.start(8, 1)
    assert around.polling.wait(DEADLINE_S)
    running.finish()
    assert running.open
    around.answers.put([message("a")])
    around.turn_loop()
    assert (around.delivered, around.given_back) == (["a"], [])
    wait_until(lambda: not running.open, DEADLINE_S, "the end of the last poll")
    assert len(around.rooms) == 1
