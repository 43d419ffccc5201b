"""Celery's events, on two independent implementations of SQS and SNS."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.emulators import Emulators
from local.processes import wait_until
from tests.tasks.sqs.control_stack import CELERY, ControlStack, control_stack

pytestmark = pytest.mark.stack

DEADLINE_S = 20.0
OF_A_TASK = {"task-received", "task-started", "task-succeeded"}


@pytest.fixture(params=[pytest.param("aws_url", id="ministack"), pytest.param("ec2_url", id="moto")])
def stack(request: pytest.FixtureRequest, emulators: Emulators, tmp_path: Path) -> Iterator[ControlStack]:
    """A deployment with one worker that sends events."""
    with control_stack(getattr(emulators, request.param), tmp_path) as made:
        made.start_workers({"one@test": "threads"})
        yield made


@contextmanager
def subscriber(stack: ControlStack) -> Iterator[list[dict[str, Any]]]:
    """Receive events in a thread of this process; yields the list that they are added to."""
    events: list[dict[str, Any]] = []
    with stack.app.connection_for_read() as connection:
        receiver: Any = stack.app.events.Receiver(connection, handlers={"*": events.append})
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": True})
        thread.start()
        wait_until(lambda: bool(events), DEADLINE_S, "the workers' heartbeats")
        yield events
        receiver.should_stop = True
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def saw_all(events: list[dict[str, Any]], task: str) -> bool:
    """Tell whether a task was seen from its receipt to its result."""
    return {event["type"] for event in events if event.get("uuid") == task} == OF_A_TASK


def test_every_subscriber_sees_every_event(stack: ControlStack) -> None:
    """Two receivers and the command line, at the same time, each see a task from its receipt to its result."""
    dump = stack.start("dump", (*CELERY, "events", "--dump"))
    with subscriber(stack) as first, subscriber(stack) as second:
        wait_until(lambda: "heartbeat" in dump.log.read_text(), DEADLINE_S, "the command line's first event")
        task = stack.send("add", 2, 3)
        for events in (first, second):
            wait_until(partial(saw_all, events, task), DEADLINE_S, "the task's events")
            succeeded = next(event for event in events if event["type"] == "task-succeeded")
            assert (succeeded["result"], succeeded["runtime"] >= 0) == ("5", True)
        wait_until(lambda: "task succeeded: add" in dump.log.read_text(), DEADLINE_S, "the command line's last event")
        stack.control.shutdown()
        wait_until(lambda: "worker-offline" in {event["type"] for event in first}, DEADLINE_S, "the worker's end")
    dump.signal_group(signal.SIGINT)
    wait_until(lambda: not dump.alive(), DEADLINE_S, "the command's end")
    assert stack.queues("events") == []
    assert [name for name in stack.subscriptions() if "_events_" in name] == []


def test_many_tasks_take_few_messages(stack: ControlStack) -> None:
    """The events of a hundred tasks arrive complete, in a few messages."""
    url = stack.client("sqs").create_queue(QueueName=f"{stack.prefix}-count")["QueueUrl"]
    arn = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    with subscriber(stack) as events:
        topic = stack.client("sns").create_topic(Name=f"{stack.prefix}_celeryev")["TopicArn"]
        stack.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        tasks = [stack.send("add", number, 1) for number in range(100)]
        wait_until(lambda: all(saw_all(events, task) for task in tasks), DEADLINE_S, "all tasks' events")
    counted = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
        "Attributes"
    ]["ApproximateNumberOfMessages"]
    assert 0 < int(counted) < len(tasks)
