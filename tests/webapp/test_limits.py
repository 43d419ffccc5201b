"""How often one may ask."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.access import Holder, guarded_app
from webapp.limits import GUESSES_PER_MIN

ALICE, BOB = Holder("alice"), Holder("bob")


def asked(client: FlaskClient, times: int, **more: Any) -> list[int]:
    """Ask some times; return the statuses."""
    return [client.get("/about", **more).status_code for _ in range(times)]


def test_a_keys_holder_may_ask_so_often_from_everywhere_together() -> None:
    """Past the limit 429 says when to come back; another key's holder is not held up."""
    client = guarded_app(ALICE, BOB, RATE_LIMIT_PER_MIN="5").test_client()
    statuses = [
        client.get("/about", headers=ALICE.headers, environ_base={"REMOTE_ADDR": f"192.0.2.{n}"}).status_code
        for n in range(6)
    ]
    assert statuses == [200] * 5 + [429]
    answer = client.get("/about", headers=ALICE.headers)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "at most 5 a minute" in answer.get_json()["error"]
    assert client.get("/about", headers=BOB.headers).status_code == 200


def test_an_address_without_a_key_may_ask_so_often() -> None:
    """Strangers are counted by their address."""
    client = guarded_app(ALICE, RATE_LIMIT_PER_MIN="5").test_client()
    assert asked(client, 6) == [401] * 5 + [429]
    assert asked(client, 1, environ_base={"REMOTE_ADDR": "192.0.2.2"}) == [401]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/nowhere", 404, id="unknown-address"),
        pytest.param("DELETE", "/about", 405, id="wrong-method"),
        pytest.param("BREW", "/about", 405, id="invented-method"),
    ],
)
def test_what_nothing_answers_counts_too(method: str, path: str, status: int) -> None:
    """Who asks for nothing that is there costs time as well."""
    client = guarded_app(ALICE, RATE_LIMIT_PER_MIN="3").test_client()
    statuses = [client.open(path, method=method).status_code for _ in range(4)]
    assert statuses == [status] * 3 + [429]


def test_keys_cannot_be_guessed_fast() -> None:
    """After some wrong keys an address is held up, in the API and at the sign-in page; a right key still opens."""
    client = guarded_app(ALICE).test_client()
    assert asked(client, GUESSES_PER_MIN + 1, headers={"X-API-Key": "ec_wrong"}) == [401] * GUESSES_PER_MIN + [429]
    answer = client.post("/login", data={"key": ALICE.key})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert asked(client, 1, headers=ALICE.headers) == [200]


def test_a_proxys_clients_are_told_apart_only_where_a_proxy_is_expected() -> None:
    """X-Forwarded-For counts with WEB_PROXIES; without, it is a lie that would let a guesser start anew each time."""

    def forwarded(app: Flask) -> list[int]:
        client = app.test_client()
        return [client.get("/about", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code for n in range(4)]

    assert forwarded(guarded_app(ALICE, RATE_LIMIT_PER_MIN="3", WEB_PROXIES="1")) == [401] * 4
    assert forwarded(guarded_app(ALICE, RATE_LIMIT_PER_MIN="3")) == [401] * 3 + [429]


def test_health_checks_and_the_machines_own_user_are_not_limited() -> None:
    """A load balancer asks all day; without keys only this machine asks."""
    client = guarded_app(ALICE, RATE_LIMIT_PER_MIN="2").test_client()
    assert {client.get("/healthz").status_code for _ in range(4)} == {200}
    assert asked(guarded_app(RATE_LIMIT_PER_MIN="2").test_client(), 4) == [200] * 4


def test_answers_below_the_limit_do_not_ask_to_wait() -> None:
    """Retry-After stands on 429 alone."""
    assert "Retry-After" not in guarded_app(ALICE).test_client().get("/about", headers=ALICE.headers).headers
