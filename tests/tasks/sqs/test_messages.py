"""Task messages on the real broker: sent in batches, acknowledged, kept invisible, given back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.processes import Supervised, wait_until
from tasks.sqs.delay import DelayTooLongError
from tasks.sqs.sends import Call, send_many
from tests.tasks.sqs.conftest import Broker

pytestmark = pytest.mark.stack

StartWorker = Callable[..., Supervised]
ADD = "tests.tasks.sqs.message_app.add"
NOTE = "tests.tasks.sqs.message_app.note"
TOLD = "tests.tasks.sqs.message_app.told"


def calls(count: int) -> list[Call]:
    """Return calls of a sum."""
    return [Call(ADD, f"task-{number}", (number, 1)) for number in range(count)]


def test_tasks_sent_together_are_all_there_and_run(app: Any, broker: Broker, start_worker: StartWorker) -> None:
    """25 tasks go in three requests; each runs, and every message is deleted afterwards."""
    assert send_many(app, calls(25), queue=broker.queue) == [None] * 25
    assert broker.counts() == (25, 0)
    start_worker()
    assert [app.AsyncResult(f"task-{number}").get(timeout=30) for number in range(25)] == list(range(1, 26))
    broker.wait_empty(30)


def test_a_message_that_sqs_refuses_fails_alone(app: Any, broker: Broker) -> None:
    """Of three tasks, the one whose message is too large gets an error; the others are sent."""
    large = Call(ADD, "large", ("x" * 1_200_000, 1))
    errors = send_many(app, [*calls(1), large, Call(ADD, "small", (1, 1))], queue=broker.queue)
    assert [error is None for error in errors] == [True, False, True]
    assert broker.counts() == (2, 0)


def test_a_countdown_is_held_back_by_sqs(app: Any, broker: Broker, start_worker: StartWorker) -> None:
    """The worker does not see the task before it is due, so a worker that dies meanwhile costs nothing."""
    start_worker()
    begin_s = time.monotonic()
    result = app.send_task(ADD, (1, 2), countdown=2)
    assert broker.counts() == (0, 0)
    assert result.get(timeout=30) == 3
    assert time.monotonic() - begin_s >= 1.9


def test_a_countdown_beyond_15_minutes_is_refused_when_sent(app: Any) -> None:
    """The caller learns it at once; nothing is sent."""
    with pytest.raises(DelayTooLongError, match="900 s at most"):
        app.send_task(ADD, (1, 2), countdown=3600)


def test_a_task_knows_when_it_was_sent_and_how_often_received(app: Any, start_worker: StartWorker) -> None:
    """Queue wait can be measured, not guessed."""
    before_s = time.time()
    result = app.send_task(TOLD)
    start_worker()
    message = result.get(timeout=30)
    assert before_s - 1 <= message["sent_at_s"] <= time.time()
    assert message["receive_count"] == 1


def test_a_dead_workers_messages_are_back_within_the_visibility_timeout(
    app: Any, broker: Broker, start_worker: StartWorker, tmp_path: Path
) -> None:
    """One of two workers is killed: its tasks run again elsewhere, a long one of the survivor runs once."""
    long = app.send_task(NOTE, (str(tmp_path), "long", 9))
    survivor = start_worker("survivor")
    wait_until(lambda: broker.counts() == (0, 1), 30, "the survivor's task")
    victim = start_worker("victim")
    short = [app.send_task(NOTE, (str(tmp_path), f"short-{number}", 1.5)) for number in range(6)]
    wait_until(lambda: broker.counts()[0] == 0, 30, "every message in a worker's hands")
    victim.kill()
    assert [result.get(timeout=40) for result in short] == [f"short-{number}" for number in range(6)]
    assert long.get(timeout=30) == "long"
    assert len(list(tmp_path.glob("long-*"))) == 1
    assert survivor.alive()


def test_a_message_delivered_to_two_workers_has_one_result(app: Any, broker: Broker, start_worker: StartWorker) -> None:
    """The same message twice, as SQS may deliver it: one SUCCESS, no error in the log."""
    app.send_task(ADD, (2, 3), task_id="twice")
    body = broker.sqs.receive_message(QueueUrl=broker.url, VisibilityTimeout=0)["Messages"][0]["Body"]
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody=body)
    workers = [start_worker("one"), start_worker("two")]
    assert app.AsyncResult("twice").get(timeout=30) == 5
    broker.wait_empty(15)
    assert boto3.client("s3").list_objects_v2(Bucket=broker.queue)["KeyCount"] == 1
    assert not [worker for worker in workers if "ERROR" in worker.log.read_text()]
