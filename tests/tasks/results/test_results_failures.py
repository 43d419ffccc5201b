"""What becomes of results when S3 refuses, fails or is away, and of results that are none."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context
from celery.exceptions import ImproperlyConfigured, Reject
from celery.result import AsyncResult
from kombu.exceptions import EncodeError

from bench.counting_proxy import Answer, CountingProxy
from tasks.objects import StoreUnavailable

pytestmark = pytest.mark.stack

# What gives up in time does so in a few seconds, on a slow machine too; what does not takes minutes.
PATIENCE_S = 20.0

IN_WORKER = Context({"id": "t", "called_directly": False})


def test_403_means_not_there_and_is_explained_once(
    app: Celery, proxy: CountingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A role that may not list the bucket gets 403 for what is not there: PENDING, with one hint in the log."""
    proxy.instead = lambda _call: Answer.s3_error(403, "AccessDenied")
    assert [AsyncResult(task_id, app=app).state for task_id in "ab"] == ["PENDING", "PENDING"]
    assert sum("may not list" in record.getMessage() for record in caplog.records) == 1


def test_a_role_that_may_not_list_can_store(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """Where everything but PUT gets 403, a first result is stored."""
    proxy.instead = lambda call: None if call.method == "PUT" else Answer.s3_error(403, "AccessDenied")
    app.backend.store_result(new_id, 7, "SUCCESS")
    proxy.instead = None
    assert AsyncResult(new_id, app=app).get(timeout=30) == 7


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(403, "InvalidAccessKeyId", id="unknown key"),
        pytest.param(403, "SignatureDoesNotMatch", id="wrong secret"),
        pytest.param(403, "RequestTimeTooSkewed", id="wrong clock"),
        pytest.param(400, "ExpiredToken", id="expired role session"),
        pytest.param(404, "NoSuchBucket", id="no bucket"),
        pytest.param(500, "InternalError", id="S3 failed"),
        pytest.param(503, "SlowDown", id="too many requests"),
    ],
)
def test_what_is_not_known_is_not_called_pending(app: Celery, proxy: CountingProxy, status: int, code: str) -> None:
    """A read that fails for another reason than a missing object says so, and names the reason."""
    proxy.instead = lambda _call: Answer.s3_error(status, code)
    with pytest.raises(StoreUnavailable, match=code):
        _ = AsyncResult("t", app=app).state


def test_reading_gives_up_in_seconds_when_s3_is_away(app: Celery, proxy: CountingProxy) -> None:
    """A web request that asks for a result is not held up by an S3 that closes connections."""
    proxy.hang_up = True
    start_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        _ = AsyncResult("t", app=app).state
    assert time.monotonic() - start_s < PATIENCE_S


def test_storing_waits_for_s3(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """Nine failed requests, which is more than one round of retries, and the result is stored."""
    proxy.instead = lambda _call: Answer.s3_error(503, "SlowDown") if len(proxy.calls) < 10 else None
    app.conf.result_backend_transport_options |= {"store_deadline_s": 30.0}
    app.backend.store_result(new_id, 7, "SUCCESS")
    assert AsyncResult(new_id, app=app).get(timeout=30) == 7


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        pytest.param(IN_WORKER, Reject, id="worker: the message goes back"),
        pytest.param(None, StoreUnavailable, id="elsewhere: the caller is told"),
    ],
)
def test_storing_gives_up_in_time(
    app: Celery, proxy: CountingProxy, request_: Context | None, error: type[Exception]
) -> None:
    """After `store_deadline_s` a worker has Celery requeue the message; other callers get the error."""
    proxy.instead = lambda _call: Answer.s3_error(503, "SlowDown")
    start_s = time.monotonic()
    with pytest.raises(error) as raised:
        app.backend.store_result("t", 7, "SUCCESS", request=request_)
    assert time.monotonic() - start_s < PATIENCE_S
    assert not isinstance(raised.value, Reject) or raised.value.requeue


@pytest.mark.parametrize("state", ["RETRY", "STARTED", "PROGRESS"])
def test_a_state_on_the_way_is_let_go(
    app: Celery, proxy: CountingProxy, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    """A retry whose message is already sent must not bring its own message back too: it is logged, tried once."""
    proxy.instead = lambda _call: Answer.s3_error(400, "ExpiredToken")
    app.backend.store_result("t", "halfway", state, request=IN_WORKER)
    assert proxy.take() == ["PUT"]
    assert any("goes on" in record.getMessage() and record.levelno == logging.WARNING for record in caplog.records)


def test_a_role_that_may_not_read_is_told_what_it_needs(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """When a result is there and reading it gets 403, the error names the missing permission."""
    app.backend.store_result(new_id, None, "STARTED")
    proxy.instead = lambda call: None if call.method == "PUT" else Answer.s3_error(403, "AccessDenied")
    with pytest.raises(StoreUnavailable, match="s3:GetObject"):
        app.backend.store_result(new_id, 7, "SUCCESS")


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({1, 2}, id="set"),
        pytest.param(object(), id="object"),
        pytest.param({(1, 2): 3}, id="key that is no text"),
        pytest.param([float("inf")], id="infinity"),
        pytest.param({"confidence": float("nan")}, id="not a number"),
    ],
)
def test_a_result_must_be_json(app: Celery, proxy: CountingProxy, result: Any) -> None:
    """What JSON cannot hold is refused before S3 is asked, by an error that says what to return."""
    app.backend  # noqa: B018 - made, so that what follows is only the storing
    with pytest.raises(EncodeError, match="must be JSON"):
        app.backend.store_result("t", result, "SUCCESS")
    assert proxy.take() == []


def test_a_text_may_say_nan(app: Celery, new_id: str) -> None:
    """Only numbers are looked at: the word is a result like any other."""
    app.backend.store_result(new_id, "NaN, or Infinity", "SUCCESS")
    assert AsyncResult(new_id, app=app).get(timeout=30) == "NaN, or Infinity"


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        pytest.param({"result_backend_transport_options": {"region": "us-east-1"}}, "bucket", id="no bucket"),
        pytest.param({"result_backend_transport_options": {"buckett": "b"}}, "buckett", id="unknown option"),
        pytest.param({"result_serializer": "pickle"}, "json", id="pickle"),
    ],
)
def test_wrong_settings_are_refused(app: Celery, conf: dict[str, Any], message: str) -> None:
    """The error names the setting."""
    app.conf.update(conf)
    with pytest.raises(ImproperlyConfigured, match=message):
        app.backend  # noqa: B018 - made at the first look
