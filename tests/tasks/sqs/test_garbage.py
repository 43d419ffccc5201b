"""An answer that is none of AWS's ends no thread of the transport: it is logged whole, and the thread goes on.

What becomes of acknowledgements and of the heartbeat then is in test_acks.
"""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable, Iterator

import pytest
from kombu.utils.json import dumps

from bench.counting_proxy import Answer, Call, CountingProxy
from local.processes import wait_until
from tasks.sqs import control_queues, receiver, subscription
from tasks.sqs.burial import Burial
from tasks.sqs.control_plane import ControlOptions, ControlPlane
from tasks.sqs.incoming import ATTRIBUTES, Incoming
from tasks.sqs.names import COMMANDS_EXCHANGE, EVENTS_EXCHANGE
from tasks.sqs.receiver import Receiver
from tests.tasks.sqs.conftest import GARBAGE, Broker, client_of, once, the_traceback

pytestmark = pytest.mark.stack

DEADLINE_S = 20.0
NODE = f"one@test.{COMMANDS_EXCHANGE}"
SUBSCRIBER = f"{EVENTS_EXCHANGE}.one"
# SNS's answers are XML; as a load balancer gives them whose SNS is away, this one is not.
NO_SNS = Answer(503, b"no healthy upstream")


def to(action: str, answer: Answer) -> Callable[[Call], Answer | None]:
    """Answer so the first request for this action."""
    return once(lambda call: answer if call.action == action else None)


@pytest.fixture
def plane(proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """A deployment's remote control behind the proxy."""
    monkeypatch.setattr(subscription, "WAIT_S", 1)
    prefix = f"g{uuid.uuid4().hex[:8]}"
    sqs, sns = client_of(proxy), client_of(proxy, "sns")
    made = ControlPlane(sqs, sqs, sns, ControlOptions(prefix, {}, {}, event_interval_s=0.1))
    yield made
    proxy.instead = None
    made.close()


def message(tag: str) -> str:
    """Return a message as kombu hands it to the transport."""
    return dumps({"body": tag, "properties": {"delivery_tag": tag}})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(GARBAGE, id="no-object"),
        pytest.param(Answer(200, b"[]"), id="success-and-no-object"),
        pytest.param(Answer(200, b"\xff"), id="no-text"),
    ],
)
def test_a_worker_goes_on_receiving(
    broker: Broker,
    proxy: CountingProxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
) -> None:
    """It would look idle and alive, and get nothing any more."""
    monkeypatch.setattr(receiver, "FIRST_PAUSE_S", 0.01)
    sqs, loop = client_of(proxy), queue.SimpleQueue[Callable[[], None]]()
    delivered: list[Incoming] = []

    def receive(room: int) -> list[Incoming]:
        found = sqs.receive_message(
            QueueUrl=broker.url,
            MaxNumberOfMessages=room,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=list(ATTRIBUTES),
        )
        return [Incoming.of(each) for each in found.get("Messages", [])]

    running = Receiver(
        "q",
        receive=receive,
        post=loop.put,
        deliver=delivered.extend,
        give_back=lambda _messages: None,
    )
    proxy.instead = to("AmazonSQS.ReceiveMessage", answer)
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody="task")
    running.start(1, 1)
    loop.get(timeout=DEADLINE_S)()
    running.stop()
    running.join(DEADLINE_S)
    assert [each.body for each in delivered] == ["task"]
    assert "cannot be read, trying again" in the_traceback(caplog)


@pytest.mark.parametrize(
    ("action", "answer", "lost"),
    [
        pytest.param("AmazonSQS.ReceiveMessage", GARBAGE, False, id="receiving"),
        # A KeyError, which must not be taken for the LookupError of a queue that was closed.
        pytest.param("AmazonSQS.CreateQueue", Answer(200, b"{}"), True, id="making-the-queue-anew"),
    ],
)
def test_a_node_goes_on_hearing_commands(  # noqa: PLR0917 - the table's columns and the fixtures
    plane: ControlPlane,
    proxy: CountingProxy,
    caplog: pytest.LogCaptureFixture,
    action: str,
    answer: Answer,
    lost: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """What is received, and a queue that somebody deleted, may be answered with garbage: the next command is heard."""
    plane.open_inbox(NODE, COMMANDS_EXCHANGE)
    first = plane.inbox(NODE)
    proxy.instead = to(action, answer)
    if lost:
        plane.sqs.delete_queue(QueueUrl=first.url)
    node = plane.subscription(NODE)
    wait_until(lambda: any(record.exc_info for record in caplog.records), DEADLINE_S, "the traceback")
    wait_until(lambda: plane.queues.has(plane.inbox(NODE)), DEADLINE_S, "the queue")
    plane.topics.publish(COMMANDS_EXCHANGE, message("ping"))
    assert node.get(DEADLINE_S)["body"] == "ping"
    assert "cannot be read, trying again" in the_traceback(caplog)


def test_a_node_s_queues_go_on_being_marked_as_alive(
    plane: ControlPlane, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweep would take them for orphans."""
    monkeypatch.setattr(control_queues, "ALIVE_INTERVAL_S", 0.1)
    proxy.instead = to("AmazonSQS.TagQueue", GARBAGE)
    plane.open_inbox(NODE, COMMANDS_EXCHANGE)
    wait_until(lambda: [call.action for call in proxy.calls].count("AmazonSQS.TagQueue") > 2, DEADLINE_S, "more marks")
    assert "could not be marked as alive" in the_traceback(caplog)


def test_events_go_on_being_published(
    plane: ControlPlane, proxy: CountingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """An SNS that is away answers in plain text: the events wait for it, those of that moment too."""
    plane.open_inbox(SUBSCRIBER, EVENTS_EXCHANGE)
    proxy.instead = to("Publish", NO_SNS)
    plane.events.add({"body": "news", "content-type": "text/plain", "properties": {"delivery_tag": "1"}})
    assert plane.subscription(SUBSCRIBER).get(DEADLINE_S)["body"] == "news"
    assert "events cannot be published and wait" in the_traceback(caplog)


def test_a_letter_that_cannot_be_buried_now_is_kept(
    broker: Broker, proxy: CountingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes again, and the worker's loop, which this happens in, goes on."""
    burial = Burial(client_of(proxy))
    proxy.instead = to("AmazonSQS.SendMessage", GARBAGE)
    assert not burial.bury(broker.url, "letter", "cause")
    assert "could not become a dead letter now" in the_traceback(caplog)
    assert burial.bury(broker.url, "letter", "cause")
    assert broker.dead_letters() == 1
