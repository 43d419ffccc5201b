"""What became of messages reaches SQS in few requests, whatever SQS answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.counting_proxy import Answer, Call, CountingProxy
from local.processes import wait_until
from tasks.sqs import settling
from tasks.sqs.inbox import Inbox
from tasks.sqs.incoming import ATTRIBUTES, Incoming
from tests.tasks.sqs.conftest import GARBAGE, Broker, client_of, once, the_traceback, throughout

pytestmark = pytest.mark.stack

DELETE_BATCH = "AmazonSQS.DeleteMessageBatch"
DELETE = "AmazonSQS.DeleteMessage"
EXTEND_BATCH = "AmazonSQS.ChangeMessageVisibilityBatch"


@pytest.fixture
def new_inbox(proxy: CountingProxy) -> Iterator[Callable[[int], Inbox]]:
    """Make inboxes with a visibility timeout; they are closed at the end."""
    made: list[Inbox] = []

    def new(timeout_s: int = 60) -> Inbox:
        made.append(Inbox(client_of(proxy), timeout_s))
        return made[-1]

    yield new
    proxy.hang_up, proxy.instead = False, None
    for inbox in made:
        inbox.close()


def received(broker: Broker, inbox: Inbox, count: int, timeout_s: int = 60) -> list[str]:
    """Send messages, receive them into the inbox, return their tags."""
    for number in range(count):
        broker.sqs.send_message(QueueUrl=broker.url, MessageBody=str(number))
    return received_again(broker, inbox, count, timeout_s)


def received_again(broker: Broker, inbox: Inbox, count: int, timeout_s: int = 60) -> list[str]:
    """Receive messages into the inbox, return their tags."""
    tags: list[str] = []
    while len(tags) < count:
        found = broker.sqs.receive_message(
            QueueUrl=broker.url,
            MaxNumberOfMessages=min(10, count - len(tags)),
            VisibilityTimeout=timeout_s,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=list(ATTRIBUTES),
        )["Messages"]
        for message in map(Incoming.of, found):
            inbox.take(broker.url, message)
            tags.append(message.receipt_handle)
    return tags


def actions(proxy: CountingProxy) -> list[str]:
    """Return the actions asked for since the last time."""
    calls, proxy.calls = proxy.calls, []
    return [call.action for call in calls]


def refusing(*numbers: str, action: str, code: str = "InternalError", fault: bool = False) -> Callable[[Call], Any]:
    """Answer a batch with failures for some entries, as if the others were done."""

    def instead(call: Call) -> Answer | None:
        if call.action != action:
            return None
        ids = [entry["Id"] for entry in json.loads(call.body)["Entries"]]
        failed = [{"Id": i, "Code": code, "SenderFault": fault, "Message": "-"} for i in ids if i in numbers]
        done = [{"Id": i} for i in ids if i not in numbers]
        return Answer(200, json.dumps({"Successful": done, "Failed": failed}).encode())

    return instead


def garbage(action: str) -> Callable[[Call], Answer | None]:
    """Answer an action as no SQS does."""
    return lambda call: GARBAGE if call.action == action else None


def test_messages_that_end_together_are_deleted_in_batches_of_ten(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox]
) -> None:
    """25 acknowledgements are three requests, and the queue is empty."""
    inbox = new_inbox()
    for tag in received(broker, inbox, 25):
        inbox.delete(tag)
    broker.wait_empty(30)
    assert actions(proxy) == [DELETE_BATCH] * 3


def test_an_entry_that_fails_is_deleted_alone(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox]
) -> None:
    """SQS fails two of ten entries: they are asked for one by one."""
    inbox = new_inbox()
    tags = received(broker, inbox, 10)
    proxy.instead = refusing("3", "7", action=DELETE_BATCH)
    for tag in tags:
        inbox.delete(tag)
    wait_until(lambda: sum(broker.counts()) == 8, 30, "two messages deleted")
    assert actions(proxy) == [DELETE_BATCH, DELETE, DELETE]


def test_an_outage_loses_no_acknowledgement(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox]
) -> None:
    """SQS is out of reach when tasks end: their messages are deleted as soon as it is back."""
    inbox = new_inbox()
    tags = received(broker, inbox, 3)
    proxy.hang_up = True
    for tag in tags:
        inbox.delete(tag)
    with pytest.raises(TimeoutError):
        broker.wait_empty(1)
    proxy.hang_up = False
    broker.wait_empty(30)


@pytest.mark.parametrize(
    "action", [pytest.param(DELETE_BATCH, id="to-a-batch"), pytest.param(DELETE, id="to-an-entry-that-failed")]
)
def test_an_answer_that_is_none_of_sqs_s_loses_no_acknowledgement(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox], caplog: pytest.LogCaptureFixture, action: str
) -> None:
    """The log has a traceback: the message is deleted all the same, and so is that of a later task."""
    inbox = new_inbox()
    first, second = received(broker, inbox, 2)
    refuse, stumble = once(refusing("0", action=DELETE_BATCH)), once(garbage(action))
    proxy.instead = stumble if action == DELETE_BATCH else lambda call: refuse(call) or stumble(call)
    inbox.delete(first)
    wait_until(lambda: sum(broker.counts()) == 1, 30, "a message deleted")
    assert "trying again" in the_traceback(caplog)
    inbox.delete(second)
    broker.wait_empty(30)


@pytest.mark.parametrize(
    ("status", "code", "asked"),
    [
        pytest.param(400, "ThrottlingException", 2, id="throttled-is-tried-again"),
        pytest.param(503, "ServiceUnavailable", 2, id="unavailable-is-tried-again"),
        pytest.param(403, "AccessDenied", 1, id="denied-is-not"),
    ],
)
def test_a_refused_request_is_tried_again_where_that_may_help(  # noqa: PLR0917 - the table's columns and the fixtures
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox], status: int, code: str, asked: int
) -> None:
    """What only a person can mend is logged and left to the visibility timeout."""
    inbox = new_inbox()
    (tag,) = received(broker, inbox, 1)
    refusals = iter([Answer(status, json.dumps({"__type": code, "message": "-"}).encode())])
    proxy.instead = lambda _call: next(refusals, None)
    inbox.delete(tag)
    wait_until(lambda: len(proxy.calls) >= asked, 30, f"{asked} requests")
    inbox.close()
    assert actions(proxy) == [DELETE_BATCH] * asked
    assert sum(broker.counts()) == (0 if asked > 1 else 1)


def test_closing_settles_at_once(broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox]) -> None:
    """A worker that ends waits for no further acknowledgements to fill a batch."""
    inbox = new_inbox()
    deleted, released = received(broker, inbox, 2)
    inbox.delete(deleted)
    inbox.release([released])
    inbox.close()
    assert broker.counts() == (1, 0)
    assert sorted(actions(proxy)) == [EXTEND_BATCH, DELETE_BATCH]


def test_a_task_that_ends_after_the_connection_is_acknowledged(broker: Broker, new_inbox: Callable[..., Inbox]) -> None:
    """A worker that lost its connection and opened another loses no work that went on meanwhile."""
    inbox = new_inbox()
    (tag,) = received(broker, inbox, 1)
    inbox.close()
    inbox.delete(tag)
    assert broker.counts() == (0, 0)


def test_closing_without_sqs_ends_all_the_same(
    broker: Broker,
    proxy: CountingProxy,
    new_inbox: Callable[..., Inbox],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What could not be settled is counted in the log; it comes again."""
    monkeypatch.setattr(settling, "FLUSH_DEADLINE_S", 1.0)
    inbox = new_inbox()
    (tag,) = received(broker, inbox, 1)
    proxy.hang_up = True
    inbox.delete(tag)
    with caplog.at_level(logging.ERROR):
        inbox.close()
    assert "1 messages not settled" in caplog.text


