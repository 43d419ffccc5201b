"""Messages that nobody can handle stop nothing, and end where they can be looked at."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from local.processes import Supervised, wait_until
from tasks.sqs.dead_letters import settle_dead_letters
from tasks.sqs.letters import DeadLetters
from tests.tasks.sqs.conftest import Broker

pytestmark = pytest.mark.stack

APP = "tests.tasks.sqs.message_app"


def envelope(task: str, task_id: str, **changes: Any) -> str:
    """Return a task's message as JSON, changed."""
    message = {
        "body": "[[1, 2], {}, {}]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": f"{APP}.{task}", "id": task_id, "lang": "py"},
        "properties": {"delivery_info": {"exchange": "", "routing_key": "q"}, "delivery_tag": "-"},
    }
    return json.dumps(message | changes)


GARBAGE = {
    "it cannot be read: neither JSON": "hello",
    "it cannot be read: 'headers' is missing": '{"Records": []}',
    "it cannot be read: its body": envelope("add", "body", body="%", properties={"body_encoding": "base64"}),
    "it cannot be read: 'delivery_info' is no": envelope("add", "info", properties={"delivery_info": "abc"}),
    "it cannot be read: a value in it": envelope("add", "d", headers={"x": {"__type__": "decimal", "__value__": "x"}}),
    "its worker rejected it": envelope("add", "broken", body="[[1, 2"),
}


def letters_of(broker: Broker) -> dict[str, str]:
    """Return the dead letters' bodies by cause, leaving them where they are."""
    answer = broker.sqs.receive_message(
        QueueUrl=broker.dead_letters_url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["cause"]
    )
    return {found["MessageAttributes"]["cause"]["StringValue"]: found["Body"] for found in answer["Messages"]}


