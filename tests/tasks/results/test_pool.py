"""The thread pool: what a task's run raises outside the task's own code is not lost."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery.exceptions import Reject

from tasks.pool import TaskPool

DEADLINE_S = 10


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    """A running pool of two threads."""
    pool = TaskPool(2)
    pool.start()
    yield pool
    pool.stop()


def run(pool: TaskPool, target: Any) -> tuple[str, Any]:
    """Run `target` and return which callback was called, with what."""
    told: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    pool.apply_async(
        target,
        callback=lambda value: told.put(("callback", value)),
        error_callback=lambda error: told.put(("error_callback", error)),
        accept_callback=lambda *_: None,
    )
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
