"""Links that show one batch to whoever has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from itsdangerous import TimestampSigner

from tests.access import Holder, guarded_app
from webapp.shares import Shares, share_url

ALICE, BOB = Holder("alice"), Holder("bob")
BATCH = ALICE.id()
PHOTO = ALICE.id("e6aff5dc2b1-0a1b2c3-fedcba9876543210")
OTHER_BATCH = ALICE.id("e6aff5dc2b1-0a1b2c4-fedcba9876543210")


@pytest.fixture
def app() -> Flask:
    """An app that asks for keys."""
    return guarded_app(ALICE, BOB)


def shared(app: Flask, id_: str = BATCH) -> str:
    """Return the token of a link that alice made."""
    with app.test_request_context(headers=ALICE.headers):
        url = urlsplit(share_url(id_))
    assert url.path == f"/batches/{id_}"
    (token,) = parse_qs(url.query)["share"]
    return token


@pytest.mark.parametrize("id_", [BATCH, PHOTO], ids=["the batch", "its photo"])
def test_a_link_opens_its_batch_to_everybody(app: Flask, id_: str) -> None:
    """Without a key, or with another's, the batch and its photos can be read."""
    token = shared(app)
    assert app.test_client().get(f"/about/{id_}?share={token}").status_code == 200
    assert app.test_client().get(f"/about/{id_}?share={token}", headers=BOB.headers).status_code == 200


def test_a_link_opens_what_the_page_asks_for_next(app: Flask) -> None:
    """Events, small photos and files of the batch come without the token in their addresses."""
    visitor = app.test_client()
    visitor.get(f"/about/{BATCH}?share={shared(app)}")
    assert visitor.get(f"/about/{PHOTO}").status_code == 200
    assert visitor.get(f"/about/{OTHER_BATCH}").status_code == 401


def test_a_link_is_for_reading_alone(app: Flask) -> None:
    """Its holder can neither change the batch nor ask for anything that is not of the batch."""
    visitor = app.test_client()
    visitor.get(f"/about/{BATCH}?share={shared(app)}")
    for headers in ({}, BOB.headers):
        assert visitor.post(f"/about/{BATCH}?share={shared(app)}", headers=headers).status_code in {401, 404}
    assert visitor.get(f"/about?share={shared(app)}").status_code == 401
    assert visitor.get("/results").status_code == 401


@pytest.mark.parametrize("change", ["other batch", "altered", "empty", "another server's", "cut"])
def test_a_forged_link_is_refused(app: Flask, change: str) -> None:
    """A token holds for the batch it was signed for, as it was signed."""
    token = shared(app)
    forged = {
        "other batch": shared(app, OTHER_BATCH),
        "altered": token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:],
        "empty": "",
        "another server's": shared(guarded_app(ALICE)),
        "cut": token.partition(".")[0],
    }[change]
    assert app.test_client().get(f"/about/{BATCH}?share={forged}").status_code == 401


def test_a_link_ends_after_its_days(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SHARE_DAYS the link is refused, and so is the session that it began."""
    visitor = app.test_client()
    token = shared(app)
    assert visitor.get(f"/about/{BATCH}?share={token}").status_code == 200
    later = datetime.now(UTC) + timedelta(days=8)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(later.timestamp()))
    assert visitor.get(f"/about/{BATCH}?share={token}").status_code == 401
    assert visitor.get(f"/about/{BATCH}").status_code == 401


def test_a_session_remembers_a_bounded_number_of_links(app: Flask) -> None:
    """The cookie does not grow past what browsers keep; the latest links are remembered."""
    visitor = app.test_client()
    ids = [ALICE.id(f"e6aff5dc2b1-{number:07x}-0123456789abcdef") for number in range(30)]
    for id_ in ids:
        assert visitor.get(f"/about/{id_}?share={shared(app, id_)}").status_code == 200
    cookie = visitor.get_cookie("session")
    assert cookie is not None
    assert len(cookie.value) < 2000
    assert [visitor.get(f"/about/{id_}").status_code for id_ in ids[-10:]] == [200] * 10


def test_without_keys_a_link_needs_no_token() -> None:
    """Where everybody may read, the plain address is the link."""
    with guarded_app().test_request_context():
        assert share_url(BATCH) == f"/batches/{BATCH}"


def test_signatures_of_sessions_and_links_differ() -> None:
    """A share's token is signed for its purpose: no cookie can be made of it."""
    token = Shares("x" * 32, 7).token(BATCH)
    prefix = BATCH.rpartition("-")[0]
    assert not TimestampSigner("x" * 32, salt="cookie-session").validate(f"{prefix}.{token}")
