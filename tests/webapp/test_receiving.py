"""What uploads are refused before a byte of them is read."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from webapp import create_app
from webapp.receiving import Gate
from webapp.settings import MIB, WebSettings

FORM = {"Content-Type": "multipart/form-data; boundary=x"}


class Unread(io.RawIOBase):
    """A body that nobody may read."""

    def readable(self) -> bool:
        """Whether it can be read: it says so."""
        return True

    def readinto(self, _buffer: object) -> int:
        """Fail."""
        raise AssertionError("the body was read")


def make_app(**environ: str) -> Flask:
    """Make a web app."""
    return create_app(WebSettings.from_env(environ))


def post(
    client: FlaskClient, size_bytes: int, path: str = "/classify", headers: Mapping[str, str] = FORM
) -> TestResponse:
    """Announce a body without sending it."""
    body = {"wsgi.input": Unread(), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(size_bytes)}
    return client.post(path, headers=headers, environ_overrides=body)


def gate(app: Flask) -> Gate:
    """Return what lets uploads in."""
    found: Gate = app.extensions["gate"]
    return found


def test_a_request_that_is_too_large_is_refused_unread() -> None:
    """413 by its own word of its size; the sentence says what is taken."""
    answer = post(make_app().test_client(), 2048 * MIB)
    assert answer.status_code == 413
    assert "at most 512 MB or 500 photos" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/batches", "application/json", id="json"),
        pytest.param("/login", "application/x-www-form-urlencoded", id="form-held-in-memory"),
        pytest.param("/uploads", "multipart/form-data; boundary=x", id="photos-to-where-none-are-taken"),
    ],
)
def test_only_uploads_of_photos_may_be_large(path: str, kind: str) -> None:
    """What is read into memory as a whole is small."""
    app = make_app(API_KEYS="")
    answer = post(app.test_client(), 10 * MIB, path, {"Content-Type": kind})
    assert answer.status_code in {413, 415}


def test_no_more_uploads_at_a_time_than_there_are_slots() -> None:
    """503 with Retry-After, unread, while the slots are taken; other requests are answered."""
    app = make_app(WEB_THREADS="8")
    for _ in range(gate(app).slots.limit):
        gate(app).enter(1)
    client = app.test_client()
    answer = post(client, 100)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "Nothing was taken" in answer.get_json()["error"]
    assert client.get("/healthz").status_code == 200


def test_no_more_is_let_in_than_there_is_room_on_disk() -> None:
    """Announced sizes count before they come; who does not say counts as the largest."""
    app = make_app(MAX_SPOOL_BYTES=str(600 * MIB))
    gate(app).enter(100 * MIB)
    assert post(app.test_client(), 501 * MIB).status_code == 503
    assert post(app.test_client(), 512 * MIB + 1).status_code == 413
    assert gate(app).slots.used == 1


def test_a_broken_upload_gives_its_slot_and_disk_space_back() -> None:
    """A form that ends in the middle takes nothing and leaves nothing."""
    app = make_app()
    broken = b'--x\r\nContent-Disposition: form-data; name="img"; filename="a.jpg"\r\n\r\nhalf a pho'
    answer = app.test_client().post("/classify", data=broken, headers=FORM)
    assert answer.status_code == 400
    assert (gate(app).slots.used, gate(app).disk.used) == (0, 0)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param(b"", "", 400, id="nothing"),
        pytest.param(b"{}", "application/json", 415, id="json"),
        pytest.param(b"--x--", "multipart/form-data", 400, id="no-boundary"),
    ],
)
def test_what_is_no_form_with_photos_is_told_how_to_send_them(body: bytes, kind: str, status: int) -> None:
    """The sentence names the field, or the type of the form."""
    answer = make_app().test_client().post("/classify", data=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert "`img`" in answer.get_json()["error"]


def test_settings_under_which_the_largest_request_never_fits_are_refused() -> None:
    """One line names both."""
    with pytest.raises(ValueError, match=r"MAX_SPOOL_BYTES=1 is refused.*MAX_REQUEST_BYTES"):
        WebSettings.from_env({"MAX_SPOOL_BYTES": "1"})
