"""The queue's counts are read whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from local.emulators import Emulators
from scaler.backlog import EMPTY_READS, Backlogs, Believed, ReadError, counts
from scaler.state import Backlog

EMPTY, SOME = Backlog(0, 0, 0), Backlog(5, 1, 0)


@pytest.fixture
def sqs(emulators: Emulators) -> Any:
    """A client of SQS."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106 - any key does
    return session.client("sqs", endpoint_url=emulators.aws_url)


@pytest.mark.stack
def test_visible_in_flight_and_delayed_messages_are_told_apart(sqs: Any) -> None:
    """Each kind of message has its count."""
    queue = f"backlog-{uuid.uuid4().hex[:8]}"
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=60)
    sqs.receive_message(QueueUrl=url)
    assert Backlogs(sqs, queue).read() == Backlog(visible=2, in_flight=1, delayed=1)


@pytest.mark.stack
def test_a_queue_that_cannot_be_read_is_an_error(sqs: Any) -> None:
    """A missing queue is not an empty one."""
    with pytest.raises(ReadError, match="no-such-queue"):
        Backlogs(sqs, "no-such-queue").read()


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"ApproximateNumberOfMessages": "1"}, id="counts are missing"),
        pytest.param({"ApproximateNumberOfMessages": "many"}, id="not a number"),
    ],
)
def test_a_count_that_is_none_is_an_error(attributes: Mapping[Any, str]) -> None:
    """What cannot be understood is not 0."""
    with pytest.raises((KeyError, ValueError)):
        counts(attributes)


def test_a_negative_count_is_an_error() -> None:
    """A queue cannot have fewer than no messages."""
    with pytest.raises(ValueError, match="negative"):
        counts(
            {
                "ApproximateNumberOfMessages": "-1",
                "ApproximateNumberOfMessagesNotVisible": "0",
                "ApproximateNumberOfMessagesDelayed": "0",
            }
        )


@pytest.mark.parametrize(
    ("reads", "believed"),
    [
        pytest.param([EMPTY], EMPTY, id="empty from the start"),
        pytest.param([SOME], SOME, id="messages are believed at once"),
        pytest.param([SOME, EMPTY], SOME, id="a sudden 0 is not"),
        pytest.param([SOME, *[EMPTY] * (EMPTY_READS - 1)], SOME, id="nor its repetition"),
        pytest.param([SOME, *[EMPTY] * EMPTY_READS], EMPTY, id="until it has been read often enough"),
        pytest.param([SOME, EMPTY, EMPTY, SOME, EMPTY], SOME, id="messages start it anew"),
    ],
)
def test_a_false_zero_is_not_believed(reads: list[Backlog], believed: Backlog) -> None:
    """SQS's counts are approximate: a queue is empty when several reads in a row say so."""
    state = Believed()
    for read in reads:
        state = state.after(read)
    assert state.backlog == believed
