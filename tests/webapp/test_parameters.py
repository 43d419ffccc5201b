"""Parameters and bodies that do not fit: a sentence each, never a guess."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from webapp import create_app
from webapp.settings import WebSettings

PHOTO = "000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef"


@pytest.fixture
def client() -> FlaskClient:
    """Somebody who asks the app."""
    return create_app(WebSettings.from_env({"MAX_FILES": "2", "MAX_BATCH": "2"})).test_client()


@pytest.mark.parametrize("text", ["-1", "61", "nan", "inf", "1e400", "soon", "", "0x10"])
def test_a_wait_that_is_no_number_of_seconds_in_range_is_refused(client: FlaskClient, text: str) -> None:
    """400 says what it should be."""
    answer = client.get(f"/results/{PHOTO}", query_string={"wait": text})
    assert answer.status_code == 400
    assert "from 0 to 60" in answer.get_json()["error"]


@pytest.mark.parametrize("text", ["-5", "0", "1001", "ten", "", "1.5", "²", "9" * 5000])
def test_a_limit_out_of_range_is_refused(client: FlaskClient, text: str) -> None:
    """400 says what it should be."""
    answer = client.get("/results", query_string={"limit": text})
    assert answer.status_code == 400
    assert "from 1 to 1000" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        pytest.param("/batches", b"{", 400, "", id="no-json"),
        pytest.param("/batches", b"[]", 400, "", id="no-object"),
        pytest.param("/batches", b"[" * 100_000, 400, "nested too deeply", id="deep"),
        pytest.param("/batches", b"{}", 400, "either `prefix` or `uploads`", id="neither"),
        pytest.param("/batches", b'{"prefix": "s3://a/", "uploads": []}', 400, "uploads", id="no-uploads"),
        pytest.param("/batches", b'{"prefix": 1}', 400, "prefix", id="wrong-type"),
        pytest.param("/batches", b'{"prefix": "s3://another/"}', 400, "s3://classifier-input/", id="other-bucket"),
        pytest.param("/batches", b'{"prefix": "s3://classifier-input/", "x": 1}', 400, "x: ", id="unknown-field"),
        pytest.param(
            "/batches", b'{"uploads": [{"id": "../a", "name": "a"}]}', 404, "No photo of yours", id="path-for-an-id"
        ),
        pytest.param(
            "/batches",
            b'{"uploads": [%s]}' % b", ".join([b'{"id": "a", "name": "a"}'] * 3),
            413,
            "at most 2",
            id="many",
        ),
        pytest.param("/uploads", b'{"files": []}', 400, "files", id="no-files"),
        pytest.param("/uploads", b'{"files": [{"name": "a", "size_bytes": 0}]}', 400, "size_bytes", id="empty-file"),
        pytest.param(
            "/uploads", b'{"files": [{"name": "a", "size_bytes": 99999999}]}', 413, "at most 20 MB", id="large"
        ),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_a_reason(
    client: FlaskClient, path: str, body: bytes, status: int, said: str
) -> None:
    """The status is the client's fault, and the sentence says where."""
    answer = client.post(path, data=body, content_type="application/json")
    assert answer.status_code == status
    assert said in answer.get_json()["error"]


def test_a_body_that_does_not_claim_to_be_json_is_refused(client: FlaskClient) -> None:
    """415: a form of another site's page cannot pass for JSON."""
    assert client.post("/batches", data=b"{}", content_type="text/plain").status_code == 415
