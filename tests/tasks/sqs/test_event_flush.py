"""Task events leave a worker by the clock, and all of them leave it: whatever ends or interrupts its loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.events import EventDispatcher, get_exchange
from kombu import Queue
from kombu.asynchronous.timer import Timer

from local.processes import Supervised, wait_until
from tasks.sqs.control_plane import close_planes
from tasks.sqs.event_flush import EventFlush

APP = "tests.tasks.sqs.message_app"
DEADLINE_S = 20.0
OF_A_TASK = {"task-received", "task-started", "task-succeeded"}


@dataclass
class Consumer:
    """What the step sees of Celery's consumer."""

    event_dispatcher: Any
    timer: Timer = field(default_factory=Timer)
    hub: object = field(default_factory=object)
    steps: list[Any] = field(default_factory=list)

    def fire(self) -> bool:
        """Run what is due now, as the loop does; tell whether there was anything."""
        fired = False
        for _wait_s, entry in self.timer:
            if entry is None:
                break
            entry()
            fired = True
        return fired


@pytest.fixture
def published() -> Iterator[tuple[Consumer, Callable[[], list[list[int]]]]]:
    """A consumer with Celery's own dispatcher on a broker in memory; what it published, a list for each message."""
    app = Celery("flush", broker="memory://", set_as_current=False)
    with app.connection_for_write() as connection:
        queue = Queue("published", get_exchange(connection), routing_key="#")(connection.default_channel)
        queue.declare()
        dispatcher = EventDispatcher(connection, app=app, buffer_group=["task"], on_send_buffered=pytest.fail)

        def messages() -> list[list[int]]:
            found: list[list[int]] = []
            while (message := queue.get(no_ack=True)) is not None:
                found.append([event["n"] for event in message.payload])
            return found

        yield Consumer(dispatcher), messages
        queue.delete()
    app.close()


def test_events_of_an_interval_are_handed_over_together(
    published: tuple[Consumer, Callable[[], list[list[int]]]],
) -> None:
    """Ten events wake nobody, and are one message when the timer fires; without events there is none."""
    consumer, messages = published
    EventFlush(consumer).start(consumer)
    for n in range(10):
        consumer.event_dispatcher.send("task-sent", n=n)
    assert messages() == []
    wait_until(consumer.fire, DEADLINE_S, "the timer")
    assert messages() == [list(range(10))]
    wait_until(consumer.fire, DEADLINE_S, "the timer again")
    assert messages() == []


def test_without_a_loop_every_event_is_handed_over_at_once(
    published: tuple[Consumer, Callable[[], list[list[int]]]],
) -> None:
    """From the step's stop on: what was gathered first, then each event by itself, and no timer goes on."""
    consumer, messages = published
    step = EventFlush(consumer)
    step.start(consumer)
    consumer.event_dispatcher.send("task-sent", n=1)
    step.stop(consumer)
    consumer.event_dispatcher.send("task-sent", n=2)
    assert messages() == [[1], [2]]
    step.stop(consumer)
    wait_until(lambda: consumer.fire() or not consumer.timer.queue, DEADLINE_S, "the timer's last entry to go")
    assert not consumer.timer.queue


def test_a_worker_that_sends_no_events_starts_and_stops() -> None:
    """Celery makes no dispatcher then."""
    consumer = Consumer(None)
    step = EventFlush(consumer)
    step.start(consumer)
    step.stop(consumer)
    assert not consumer.timer.queue


# The real worker


@contextmanager
def subscriber(app: Any) -> Iterator[Callable[[str], set[str]]]:
    """Receive events in a thread; yields what tells the types of a task's events until now."""
    events: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        receiver: Any = app.events.Receiver(connection, handlers={"*": events.append})
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": True})
        thread.start()
        try:
            wait_until(lambda: bool(events), DEADLINE_S, "the worker's heartbeats")
            yield lambda task_id: {event["type"] for event in events if event.get("uuid") == task_id}
        finally:
            receiver.should_stop = True
            thread.join(DEADLINE_S)
    close_planes()


@contextmanager
def amid_a_task(
    pool: str, app: Any, start_worker: Callable[..., Supervised], folder: Path
) -> Iterator[tuple[Supervised, Callable[[], set[str]]]]:
    """A worker that has just received a task of two seconds, and what tells the types of the task's events."""
    worker = start_worker("worker", "-E", TEST_POOL=pool)
    with subscriber(app) as types_of:
        task = app.send_task(f"{APP}.note", (str(folder), "n", 2)).id
        wait_until(lambda: f"[{task}] received" in worker.log.read_text(), DEADLINE_S, "the task")
        yield worker, lambda: types_of(task)


@pytest.mark.stack
@pytest.mark.parametrize("pool", ["tasks.pool:TaskPool", "prefork", "solo"])
def test_the_last_events_of_a_worker_arrive(
    pool: str, app: Any, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """Warm shutdown amid a task: its end is told."""
    with amid_a_task(pool, app, start_worker, tmp_path) as (worker, types):
        worker.process.terminate()
        assert worker.process.wait(DEADLINE_S) == 0
        wait_until(lambda: "task-succeeded" in types(), DEADLINE_S, "its last event")


@pytest.mark.stack
@pytest.mark.parametrize("pool", ["tasks.pool:TaskPool", "prefork"])
def test_events_before_a_cold_shutdown_arrive(
    pool: str, app: Any, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """What happened a moment before is told."""
    with amid_a_task(pool, app, start_worker, tmp_path) as (worker, types):
        worker.process.send_signal(signal.SIGQUIT)
        worker.process.wait(DEADLINE_S)
        wait_until(lambda: "task-received" in types(), DEADLINE_S, "its event")


@pytest.mark.stack
def test_events_go_on_over_a_lost_connection_and_on_command(
    app: Any, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """Enabled for a worker that began without; a task that outlives the connection, and the next; none when disabled."""
    worker = start_worker()
    with subscriber(app) as types_of:
        assert app.control.enable_events(reply=True, timeout=30, limit=1)
        long = app.send_task(f"{APP}.note", (str(tmp_path), "long", 2)).id
        wait_until(lambda: "task-started" in types_of(long), DEADLINE_S, "the task's begin")
        assert app.control.broadcast("lose_connection", reply=True, timeout=30, limit=1)
        wait_until(lambda: "Connection to broker lost" in worker.log.read_text(), DEADLINE_S, "the lost connection")
        after = app.send_task(f"{APP}.add", (1, 1)).id
        wait_until(lambda: types_of(long) == types_of(after) == OF_A_TASK, DEADLINE_S, "both tasks' events")

        assert app.control.disable_events(reply=True, timeout=30, limit=1)
        silent = app.send_task(f"{APP}.add", (1, 1))
        assert silent.get(timeout=DEADLINE_S) == 2
        assert app.control.enable_events(reply=True, timeout=30, limit=1)
        again = app.send_task(f"{APP}.add", (1, 1)).id
        wait_until(lambda: types_of(again) == OF_A_TASK, DEADLINE_S, "the events of a later task")
        assert types_of(silent.id) == set()