def test_a_message_that_comes_again_while_it_is_in_work_is_not_run_twice(
    broker: Broker, new_inbox: Callable[..., Inbox]
) -> None:
    """SQS could not be told in time: the message's second receipt is the one that it is deleted by."""
    inbox = new_inbox()
    (first,) = received(broker, inbox, 1, timeout_s=1)
    broker.sqs.change_message_visibility(QueueUrl=broker.url, ReceiptHandle=first, VisibilityTimeout=0)
    (second,) = received_again(broker, inbox, 1)
    assert second != first
    assert (inbox.holds(first), inbox.holds(second)) == (True, False)
    inbox.delete(first)
    broker.wait_empty(30)


def test_messages_stay_invisible_for_as_long_as_their_tasks_take_and_no_longer(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox]
) -> None:
    """A visibility timeout of 2 s, tasks of 5 s: never visible; one request a beat; none after the tasks' end."""
    inbox = new_inbox(2)
    tags = received(broker, inbox, 10, timeout_s=2)
    throughout(5, lambda: broker.counts() == (0, 10))
    beats = actions(proxy)
    assert set(beats) == {EXTEND_BATCH}
    assert 5 <= len(beats) <= 8
    for tag in tags:
        inbox.delete(tag)
    broker.wait_empty(30)
    actions(proxy)
    throughout(1, lambda: not proxy.calls)


