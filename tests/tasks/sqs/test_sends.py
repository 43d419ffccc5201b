"""Many tasks sent together take few requests, and each caller learns of its own task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from bench.counting_proxy import Answer, Call, CountingProxy, counting_proxy
from local.emulators import Emulators
from local.ports import free_port
from tasks.sqs import sends
from tasks.sqs.batches import split
from tasks.sqs.delay import DelayTooLongError
from tasks.sqs.incoming import HEADER, read
from tasks.sqs.sends import Call as TaskCall
from tasks.sqs.sends import request, send_many
from tests.tasks.sqs.conftest import Broker

ADD = "tests.tasks.sqs.message_app.add"
SEND_BATCH = "AmazonSQS.SendMessageBatch"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KIB = 1024


@pytest.fixture
def proxied(
    broker: Broker, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Any, CountingProxy]]:
    """The test's app, sending through a proxy, its queue known already."""
    with counting_proxy(emulators.aws_url) as proxy:
        monkeypatch.setenv("TEST_BROKER_URL", proxy.url.replace("http://", "sqs://local:local@"))
        app = request.getfixturevalue("app")
        assert send_many(app, calls(1), queue=broker.queue) == [None]
        broker.sqs.purge_queue(QueueUrl=broker.url)
        proxy.calls.clear()
        yield app, proxy


def calls(count: int, first: int = 0) -> list[TaskCall]:
    """Return calls of a sum."""
    return [TaskCall(ADD, f"task-{number}", (number, 1)) for number in range(first, first + count)]


def failing(task_id: str, *, fault: bool, times: int) -> Callable[[Call], Answer | None]:
    """Answer as SQS does that fails one task's entry `times` times, and takes the others."""
    left = [times]

    def instead(call: Call) -> Answer | None:
        entries = json.loads(call.body)["Entries"] if call.action == SEND_BATCH else []
        refused = [entry["Id"] for entry in entries if read(entry["MessageBody"])["headers"]["id"] == task_id]
        if not refused or not left[0]:
            return None
        left[0] -= 1
        failed = [{"Id": refused[0], "Code": "InternalError", "SenderFault": fault, "Message": "no"}]
        done = [{"Id": entry["Id"], "MessageId": "-", "MD5OfMessageBody": ""} for entry in entries]
        done = [entry for entry in done if entry["Id"] not in refused]
        return Answer(200, json.dumps({"Successful": done, "Failed": failed}).encode())

    return instead


@pytest.mark.stack
def test_25_tasks_are_sent_in_three_requests(proxied: tuple[Any, CountingProxy], broker: Broker) -> None:
    """Nothing else is asked for: the queue's URL is known since the first time."""
    app, proxy = proxied
    assert send_many(app, calls(25), queue=broker.queue) == [None] * 25
    assert [call.action for call in proxy.calls] == [SEND_BATCH] * 3
    assert broker.counts() == (25, 0)


