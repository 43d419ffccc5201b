"""The transport's decisions: delays, how long a message is kept invisible, what can be read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.sqs.custody import Lease
from tasks.sqs.delay import DelayTooLongError, delay_s
from tasks.sqs.incoming import UnreadableError, read
from tasks.sqs.letters import DeadLetter
from tasks.sqs.visibility import extension_s

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("eta", "expected_s"),
    [
        pytest.param(None, 0, id="no-eta"),
        pytest.param("2026-11-21T12:00:10+00:00", 10, id="ten-seconds"),
        pytest.param("2026-11-21T12:00:00.2+00:00", 1, id="rounded-up"),
        pytest.param("2026-11-21T11:59:00+00:00", 0, id="past"),
        pytest.param("2026-11-21T12:15:00", 900, id="naive-is-utc"),
        pytest.param("2026-11-21T13:01:00+01:00", 60, id="other-zone"),
    ],
)
def test_an_eta_becomes_seconds_of_delay(eta: str | None, expected_s: int) -> None:
    """SQS holds the message back, no worker does."""
    assert delay_s(eta, NOW) == expected_s


def test_an_eta_beyond_sqs_s_limit_is_refused() -> None:
    """The caller reads how far ahead it was and what the limit is."""
    with pytest.raises(DelayTooLongError, match=r"901 s ahead.*900 s at most"):
        delay_s("2026-11-21T12:15:01+00:00", NOW)


@pytest.mark.parametrize(
    ("held_s", "expected_s"),
    [
        pytest.param(0, 60, id="new"),
        pytest.param(3600, 60, id="an-hour"),
        pytest.param(43_190, 10, id="last-ten-seconds"),
        pytest.param(43_300, 0, id="beyond-12-hours"),
    ],
)
def test_a_message_is_kept_invisible_for_12_hours_at_most(held_s: float, expected_s: int) -> None:
    """SQS counts 12 hours from the receive and refuses more."""
    assert extension_s(Lease("queue", "id", "tag", "handle", received_at_s=0.0), 60, held_s) == expected_s


def encoded(body: str) -> str:
    """Return base64 of a text."""
    return base64.b64encode(body.encode()).decode()


def envelope(**changes: Any) -> str:
    """Return a message of kombu's as JSON, changed."""
    properties = {"body_encoding": "base64", "delivery_info": {"routing_key": "q"}, "delivery_tag": "1"}
    message = {"headers": {"id": "1", "task": "add"}, "properties": properties, "body": encoded("[[1], {}, {}]")}
    return json.dumps(message | changes)


def marked(marker: object, value: object) -> dict[str, Any]:
    """Return headers with a value that JSON has no type for, as kombu writes it."""
    return {"value": {"__type__": marker, "__value__": value}}


@pytest.mark.parametrize("body", [pytest.param(envelope(), id="json"), pytest.param(encoded(envelope()), id="base64")])
def test_a_message_of_kombu_is_read(body: str) -> None:
    """In JSON, which people can read in the console, or in base64 of it, which kombu sends unless told otherwise."""
    found = read(body)
    assert found["headers"] == {"id": "1", "task": "add"}
    assert found["body"] == "[[1], {}, {}]"
    assert "body_encoding" not in found["properties"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param("", "neither JSON nor base64", id="empty"),
        pytest.param("%%% not base64 %%%", "neither JSON nor base64", id="text"),
        pytest.param("{not json", "neither JSON nor base64", id="broken-json"),
        pytest.param(encoded("[1, 2]"), "a JSON list, not an object", id="list"),
        pytest.param(base64.b64encode(b"\xff\xfe").decode(), "neither JSON nor base64", id="bytes"),
        pytest.param('{"Records": []}', "'headers' is missing", id="an-s3-event"),
        pytest.param(envelope(headers=None), "'headers' is missing", id="no-headers"),
        pytest.param(envelope(properties=[]), "'properties' is missing", id="odd-properties"),
        pytest.param(envelope(body=7), "'body' is missing", id="odd-body"),
        pytest.param(envelope(body="%"), "its body is no base64", id="body-no-base64"),
        pytest.param('{"a":' * 100_000, "neither JSON nor base64", id="deep"),
        pytest.param(envelope(headers=marked("decimal", "x")), "a value in it .*ConversionSyntax", id="odd-decimal"),
        pytest.param(envelope(headers=marked("datetime", 3)), "a value in it .*TypeError", id="odd-date"),
        pytest.param(envelope(headers=marked("bytes", 3)), "a value in it .*AttributeError", id="odd-bytes"),
        pytest.param(envelope(headers=marked([], 3)), "a value in it .*TypeError", id="odd-marker"),
        pytest.param(envelope(properties={"delivery_info": "q"}), "'delivery_info' is no Mapping", id="odd-info"),
        pytest.param(envelope(properties={"delivery_info": 5}), "'delivery_info' is no Mapping", id="number-for-info"),
    ],
)
def test_what_cannot_be_read_is_told_from_what_can(body: str, why: str) -> None:
    """The cause goes with the message to the dead letters."""
    with pytest.raises(UnreadableError, match=why):
        read(body)


def test_a_dead_letter_that_cannot_be_read_can_be_looked_at() -> None:
    """It is no task, and hides no other letter from the commands that look after them."""
    attributes = {"SentTimestamp": "0", "ApproximateReceiveCount": "1"}
    body = envelope(headers=marked("decimal", "x"))
    letter = DeadLetter.of({"MessageId": "1", "ReceiptHandle": "-", "Body": body, "Attributes": attributes})  # type: ignore[typeddict-item]  # the names are SQS's
    assert (letter.id, letter.task, letter.body) == ("1", "", body)