def test_a_beat_that_fails_is_made_up_for(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox]
) -> None:
    """SQS is out of reach when the message is to be extended: it stays invisible."""
    inbox = new_inbox(3)
    proxy.hang_up = True
    (tag,) = received(broker, inbox, 1, timeout_s=3)
    throughout(1.8, lambda: broker.counts() == (0, 1))
    proxy.hang_up = False
    throughout(2.5, lambda: broker.counts() == (0, 1))
    inbox.delete(tag)


def test_an_entry_that_sqs_itself_fails_is_extended_again(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox], caplog: pytest.LogCaptureFixture
) -> None:
    """One of two messages meets a fault of SQS's own in the first beat: it stays invisible, and nobody else gets it."""
    inbox = new_inbox(3)
    tags = received(broker, inbox, 2, timeout_s=3)
    proxy.instead = once(refusing("0", action=EXTEND_BATCH))
    throughout(4, lambda: broker.counts() == (0, 2))
    assert caplog.text.count("not kept invisible, trying again soon: InternalError") == 1
    assert "may be delivered again" not in caplog.text
    for tag in tags:
        inbox.delete(tag)
    broker.wait_empty(30)


def test_a_beat_whose_answer_is_none_of_sqs_s_is_made_up_for(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox], caplog: pytest.LogCaptureFixture
) -> None:
    """The log has a traceback: the message stays invisible all the same."""
    inbox = new_inbox(3)
    (tag,) = received(broker, inbox, 1, timeout_s=3)
    proxy.instead = once(garbage(EXTEND_BATCH))
    throughout(4, lambda: broker.counts() == (0, 1))
    assert "1 messages not kept invisible, trying again soon" in the_traceback(caplog)
    inbox.delete(tag)


def test_a_message_that_is_lost_is_extended_no_more(
    broker: Broker, proxy: CountingProxy, new_inbox: Callable[..., Inbox], caplog: pytest.LogCaptureFixture
) -> None:
    """SQS gave it to another worker: one warning, and no request that it would refuse again and again."""
    inbox = new_inbox(2)
    lost, kept = received(broker, inbox, 2, timeout_s=2)
    broker.sqs.delete_message(QueueUrl=broker.url, ReceiptHandle=lost)
    wait_until(lambda: len(proxy.calls) >= 4, 30, "four beats")
    assert caplog.text.count("may be delivered again") == 1
    assert broker.counts() == (0, 1)
    inbox.delete(kept)
    inbox.delete(lost)
    broker.wait_empty(30)
