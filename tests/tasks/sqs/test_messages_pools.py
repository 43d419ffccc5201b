"""What the transport promises holds for each of Celery's pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.processes import Supervised, wait_until
from tasks.sqs.sends import Call, send_many
from tests.tasks.sqs.conftest import Broker

pytestmark = pytest.mark.stack

APP = "tests.tasks.sqs.message_app"


@pytest.mark.parametrize("pool", ["tasks.pool:TaskPool", "prefork", "solo"])
def test_tasks_run_retry_and_are_acknowledged(
    pool: str, app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """Twelve tasks and one that is tried again after 2 s: all end, no message is left, the worker ends cleanly."""
    worker = start_worker(TEST_POOL=pool)
    calls = [Call(f"{APP}.add", f"task-{number}", (number, 1)) for number in range(12)]
    assert send_many(app, calls, queue=broker.queue) == [None] * 12
    retried = app.send_task(f"{APP}.retry_once", (2,))
    assert [app.AsyncResult(f"task-{number}").get(timeout=30) for number in range(12)] == list(range(1, 13))
    assert 2 <= retried.get(timeout=40) < 30
    broker.wait_empty(30)
    assert worker.stop() == 0
    assert "ERROR" not in worker.log.read_text()


def test_a_task_that_kills_its_process_is_given_up(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """Prefork survives the death of a child: the message goes back at once, and after two deaths is a dead letter."""
    worker = start_worker(TEST_POOL="prefork")
    result = app.send_task(f"{APP}.kill_worker")
    with pytest.raises(Exception, match="2 times, and each worker ended before the task did"):
        result.get(timeout=30)
    wait_until(lambda: broker.dead_letters() == 1, 30, "the dead letter")
    broker.wait_empty(30)
    assert worker.alive()


@pytest.mark.parametrize(("task", "error"), [("exit_thread", "2 times"), ("fill_memory", "MemoryError")])
def test_a_task_that_breaks_off_its_thread_is_given_up(
    task: str, error: str, app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """More such tasks than threads: each is a dead letter after two runs, and the worker has its places left."""
    worker = start_worker()
    results = [app.send_task(f"{APP}.{task}") for _ in range(3)]
    wait_until(lambda: broker.dead_letters() == 3, 30, f"three dead letters: {worker.log}")
    for result in results:
        assert error in repr(result.get(timeout=30, propagate=False))
    broker.wait_empty(30)
    assert [app.send_task(f"{APP}.add", (number, 1)).get(timeout=30) for number in range(3)] == [1, 2, 3]
    inspect = app.control.inspect(timeout=30, limit=1)
    assert [*inspect.active().values(), *inspect.reserved().values()] == [[], []]
    assert worker.log.read_text().count("broke off with what no task should raise") == 6
