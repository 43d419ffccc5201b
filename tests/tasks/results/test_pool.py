"""The thread pool: what a task's run raises outside the task's own code is not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery.exceptions import Reject
from celery.utils.log import in_sighandler
from celery.worker import state

from tasks.pool import TaskPool

DEADLINE_S = 10


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    """A running pool of two threads."""
    pool = TaskPool(2)
    pool.start()
    yield pool
    pool.stop()


def run(pool: TaskPool, target: Any, **callbacks: Any) -> tuple[str, Any]:
    """Run `target` and return which callback was called, with what; `callbacks` are called instead of it."""
    told: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    ours = {
        "callback": lambda value: told.put(("callback", value)),
        "error_callback": lambda error: told.put(("error_callback", error)),
        "accept_callback": lambda *_: None,
    }
    pool.apply_async(target, **{**ours, **callbacks})
    outcome = told.get(timeout=DEADLINE_S)
    assert told.empty()
    return outcome


def test_what_is_returned_goes_to_the_callback(pool: TaskPool) -> None:
    """As in Celery's own pool."""
    assert run(pool, lambda: 7) == ("callback", 7)


@pytest.mark.parametrize("error", [Reject("S3 is away", requeue=True), ValueError("broken")])
def test_what_is_raised_goes_to_the_error_callback(pool: TaskPool, error: Exception) -> None:
    """The request hears of it, and of nothing else, and can give its message back."""

    def fail() -> None:
        raise error

    name, info = run(pool, fail)
    assert name == "error_callback"
    assert isinstance(info, ExceptionInfo)
    assert info.exception.exc is error if hasattr(info.exception, "exc") else info.exception is error


class Panic(BaseException):
    """Such as pyo3 makes of a panic in Rust."""


@pytest.mark.parametrize(
    ("where", "error"),
    [
        pytest.param("target", Panic("broken"), id="a task panics"),
        pytest.param("target", SystemExit(1), id="a task ends its thread"),
        pytest.param("callback", ValueError("broken"), id="the request fails"),
        pytest.param("callback", MemoryError(), id="the request ends the worker"),
        pytest.param("accept_callback", NotImplementedError(), id="the task was to be terminated"),
    ],
)
def test_the_message_of_what_breaks_off_goes_back(
    where: str, error: BaseException, pool: TaskPool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever raised it in the thread: the request is told to give its message back, and the log has the traceback."""

    def fail(*_: object) -> None:
        raise error

    functions = {"target": lambda: 7, where: fail}
    name, info = run(pool, functions.pop("target"), correlation_id="the-task", **functions)
    assert name == "error_callback"
    reject = getattr(info.exception, "exc", info.exception)
    assert isinstance(reject, Reject)
    assert reject.requeue
    pool.executor.shutdown()
    assert "task the-task broke off" in caplog.text
    assert "in fail\n    raise error\n" in caplog.text


def test_what_breaks_off_the_giving_back_is_logged(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing more can be done then, and nobody else would say so; the pool runs on."""

    def fail(*_: object) -> None:
        raise ValueError("broken")

    pool.apply_async(fail, callback=fail, error_callback=fail, accept_callback=fail, correlation_id="the-task")
    assert run(pool, lambda: 7) == ("callback", 7)
    pool.executor.shutdown()
    assert "task the-task broke off" in caplog.text
    assert "the message of task the-task could not be given back" in caplog.text


def test_it_grows_and_shrinks(pool: TaskPool) -> None:
    """After it has grown it runs more tasks at the same time; it is never left without a thread."""
    together = threading.Barrier(3)
    pool.grow(1)
    assert pool.num_processes == 3
    told: SimpleQueue[int] = SimpleQueue()
    for _ in range(3):
        pool.apply_async(
            lambda: together.wait(DEADLINE_S),
            callback=told.put,
            error_callback=told.put,
            accept_callback=lambda *_: None,
        )
    assert sorted(told.get(timeout=DEADLINE_S) for _ in range(3)) == [0, 1, 2]
    pool.shrink(2)
    assert pool.num_processes == 1
    with pytest.raises(ValueError, match="cannot be made"):
        pool.shrink(1)


def test_a_cold_shutdown_waits_for_no_task_in_its_signals_handler(
    pool: TaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks run meanwhile and a third waits: the two end, the third is never begun."""
    go_on = threading.Event()
    told: SimpleQueue[int] = SimpleQueue()
    for number in range(3):
        pool.apply_async(
            lambda number=number: go_on.wait(DEADLINE_S) and number,
            callback=told.put,
            error_callback=told.put,
            accept_callback=lambda *_: None,
        )
    with in_sighandler():
        pool.terminate_job(1, 15)
        monkeypatch.setattr(state, "should_terminate", True)
        pool.stop()
    pool.terminate()
    go_on.set()
    pool.executor.shutdown()
    assert sorted(told.get_nowait() for _ in range(2)) == [0, 1]
    assert told.empty()


def test_a_single_task_cannot_be_ended(pool: TaskPool) -> None:
    """`revoke(terminate=True)` hears so, rather than that its task has ended."""
    with pytest.raises(NotImplementedError):
        pool.terminate_job(1, 15)
