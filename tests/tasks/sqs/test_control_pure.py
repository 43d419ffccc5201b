"""What of remote control needs no AWS: names, the gathering of events, the lending of queues, what a sweep removes."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from local.processes import wait_until
from tasks.sqs import event_publisher
from tasks.sqs.control_messages import Opener, Pauses
from tasks.sqs.control_plane import ControlOptions
from tasks.sqs.control_queues import ControlQueue
from tasks.sqs.event_publisher import MAX_EVENTS_BYTES, MAX_WAITING_MESSAGES, EventPublisher, merged
from tasks.sqs.names import MAX_QUEUE_NAME_CHARS, Kind, QueueName, checked_prefix, kind_of, new_name, node_of, parse
from tasks.sqs.replies import MAX_ROUTES, ReplyQueues, ReplyRoutes
from tasks.sqs.sweep import Found, dangling, of_node, orphans
from tasks.sqs.topics import policy, queue_arn

NOW_S = 1_800_000_000
HOUR_S = 3600
DEADLINE_S = 5.0


# Names


@given(
    prefix=st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True),
    kind=st.sampled_from(Kind),
    owner=st.text(max_size=300),
)
def test_names_fit_sqs_and_tell_their_parts(prefix: str, kind: Kind, owner: str) -> None:
    """Every name is one that SQS takes, and is read back as what it was made of."""
    name = new_name(prefix, kind, owner, NOW_S)
    assert len(str(name)) <= MAX_QUEUE_NAME_CHARS
    assert all(char.isascii() and (char.isalnum() or char in "-_") for char in str(name))
    assert parse(str(name), prefix) == name


def test_names_are_never_used_twice() -> None:
    """The same node gets another name each time, for AWS refuses a deleted one for a minute."""
    assert len({str(new_name("blue", Kind.NODE, "worker@host", NOW_S)) for _ in range(10)}) == 10


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("classify", id="a queue of tasks"),
        pytest.param("blue-dead-letters", id="a dead-letter queue"),
        pytest.param("blue-2_node_worker_20261121T041500-9f3c2a", id="another deployment"),
        pytest.param("blue_celery-pidbox", id="a topic"),
        pytest.param("blue_other_worker_20261121T041500-9f3c2a", id="an unknown kind"),
        pytest.param("blue_node_worker_yesterday-9f3c2a", id="no start"),
        pytest.param("blue_node_worker_20261399T041500-9f3c2a", id="a start that is no date"),
    ],
)
def test_other_queues_are_not_taken_for_control_queues(name: str) -> None:
    """A sweep of `blue` never touches what is not its own."""
    assert parse(name, "blue") is None


@pytest.mark.parametrize("prefix", ["", "a_b", "1st", "-a", "a" * 21, "ü", "a.b"])
def test_a_prefix_that_makes_names_ambiguous_is_refused(prefix: str) -> None:
    """The reason names the option and shows what was given."""
    with pytest.raises(ValueError, match=f"control_prefix: .*got '{prefix}'"):
        checked_prefix(prefix)


@pytest.mark.parametrize(
    ("queue", "kind"),
    [
        pytest.param("w1@host.domain.celery.pidbox", Kind.NODE, id="node"),
        pytest.param("5f0c-11.reply.celery.pidbox", Kind.REPLIES, id="replies"),
        pytest.param("celeryev.5f0c-11", Kind.EVENTS, id="events"),
        pytest.param("classify", None, id="tasks"),
        pytest.param("celeryevents", None, id="tasks, with a name that is nearly one of events"),
    ],
)
def test_celerys_names_tell_the_kind(queue: str, kind: Kind | None) -> None:
    """Celery's own name of a queue says what it is for."""
    assert kind_of(queue) == kind


def test_celerys_name_tells_the_node() -> None:
    """A node's name may hold dots."""
    assert node_of("w1@host.domain.celery.pidbox") == "w1@host.domain"


def test_options_of_a_deployment_are_read() -> None:
    """What is not given has the default."""
    options = ControlOptions.of({"control_prefix": "blue", "event_interval_s": 5, "region": "eu-west-1"})
    assert options == ControlOptions("blue", {}, {}, 5)


def test_a_queue_takes_messages_of_its_topic_alone() -> None:
    """The policy names the queue and, as its condition, the topic."""
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:blue_celeryev"
    queue = queue_arn(topic, "blue_events_x")
    statement: Any = policy(queue, topic)["Statement"]
    assert queue == "arn:aws-cn:sqs:cn-north-1:123456789012:blue_events_x"
    assert statement[0]["Resource"] == queue
    assert statement[0]["Condition"] == {"ArnEquals": {"aws:SourceArn": topic}}


# Events