def cli(broker: Broker, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on the test's queue."""
    argv = (sys.executable, "-m", "tasks.sqs.dead_letters", "-A", APP, *arguments)
    return subprocess.run(argv, env={**os.environ, **broker.environ}, capture_output=True, text=True, check=False)


def send_poison(app: Any, broker: Broker, task_id: str) -> None:
    """Put a message among the dead letters as SQS does: received too often, and never deleted."""
    app.send_task(f"{APP}.add", (1, 2), task_id=task_id)
    receives = 0

    def is_dead() -> bool:
        nonlocal receives
        receives += len(broker.sqs.receive_message(QueueUrl=broker.url, VisibilityTimeout=0).get("Messages", []))
        return receives >= 3 and broker.counts() == (0, 0)

    wait_until(is_dead, 30, "the dead letter")


def test_what_cannot_be_read_becomes_a_dead_letter_and_the_next_task_runs(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """No base64, no task, no body, no arguments: each is a dead letter with its cause, at once."""
    for body in GARBAGE.values():
        broker.sqs.send_message(QueueUrl=broker.url, MessageBody=body)
    encoded = base64.b64encode(envelope("add", "good").encode()).decode()
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody=encoded)
    worker = start_worker()
    assert app.AsyncResult("good").get(timeout=30) == 3
    broker.wait_empty(30)
    found = letters_of(broker)
    assert len(found) == len(GARBAGE)
    for cause, body in GARBAGE.items():
        assert [found[known] for known in found if known.startswith(cause)] == [body] or cause.startswith("its worker")
    assert worker.log.read_text().count("is a dead letter now") == len(GARBAGE)


def test_a_task_that_no_worker_knows_fails_and_becomes_a_dead_letter(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """A new client and an old worker: the user reads why, and the message can be sent again after the update."""
    result = app.send_task(f"{APP}.tomorrow")
    start_worker()
    with pytest.raises(Exception, match="tomorrow"):
        result.get(timeout=30)
    wait_until(lambda: broker.dead_letters() == 1, 30, "the dead letter")
    broker.wait_empty(30)


def test_a_message_that_celery_stumbles_over_stops_nothing(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """A message without a task id raises in Celery: it comes again until SQS moves it, and others run meanwhile."""
    odd = envelope("add", "", headers={"task": f"{APP}.add"})
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody=odd)
    worker = start_worker()
    wait_until(lambda: "could not be handed over" in worker.log.read_text(), 30, "the log line")
    assert app.send_task(f"{APP}.add", (1, 2)).get(timeout=30) == 3
    wait_until(lambda: broker.dead_letters() == 1, 30, "the dead letter")


def test_a_task_that_kills_its_worker_ends_as_a_readable_failure_and_a_dead_letter(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """After the allowed number of deliveries its result names the cause, and the message stays inspectable."""
    result = app.send_task(f"{APP}.kill_worker")
    for attempt in range(2):
        worker = start_worker(f"victim-{attempt}")
        worker.process.wait(20)
    start_worker("last")
    with pytest.raises(Exception, match="2 times, and each worker ended before the task did"):
        result.get(timeout=30)
    wait_until(lambda: broker.dead_letters() == 1, 30, "the dead letter")
    broker.wait_empty(30)


def test_a_task_that_had_ended_is_not_called_poison(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """Its acknowledgements were lost, again and again: the result stands, and the message goes."""
    app.backend.store_result("done", 3, "SUCCESS")
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody=envelope("add", "done"))
    for _receive in range(2):
        wait_until(
            lambda: "Messages" in broker.sqs.receive_message(QueueUrl=broker.url, VisibilityTimeout=0), 30, "a receive"
        )
    start_worker()
    broker.wait_empty(30)
    assert app.AsyncResult("done").get(timeout=30) == 3
    assert broker.dead_letters() == 0


def test_a_dead_letter_that_sqs_moved_ends_as_a_failure_too(app: Any, broker: Broker) -> None:
    """No worker was there to store it: whoever settles dead letters does, once and with the call; the letter stays."""
    app.conf.result_extended = True
    send_poison(app, broker, "moved")
    known: set[str] = set()
    assert settle_dead_letters(app, known=known) == ["moved"]
    with pytest.raises(Exception, match="3 times, and each worker ended"):
        app.AsyncResult("moved").get(timeout=30)
    assert (app.AsyncResult("moved").name, app.AsyncResult("moved").args) == (f"{APP}.add", [1, 2])
    assert settle_dead_letters(app, known=known) == []
    assert settle_dead_letters(app, known=set()) == []
    assert broker.dead_letters() == 1


def test_dead_letters_are_listed_shown_and_sent_again(
    app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """An operator looks at them and, the cause mended, sends one: it runs, and its old failure is forgotten."""
    for task_id in ("first", "second"):
        send_poison(app, broker, task_id)
    DeadLetters(app).settle(set())
    listed = cli(broker, "list")
    assert "first  tests.tasks.sqs.message_app.add" in listed.stdout, listed.stderr
    assert "2 dead letters" in listed.stdout
    assert json.loads(cli(broker, "show", "first").stdout)["headers"]["task"] == f"{APP}.add"
    assert "1 sent again" in cli(broker, "redrive", "first").stdout
    assert broker.counts() == (1, 0)
    assert app.AsyncResult("first").state == "PENDING"
    assert "1 sent again" in cli(broker, "redrive", "--all").stdout
    start_worker()
    assert [app.AsyncResult(task_id).get(timeout=30) for task_id in ("first", "second")] == [3, 3]
    assert broker.dead_letters() == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param(("show", "nobody"), "error: there is no dead letter nobody", id="show-unknown"),
        pytest.param(("redrive", "nobody"), "error: there is no dead letter nobody", id="redrive-unknown"),
        pytest.param(("redrive",), "redrive takes either IDs or --all", id="redrive-nothing"),
        pytest.param(("-Q", "missing", "list"), "error: ", id="no-such-queue"),
    ],
)
def test_a_wrong_command_is_one_line_and_a_status(broker: Broker, arguments: tuple[str, ...], error: str) -> None:
    """Never a traceback."""
    done = cli(broker, *arguments)
    assert done.returncode > 0
    assert error in done.stderr
    assert "Traceback" not in done.stderr
