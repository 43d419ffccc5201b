"""Requests that another site's page makes a browser send."""

from __future__ import annotations

import io

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.access import Holder, guarded_app

ALICE = Holder("alice")
HERE = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}


@pytest.fixture(params=["with keys", "without keys"])
def app(request: pytest.FixtureRequest) -> Flask:
    """An app with keys, and one without, where every page that the machine's browser shows could ask."""
    return guarded_app(ALICE) if request.param == "with keys" else guarded_app()


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """A browser, signed in where that is needed."""
    client = app.test_client()
    client.post("/login", data={"key": ALICE.key, "csrf_token": token(client)})
    return client


def token(client: FlaskClient) -> str:
    """Return the token in a page of the app's own."""
    page = client.get("/login", follow_redirects=True).text
    return page.split('name="csrf-token" content="')[1].split('"')[0]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"}, id="a sister site"),
        pytest.param({"Origin": "https://evil.example"}, id="an old browser"),
        pytest.param({"Origin": "null"}, id="a sandboxed frame"),
        pytest.param({"Origin": "http://["}, id="no address"),
        pytest.param({"Origin": "http://localhost:8001"}, id="another port"),
    ],
)
def test_a_forged_request_is_refused_even_with_a_token(browser: FlaskClient, headers: dict[str, str]) -> None:
    """403 for what comes from another site's page, before its body is looked at."""
    answer = browser.post("/about", headers=headers, data={"csrf_token": token(browser)})
    assert answer.status_code == 403
    assert "another site" in answer.get_json()["error"]


@pytest.mark.parametrize("given", [None, "", "forged"])
def test_a_browser_without_the_pages_token_is_refused(browser: FlaskClient, given: str | None) -> None:
    """403, with what to do: the page may be older than the session."""
    answer = browser.post("/about", headers=HERE, data={} if given is None else {"csrf_token": given})
    assert answer.status_code == 403
    assert "reload" in answer.get_json()["error"]


def test_a_token_of_another_session_is_refused(app: Flask, browser: FlaskClient) -> None:
    """A stranger's token does not help to forge."""
    foreign = token(app.test_client())
    assert browser.post("/about", headers=HERE | {"X-CSRFToken": foreign}).status_code == 403


def test_the_pages_own_forms_and_scripts_are_taken(browser: FlaskClient) -> None:
    """The token counts in the form and in either header; one stays good for the session."""
    known = token(browser)
    assert browser.post("/about", headers=HERE, data={"csrf_token": known}).status_code == 200
    for name in ("X-CSRFToken", "X-CSRF-Token"):
        assert browser.post("/about", headers=HERE | {name: known}).status_code == 200


def test_a_session_alone_proves_nothing(app: Flask) -> None:
    """A browser too old to say where a request comes from still needs the token, once it has a session."""
    browser = app.test_client()
    token(browser)
    assert browser.post("/about").status_code in {401, 403}
    assert browser.post("/login", data={"key": ALICE.key}).status_code == 403


def test_programs_need_no_token(app: Flask) -> None:
    """A program's form with files, as other systems' clients send it, is taken with a key, or where none is needed."""
    files = {"img": (io.BytesIO(b"photo"), "a.jpg")}
    assert app.test_client().post("/about", headers=ALICE.headers, data=files).status_code == 200
    assert guarded_app().test_client().post("/about", data={"img": (io.BytesIO(b"x"), "a")}).status_code == 200