@pytest.mark.stack
def test_large_tasks_are_sent_in_requests_of_256_kib(proxied: tuple[Any, CountingProxy], broker: Broker) -> None:
    """Six tasks that are 100 KiB each in SQS go by twos."""
    app, proxy = proxied
    large = [TaskCall(ADD, f"large-{number}", ("x" * 52 * KIB, 1)) for number in range(6)]
    assert send_many(app, large, queue=broker.queue) == [None] * 6
    assert [call.action for call in proxy.calls] == [SEND_BATCH] * 3
    assert broker.counts() == (6, 0)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("fault", "times", "sent"),
    [
        pytest.param(False, 1, True, id="sqs-s-fault-is-tried-again"),
        pytest.param(False, 9, False, id="sqs-s-fault-that-lasts"),
        pytest.param(True, 1, False, id="the-sender-s-fault-is-not-tried-again"),
    ],
)
def test_an_entry_that_fails_fails_its_own_task(  # noqa: PLR0917 - the table's columns and the fixtures
    proxied: tuple[Any, CountingProxy],
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    fault: bool,  # noqa: FBT001 - a column of the table
    times: int,
    sent: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The sixteenth of twenty tasks, in the second request: the other nineteen are sent."""
    monkeypatch.setattr(sends, "PAUSE_S", 0.01)
    app, proxy = proxied
    proxy.instead = failing("task-15", fault=fault, times=times)
    errors = send_many(app, calls(20), queue=broker.queue)
    assert [number for number, error in enumerate(errors) if error] == ([] if sent else [15])
    assert sent or "InternalError: no" in str(errors[15])


@pytest.mark.stack
def test_a_request_that_is_refused_fails_all_its_tasks_and_no_others(
    proxied: tuple[Any, CountingProxy], broker: Broker
) -> None:
    """Of two requests the second is denied: the first one's tasks are sent."""
    app, proxy = proxied
    answers = iter([None, Answer(403, b'{"__type": "AccessDenied", "message": "not you"}')])
    proxy.instead = lambda _call: next(answers, None)
    errors = send_many(app, calls(15), queue=broker.queue)
    assert errors[:10] == [None] * 10
    assert all("AccessDenied" in str(error) for error in errors[10:])
    assert broker.counts() == (10, 0)


@pytest.mark.stack
def test_a_task_that_cannot_be_sent_at_all_fails_alone(proxied: tuple[Any, CountingProxy], broker: Broker) -> None:
    """One task is due too late for SQS, one has an argument that is no JSON: the third is sent."""
    app, _proxy = proxied
    odd = [TaskCall(ADD, "late", (1, 1), countdown=3600), TaskCall(ADD, "odd", (object(), 1)), *calls(1)]
    late, unencodable, sent = send_many(app, odd, queue=broker.queue)
    assert "900 s at most" in str(late)
    assert "not JSON serializable" in str(unencodable)
    assert sent is None
    assert broker.counts() == (1, 0)


@pytest.mark.stack
def test_threads_send_at_the_same_time(app: Any, broker: Broker) -> None:
    """A web server's threads share the app: every task is there once, under its own id."""
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(
            threads.map(lambda first: send_many(app, calls(25, first=first), queue=broker.queue), range(0, 200, 25))
        )
    assert outcomes == [[None] * 25] * 8
    ids = set()
    while messages := broker.sqs.receive_message(QueueUrl=broker.url, MaxNumberOfMessages=10).get("Messages"):
        ids |= {read(message["Body"])["headers"]["id"] for message in messages}
    assert ids == {f"task-{number}" for number in range(200)}


@pytest.mark.stack
def test_without_sqs_sending_says_so(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Nobody listens: an error of kombu's, as for a single send."""
    monkeypatch.setenv("TEST_BROKER_URL", f"sqs://local:local@127.0.0.1:{free_port()}")
    app = request.getfixturevalue("app")
    with pytest.raises(OperationalError):
        send_many(app, calls(1), queue=broker.queue)


def message(**headers: Any) -> dict[str, Any]:
    """Return a message as kombu makes it."""
    return {"body": "[[], {}, {}]", "headers": headers, "properties": {"delivery_info": {}}}


def test_sqs_keeps_the_delay_and_the_message_has_none() -> None:
    """A worker that read an ETA would hold the message itself."""
    sent = request(message(id="1", eta="2026-11-21T12:00:10+00:00"), NOW, in_base64=True)
    assert sent["DelaySeconds"] == 10
    assert read(sent["MessageBody"])["headers"] == {"id": "1", "eta": None}


def test_a_refused_delay_changes_nothing() -> None:
    """The caller may change the countdown and send the same message again."""
    late = message(id="1", eta="2026-11-22T12:00:00+00:00")
    with pytest.raises(DelayTooLongError):
        request(late, NOW, in_base64=True)
    assert late["headers"]["eta"] == "2026-11-22T12:00:00+00:00"


def test_what_a_receipt_told_is_not_sent_on() -> None:
    """A retry is a new message: it has been received never."""
    sent = request(message(id="1", **{HEADER: {"receive_count": 2}}), NOW, in_base64=False)
    assert HEADER not in read(sent["MessageBody"])["headers"]


def test_a_group_and_attributes_are_passed_on() -> None:
    """SQS's fair queues and other readers of the queue go by them."""
    grouped = message(id="1")
    grouped["properties"] |= {"MessageGroupId": "tenant", "message_attributes": {"a": {"StringValue": "b"}}}
    sent = request(grouped, NOW, in_base64=False)
    assert sent["MessageGroupId"] == "tenant"
    assert sent["MessageAttributes"] == {"a": {"StringValue": "b"}}


@pytest.mark.parametrize(
    ("sizes_bytes", "lengths"),
    [
        pytest.param([], [], id="none"),
        pytest.param([1], [1], id="one"),
        pytest.param([1] * 10, [10], id="ten"),
        pytest.param([1] * 23, [10, 10, 3], id="more-than-ten"),
        pytest.param([100 * KIB] * 5, [2, 2, 1], id="by-size"),
        pytest.param([128 * KIB, 128 * KIB, 1], [2, 1], id="just-256-KiB"),
        pytest.param([1, 300 * KIB, 1], [1, 1, 1], id="one-too-large-goes-alone"),
    ],
)
def test_batches_keep_to_ten_entries_and_256_kib(sizes_bytes: list[int], lengths: list[int]) -> None:
    """No batch is refused whole because of its size, and none is smaller than it need be."""
    assert [len(batch) for batch in split(sizes_bytes, sizes_bytes)] == lengths