def event_message(content: object, content_type: str = "application/json") -> dict[str, Any]:
    """Make a message of events as kombu hands it to the transport."""
    body = base64.b64encode(json.dumps(content).encode()).decode()
    return {"body": body, "content-type": content_type, "properties": {"body_encoding": "base64", "delivery_tag": "1"}}


def events_of(message: dict[str, Any]) -> Any:
    """Read a message's events back, as kombu does."""
    in_base64 = message["properties"]["body_encoding"] == "base64"
    return json.loads(base64.b64decode(message["body"]) if in_base64 else message["body"])


def test_events_are_joined_in_order() -> None:
    """Single events and lists of them become one list."""
    messages = [event_message({"n": 1}), event_message([{"n": 2}, {"n": 3}]), event_message({"n": 4})]
    assert [events_of(message) for message in merged(messages)] == [[{"n": number} for number in (1, 2, 3, 4)]]


def test_joined_events_fit_a_message() -> None:
    """What would be too large for SNS is divided, and nothing is lost."""
    messages = [event_message({"n": number, "text": "x" * 10_000}) for number in range(30)]
    joined = list(merged(messages))
    assert [event["n"] for message in joined for event in events_of(message)] == list(range(30))
    assert all(len(message["body"]) < 2 * MAX_EVENTS_BYTES for message in joined)
    assert len(joined) < len(messages)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
events = st.dictionaries(st.text(max_size=5), json_values, max_size=3)


@given(
    contents=st.lists(events | st.lists(events, max_size=4), max_size=12),
    in_base64=st.booleans(),
    escaped=st.booleans(),
    max_bytes=st.integers(1, 200),
)
@settings(deadline=None)
def test_joining_changes_no_event(contents: list[Any], max_bytes: int, *, in_base64: bool, escaped: bool) -> None:
    """Whatever the events are, the same come out in the same order, and no message is larger than its limit allows."""
    texts = [json.dumps(content, ensure_ascii=escaped) for content in contents]
    messages = [event_message(content) for content in contents]
    for message, text in zip(messages, texts, strict=True):
        message["body"] = base64.b64encode(text.encode()).decode() if in_base64 else text
        message["properties"]["body_encoding"] = "base64" if in_base64 else "utf-8"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(event_publisher, "MAX_EVENTS_BYTES", max_bytes)
        joined = list(merged(messages))
    expected = [event for content in contents for event in (content if isinstance(content, list) else [content])]
    assert [event for message in joined for event in events_of(message)] == expected
    longest = max((len(text.encode()) for text in texts), default=0)
    # Between two events a comma and a space are added, and brackets around them all.
    assert all(len(message["body"].encode()) <= max(max_bytes, longest) + 2 * max(1, len(texts)) for message in joined)


def test_events_in_another_serialization_are_passed_on() -> None:
    """What cannot be joined is published as it is."""
    message = event_message({}, content_type="application/x-yaml")
    assert next(merged([message, event_message({"n": 1})])) is message


def test_events_wait_while_sns_does_not_answer() -> None:
    """Publishing blocks nobody, is tried again, and drops the oldest when too many wait."""
    answers = threading.Event()
    published: list[str] = []

    def publish(text: str) -> None:
        if not answers.is_set():
            raise EndpointConnectionError(endpoint_url="http://sns")
        published.append(text)

    publisher = EventPublisher(publish, interval_s=0.01)
    for number in range(MAX_WAITING_MESSAGES + 10):
        publisher.add(event_message({"n": number}, content_type="text/plain"))
    answers.set()
    wait_until(lambda: len(published) >= MAX_WAITING_MESSAGES, DEADLINE_S, "the events that were kept")
    assert events_of(json.loads(published[-1])) == {"n": MAX_WAITING_MESSAGES + 9}
    publisher.close()


def test_the_last_events_are_published_before_the_end() -> None:
    """Closing does not wait for the interval."""
    published: list[str] = []
    publisher = EventPublisher(published.append, interval_s=60)
    publisher.add(event_message({"n": 1}))
    publisher.close()
    assert len(published) == 1


# Replies


def test_calls_at_the_same_time_have_queues_of_their_own() -> None:
    """A queue is lent to one call at a time, and used again afterwards."""
    made: list[ControlQueue] = []

    def create() -> ControlQueue:
        made.append(ControlQueue(f"q{len(made)}", f"http://q{len(made)}"))
        return made[-1]

    replies = ReplyQueues(create, lambda _queue: True)
    first, second = replies.lend("one"), replies.lend("two")
    assert first != second
    assert replies.lend("one") == first
    replies.give_back("one")
    assert replies.lend("three") == first
    assert len(made) == len({first, second})


def test_a_queue_that_somebody_deleted_is_not_lent() -> None:
    """The next call gets a new one."""
    names = iter("ab")
    gone: set[str] = set()
    replies = ReplyQueues(lambda: ControlQueue(next(names), ""), lambda queue: queue.name not in gone)
    assert replies.lend("one").name == "a"
    replies.give_back("one")
    gone.add("a")
    assert replies.lend("two").name == "b"


