"""Every request has an id."""

from __future__ import annotations

import uuid

import pytest

from tests.access import Holder, guarded_app

ALICE = Holder("alice")


def test_a_well_formed_id_is_kept() -> None:
    """A proxy's or a program's id comes back, on errors too."""
    client = guarded_app(ALICE).test_client()
    for address, status in (("/about", 401), ("/nowhere", 404), ("/healthz", 200)):
        answer = client.get(address, headers={"X-Request-ID": "proxy-12345678.a_b"})
        assert (answer.status_code, answer.headers["X-Request-ID"]) == (status, "proxy-12345678.a_b")


def test_an_error_names_its_request() -> None:
    """Who reports an error can quote the id in its body."""
    answer = guarded_app(ALICE).test_client().get("/about")
    assert answer.get_json()["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "<script>alert(1)</script>", "a b c d e f", "номер-12345678"])
def test_any_other_id_is_replaced(given: str) -> None:
    """What could hurt a log or a page is not repeated."""
    answer = guarded_app().test_client().get("/healthz", headers={"X-Request-ID": given.encode().decode("latin1")})
    assert uuid.UUID(answer.headers["X-Request-ID"])
