"""What the web process writes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.access import Holder, guarded_app
from webapp import logs

ALICE = Holder("alice")


@dataclass(frozen=True)
class Written:
    """What was written for machines, and what happened."""

    requests: io.StringIO = field(default_factory=io.StringIO)
    events: io.StringIO = field(default_factory=io.StringIO)


@pytest.fixture
def written() -> Iterator[Written]:
    """Logging as gunicorn sets it up, but into memory."""
    written = Written()
    with ExitStack() as stack:
        for logger, stream, form in (
            (logging.getLogger(logs.REQUESTS), written.requests, "requests"),
            (logging.getLogger(), written.events, "events"),
        ):
            handler = logging.StreamHandler(stream)
            handler.setFormatter(logs.Lines(logs.CONFIG["formatters"][form]["format"]))
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
            stack.callback(logger.setLevel, logger.level)
            stack.callback(setattr, logger, "propagate", logger.propagate)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        yield written


def test_a_request_is_one_line_of_json(written: Written) -> None:
    """It tells the id, who asked what from where, the answer and how long it took; a line's end in a path is data."""
    client = guarded_app(ALICE).test_client()
    client.get("/about%0a%7B%22forged%22:1%7D", headers=ALICE.headers | {"X-Request-ID": "id-12345678"})
    client.get("/healthz")
    (line,) = written.requests.getvalue().splitlines()
    told = json.loads(line)
    assert told["duration_s"] >= 0
    assert {name: told[name] for name in ("request_id", "method", "path", "status", "caller", "address")} == {
        "request_id": "id-12345678",
        "method": "GET",
        "path": '/about\n{"forged":1}',
        "status": 404,
        "caller": "alice",
        "address": "127.0.0.1",
    }


def test_a_share_links_token_is_not_logged(written: Written) -> None:
    """Who reads the log cannot open what was shared."""
    guarded_app(ALICE).test_client().get(f"/about/{ALICE.id()}?share=TOKEN.TOKEN")
    assert "TOKEN" not in written.requests.getvalue() + written.events.getvalue()


def test_what_goes_wrong_is_logged_with_the_requests_id_and_without_secrets(
    written: Written,
) -> None:
    """A traceback shows neither key nor cookie; nothing that came from outside begins a line."""
    app = guarded_app(ALICE)

    def fail() -> str:
        raise ValueError(f"with {ALICE.key}\n2026-01-01 INFO forged")

    app.add_url_rule("/fail", "fail", fail)
    answer = app.test_client().get("/fail", headers=ALICE.headers | {"X-Request-ID": "id-12345678"})
    assert answer.status_code == 500
    assert "forged" not in answer.text
    told = written.events.getvalue()
    assert "ERROR id-12345678 " in told
    assert "ValueError: with ec_…" in told
    assert ALICE.key not in told
    assert [line for line in told.splitlines() if not line.startswith("    ")] == [told.splitlines()[0]]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET",
        "{'Authorization': 'bearer SECRET'}",
        "X-API-Key: SECRET",
        "('X-Api-Key', 'SECRET')",
        "Cookie: theme=dark; session=SECRET; a=b",
        "GET /batches/1?share=SECRET HTTP/1.1",
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET",
        "{'key': 'k', 'policy': 'SECRET', 'x-amz-signature': 'SECRET'}",
        f"my key is {'ec_' + 'SECRET' * 6}.",
        ALICE.line.replace(ALICE.line[-64:], "5EC2E7" * 10 + "5EC2"),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(text: str) -> None:
    """Keys, cookies, tokens and signatures are left out; the rest is kept."""
    hidden = logs.redact(text)
    assert "SECRET" not in hidden
    assert "5EC2E7" not in hidden
    assert logs.HIDDEN in hidden


@pytest.mark.parametrize("text", ["GET /results/000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef", "rec_1234567890", "keys"])
def test_what_is_no_secret_stays(text: str) -> None:
    """Ids can be searched for."""
    assert logs.redact(text) == text
