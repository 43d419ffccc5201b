"""How a worker ends, pauses or loses its connection without losing, or keeping, a message."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.processes import Supervised, wait_until
from tests.tasks.sqs.conftest import Broker

pytestmark = pytest.mark.stack

APP = "tests.tasks.sqs.message_app"
VISIBLE_AGAIN_S = 2.0


def names_of(folder: Path) -> list[str]:
    """Return the names of the tasks that ran, once for each time."""
    return sorted(path.name.rpartition("-")[0] for path in folder.glob("n*-*"))


def test_a_stopped_worker_hides_nothing(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """Warm shutdown amid work, with messages prefetched: what was not begun is visible at once, what was begun ends."""
    worker = start_worker("worker", "--prefetch-multiplier", "3")
    for number in range(10):
        app.send_task(f"{APP}.note", (str(tmp_path), f"n{number}", 0.8))
    wait_until(lambda: bool(names_of(tmp_path)), 30, "the first task")
    assert broker.counts()[1] > 2
    assert worker.stop() == 0
    done = len(names_of(tmp_path))
    assert done < 10
    wait_until(lambda: broker.counts() == (10 - done, 0), VISIBLE_AGAIN_S, f"{10 - done} visible messages")
    assert len(set(names_of(tmp_path))) == done


@pytest.mark.parametrize("pool", ["tasks.pool:TaskPool", "prefork"])
def test_a_worker_that_is_stopped_cold_hides_nothing(
    pool: str, app: Any, broker: Broker, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """Cold shutdown amid work: what did not end is visible at once, and nothing stays in flight."""
    worker = start_worker("worker", "--prefetch-multiplier", "3", TEST_POOL=pool)
    for number in range(6):
        app.send_task(f"{APP}.note", (str(tmp_path), f"n{number}", 2))
    wait_until(lambda: broker.counts() == (0, 6), 30, "six messages in hand")
    worker.process.send_signal(signal.SIGQUIT)
    worker.process.wait(20)
    assert "ERROR" not in worker.log.read_text()
    wait_until(lambda: broker.counts()[1] == 0, VISIBLE_AGAIN_S, "nothing to be in flight")
    assert broker.counts()[0] >= 6 - len(names_of(tmp_path))


def test_what_the_last_poll_of_a_worker_brings_is_visible_when_it_ends(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """Warm shutdown with a poll open, into which messages come."""
    worker = start_worker()
    worker.process.terminate()
    wait_until(lambda: "Warm shutdown" in worker.log.read_text(), 30, "the shutdown's begin")
    for _task in range(2):
        app.send_task(f"{APP}.add", (1, 1))
    assert worker.process.wait(15) == 0
    wait_until(lambda: broker.counts() == (2, 0), VISIBLE_AGAIN_S, "two visible messages")


def test_a_consumer_that_is_cancelled_takes_nothing_until_it_is_added_again(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """A drain, and its reversal."""
    start_worker()
    assert app.control.cancel_consumer(broker.queue, reply=True, timeout=30, limit=1)
    # The answer comes before the deed.
    wait_until(lambda: [*app.control.inspect(timeout=30, limit=1).active_queues().values()] == [[]], 30, "no queue")
    result = app.send_task(f"{APP}.add", (1, 2))
    wait_until(lambda: broker.counts() == (1, 0), 30, "the message, given back by the poll that was open")
    assert app.control.add_consumer(broker.queue, reply=True, timeout=30, limit=1)
    assert result.get(timeout=30) == 3


def test_a_consumer_without_an_event_loop_gives_back_what_it_did_not_acknowledge(app: Any, broker: Broker) -> None:
    """A script that reads the queue by kombu: one of three messages is acknowledged, then the connection is closed."""
    for _task in range(3):
        app.send_task(f"{APP}.add", (1, 1))
    found: list[Any] = []
    with (
        app.connection_for_read() as connection,
        app.amqp.TaskConsumer(connection, on_message=found.append),
    ):
        while len(found) < 3:
            connection.drain_events(timeout=5)
        found[0].ack()
        assert broker.counts()[0] == 0
    assert broker.counts() == (2, 0)


def test_a_task_that_outlives_the_connection_runs_once(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """The worker opens its connection anew amid a task that is longer than the visibility timeout."""
    worker = start_worker()
    long = app.send_task(f"{APP}.note", (str(tmp_path), "n-long", 5))
    wait_until(lambda: broker.counts() == (0, 1), 30, "the task")
    assert app.control.broadcast("lose_connection", reply=True, timeout=30, limit=1)
    wait_until(lambda: "Connection to broker lost" in worker.log.read_text(), 30, "the lost connection")
    assert app.send_task(f"{APP}.add", (1, 2)).get(timeout=30) == 3
    assert long.get(timeout=30) == "n-long"
    broker.wait_empty(30)
    assert names_of(tmp_path) == ["n-long"]
