"""Celery's own ways to results - get, groups, exceptions - with a worker in this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from celery import Celery, chain, chord, group
from celery.contrib.testing.worker import start_worker
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult, GroupResult
from celery.signals import setup_logging

from bench.counting_proxy import CountingProxy
from local.emulators import Emulators
from tests.tasks.results.apps import make_celery

pytestmark = pytest.mark.stack

# What gives up in time does so in a few seconds, on a slow machine too; what does not takes minutes.
PATIENCE_S = 20.0


class ModelError(Exception):
    """An error of an application."""


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


def fail(reason: str) -> None:
    """Raise."""
    raise ModelError(reason)


def not_json() -> set[int]:
    """Return what JSON cannot hold."""
    return {1}


def leave_logging_alone(**_signal: Any) -> None:
    """Being connected to this signal is enough: the worker then sets up no logging of its own."""


@pytest.fixture(scope="module")
def worked(emulators: Emulators) -> Iterator[Celery]:
    """An app with a running worker, in threads of this process, for all tests of this module."""
    app = make_celery(f"results-{uuid.uuid4()}", emulators.aws_url)
    app.conf.result_extended = True
    for function in (add, fail, not_json):
        app.task(function, name=function.__name__)
    setup_logging.connect(leave_logging_alone)
    with pytest.MonkeyPatch.context() as environ:
        for name, value in emulators.environ.items():
            environ.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=app.conf.result_backend_transport_options["bucket"])
        with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False, shutdown_timeout=20):
            yield app
    setup_logging.disconnect(leave_logging_alone)


def test_get_returns_and_raises(worked: Celery) -> None:
    """`get` returns what the task returned, or raises what it raised, as the same class."""
    assert worked.tasks["add"].delay(1, 2).get(timeout=30) == 3
    with pytest.raises(ModelError, match="no cat"):
        worked.tasks["fail"].delay("no cat").get(timeout=30)


def test_groups_are_joined_in_order(worked: Celery) -> None:
    """A group's results come in the order of its tasks; a failure is raised, or returned if wanted."""
    assert group(worked.tasks["add"].s(number, 1) for number in range(30))().get(timeout=30) == list(range(1, 31))
    mixed = group(worked.tasks["add"].s(1, 1), worked.tasks["fail"].s("no cat"))()
    with pytest.raises(ModelError):
        mixed.get(timeout=30)
    values = mixed.get(timeout=30, propagate=False)
    assert values[0] == 2
    assert isinstance(values[1], ModelError)


def test_a_restored_group_is_joined(worked: Celery) -> None:
    """Another process that knows only the group's id gets its results."""
    result = group(worked.tasks["add"].s(number, 1) for number in range(3))()
    result.save()
    restored = GroupResult.restore(result.id, backend=worked.backend, app=worked)
    assert restored.get(timeout=30) == [1, 2, 3]
    assert restored.ready()
    assert restored.completed_count() == 3


def test_a_result_that_is_not_json_is_a_failure(worked: Celery) -> None:
    """The task ends, once, as a FAILURE whose message says what to return."""
    result = worked.tasks["not_json"].delay()
    with pytest.raises(Exception, match=r"must be JSON.* set .*return dicts"):
        result.get(timeout=30)
    assert AsyncResult(result.id, app=worked).state == "FAILURE"


def test_extended_results_carry_the_call(worked: Celery) -> None:
    """With `result_extended`, a stored result tells the task's name, arguments and queue."""
    result = worked.tasks["add"].apply_async((1,), {"other": 2})
    assert result.get(timeout=30) == 3
    stored = AsyncResult(result.id, app=worked)
    assert (stored.name, stored.args, stored.kwargs, stored.retries) == ("add", [1], {"other": 2}, 0)
    assert (stored.queue, stored.worker is not None) == ("celery", True)


def test_waiting_asks_soon_then_rarely(app: Celery, proxy: CountingProxy) -> None:
    """In 1.6 s a waiting caller asks after 0, 50, 150, 350, 750 ms, 1.55 s and at the end, then gives up in time."""
    start_s = time.monotonic()
    with pytest.raises(ResultTimeout):
        AsyncResult("never", app=app).get(timeout=1.6)
    assert 1.6 <= time.monotonic() - start_s < PATIENCE_S
    assert 5 <= proxy.count("GET") <= 7


def test_waiting_keeps_the_callers_interval(app: Celery, proxy: CountingProxy) -> None:
    """Who names an interval gets it."""
    with pytest.raises(ResultTimeout):
        AsyncResult("never", app=app).get(timeout=0.5, interval=0.2)
    assert 2 <= proxy.count("GET") <= 4


def test_a_group_that_is_not_done_gives_up_in_time(app: Celery) -> None:
    """`get` on a group counts real time, whatever the reads take."""
    start_s = time.monotonic()
    with pytest.raises(ResultTimeout, match="40 tasks"):
        GroupResult("g", [AsyncResult(str(number), app=app) for number in range(40)], app=app).get(timeout=0.5)
    assert 0.5 <= time.monotonic() - start_s < PATIENCE_S


@pytest.mark.parametrize(
    "apply",
    [
        pytest.param(lambda task: chord([task.s(1, 2), task.s(3, 4)])(task.s()), id="chord"),
        pytest.param(lambda task: (group(task.s(1, 2), task.s(3, 4)) | task.s()).delay(), id="group then task"),
        pytest.param(lambda task: chain(task.s(1, 2), group(task.s(1), task.s(2)), task.s()).delay(), id="in a chain"),
    ],
)
def test_chords_are_refused_before_anything_is_sent(app: Celery, apply: Callable[[Any], Any]) -> None:
    """The caller is told, at once, what to use instead; no task of the chord is sent."""
    task = app.task(add, name="add")
    sent: list[str] = []
    app.amqp.send_task_message = lambda *args, **_: sent.append(args[1])
    with pytest.raises(NotImplementedError, match=r"Apply the group, wait for it with \.get\(\)"):
        apply(task)
    assert sent == []