def test_a_worker_forgets_old_calls() -> None:
    """What is remembered for replies does not grow with the number of calls."""
    routes = ReplyRoutes()
    for number in range(MAX_ROUTES + 1):
        routes.note(str(number), "url")
    assert routes.url("0") is None
    assert routes.url(str(MAX_ROUTES)) == "url"


# Receiving


def test_a_message_that_comes_twice_is_opened_once() -> None:
    """SQS delivers at least once; a command is carried out once."""
    message = {"Body": json.dumps({"body": "", "properties": {"delivery_tag": "1"}})}
    opener = Opener()
    assert len(opener.open([message, message])) + len(opener.open([message])) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="broken-json"),
        pytest.param("[]", id="list"),
        pytest.param("null", id="null"),
        pytest.param("hello", id="text"),
        pytest.param('{"properties": {}}', id="no-tag"),
        pytest.param('{"properties": {"delivery_tag": []}}', id="odd-tag"),
        pytest.param('{"a": {"__type__": "decimal", "__value__": "x"}}', id="odd-decimal"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_message_that_is_not_kombus_is_dropped(body: str) -> None:
    """A foreign message in a control queue harms nobody, and the one beside it is opened."""
    good = {"Body": json.dumps({"body": "", "properties": {"delivery_tag": "1"}})}
    assert len(Opener().open([{"Body": body}, good])) == 1


def test_pauses_grow_and_end() -> None:
    """Failures are retried ever more slowly, up to a bound; an answer ends that and is noticed once."""
    pauses = Pauses()
    assert [pauses.failed() for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert [pauses.succeeded(), pauses.succeeded()] == [True, False]
    assert pauses.failed() == 0.5


# Sweep


def found(alive_ago_s: int | None, *, kind: Kind = Kind.NODE, owner: str = "worker@host") -> Found:
    """A queue that is two hours old."""
    name = QueueName("blue", kind, "worker-host", NOW_S - 2 * HOUR_S, "abcdef")
    return Found(name, "url", owner, None if alive_ago_s is None else NOW_S - alive_ago_s)


@pytest.mark.parametrize(
    ("alive_ago_s", "is_orphan"),
    [
        pytest.param(0, False, id="alive now"),
        pytest.param(299, False, id="between two marks"),
        pytest.param(1800, False, id="at the limit"),
        pytest.param(1801, True, id="silent for too long"),
        pytest.param(None, False, id="unknown"),
        pytest.param(-600, False, id="its clock is ahead"),
    ],
)
def test_queues_of_silent_owners_are_orphans(alive_ago_s: int | None, *, is_orphan: bool) -> None:
    """A queue is removed when its owner has been silent for too long, never when that is not known."""
    queue = found(alive_ago_s)
    assert orphans([queue], NOW_S, 1800) == ([queue] if is_orphan else [])


@pytest.mark.parametrize(
    ("node", "is_its"),
    [
        pytest.param("worker@i-0a1", True, id="by its name"),
        pytest.param("i-0a1", True, id="by its host"),
        pytest.param("i-0a", False, id="by a part of its host"),
        pytest.param("worker", False, id="by its first name"),
        pytest.param("", False, id="by nothing"),
    ],
)
def test_a_nodes_queue_is_found(node: str, *, is_its: bool) -> None:
    """Terminating one node removes its own queue and no other."""
    queue = found(0, owner="worker@i-0a1")
    assert of_node([queue, found(0, owner="other@i-9"), found(0, kind=Kind.EVENTS, owner=node)], node) == (
        [queue] if is_its else []
    )


@pytest.mark.parametrize(
    ("endpoint", "is_dangling"),
    [
        pytest.param("blue_node_gone_{old}-aa", True, id="its queue is gone"),
        pytest.param("blue_node_there_{old}-aa", False, id="its queue is there"),
        pytest.param("blue_node_new_{new}-aa", False, id="its queue may not be listed yet"),
        pytest.param("orders", False, id="of a queue that is not ours"),
        pytest.param("green_node_gone_{old}-aa", False, id="of another deployment"),
    ],
)
def test_subscriptions_without_a_queue_are_dangling(endpoint: str, *, is_dangling: bool) -> None:
    """A subscription is removed when its queue is gone for certain."""
    name = endpoint.format(old="20261121T041500", new="20270115T080000")
    subscriptions = {"arn": f"arn:aws:sqs:us-east-1:1:{name}"}
    there = {"blue_node_there_20261121T041500-aa"}
    assert dangling(subscriptions, there, "blue", NOW_S, 1800) == (["arn"] if is_dangling else [])
