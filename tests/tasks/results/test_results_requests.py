"""What reading and storing results costs in requests to S3, and what is in S3 afterwards."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.result import AsyncResult, GroupResult

from bench.counting_proxy import Answer, Call, CountingProxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.stack

DEADLINE_S = 20.0


def stored(s3: S3Client, bucket: str, key: str) -> Any:
    """Return what S3 holds, read without the code under test."""
    return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


@pytest.mark.parametrize(
    ("before", "then", "requests", "stays"),
    [
        pytest.param(None, "SUCCESS", ["PUT"], "SUCCESS", id="first result"),
        pytest.param(None, "FAILURE", ["PUT"], "FAILURE", id="first failure"),
        pytest.param("SUCCESS", "SUCCESS", ["PUT", "GET"], "SUCCESS", id="delivered twice"),
        pytest.param("SUCCESS", "FAILURE", ["PUT", "GET"], "SUCCESS", id="failure too late"),
        pytest.param("SUCCESS", "STARTED", ["PUT", "GET"], "SUCCESS", id="started again"),
        pytest.param("SUCCESS", "REVOKED", ["PUT", "GET"], "SUCCESS", id="revoked too late"),
        pytest.param("FAILURE", "SUCCESS", ["PUT", "GET", "PUT"], "SUCCESS", id="success after failure"),
        pytest.param("RETRY", "SUCCESS", ["PUT", "GET", "PUT"], "SUCCESS", id="success after retry"),
        pytest.param("STARTED", "FAILURE", ["PUT", "GET", "PUT"], "FAILURE", id="failure after start"),
        pytest.param("FAILURE", "RETRY", ["PUT", "GET", "PUT"], "RETRY", id="retry after failure"),
    ],
)
def test_a_result_replaces_any_state_but_success(  # noqa: PLR0917 - one table, four fixtures
    app: Celery,
    s3: S3Client,
    bucket: str,
    proxy: CountingProxy,
    new_id: str,
    before: str | None,
    then: str,
    requests: list[str],
    stays: str,
) -> None:
    """One PUT stores the first result; a later one looks first and leaves a SUCCESS alone."""
    if before is not None:
        app.backend.store_result(new_id, "before", before)
    proxy.take()
    app.backend.store_result(new_id, "then", then)
    assert proxy.take() == requests
    assert stored(s3, bucket, new_id)["status"] == stays
    kept = "before" if before == "SUCCESS" else "then"
    assert kept in str(stored(s3, bucket, new_id)["result"])


def test_the_key_is_the_task_id_and_the_object_is_json(app: Celery, s3: S3Client, bucket: str, new_id: str) -> None:
    """Any tool can read a result: the id is its key, and S3 says that it is JSON."""
    app.backend.store_result(new_id, {"label": "cat"}, "SUCCESS")
    answer = s3.get_object(Bucket=bucket, Key=new_id)
    assert answer["ContentType"] == "application/json"
    meta = json.loads(answer["Body"].read())
    assert (meta["task_id"], meta["status"], meta["result"]) == (new_id, "SUCCESS", {"label": "cat"})


@pytest.mark.parametrize("there", [pytest.param(True, id="there"), pytest.param(False, id="not there")])
def test_reading_costs_one_get(*, app: Celery, proxy: CountingProxy, new_id: str, there: bool) -> None:
    """No HEAD before the GET, whether there is a result or not."""
    if there:
        app.backend.store_result(new_id, 7, "SUCCESS")
    proxy.take()
    assert AsyncResult(new_id, app=app).state == ("SUCCESS" if there else "PENDING")
    assert proxy.take() == ["GET"]


def test_a_success_is_read_once_if_there_is_a_cache(app: Celery, proxy: CountingProxy) -> None:
    """With `result_cache_max` a process reads no SUCCESS twice; it cannot change."""
    app.conf.result_cache_max = 10
    app.backend.store_result("done", 7, "SUCCESS")
    app.backend.store_result("failed", ValueError(), "FAILURE")
    proxy.take()
    for _time in range(2):
        assert AsyncResult("done", app=app).get(timeout=30) == 7
        app.backend.fetch_many(["done", "failed"])
    assert proxy.take() == ["GET"] * 3


def test_forget_deletes(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """A forgotten result is gone, with one DELETE; forgetting it again is no error."""
    app.backend.store_result(new_id, 7, "SUCCESS")
    proxy.take()
    for _time in range(2):
        AsyncResult(new_id, app=app).forget()
    assert proxy.take() == ["DELETE", "DELETE"]
    assert AsyncResult(new_id, app=app).state == "PENDING"


def test_a_saved_group_is_restored(app: Celery, s3: S3Client, bucket: str, proxy: CountingProxy) -> None:
    """A group is one object, "group-" and its id; it is gone once it is deleted."""
    group = GroupResult("g", [AsyncResult(task_id, app=app) for task_id in ("a", "b")], app=app)
    proxy.take()
    group.save()
    assert proxy.take() == ["PUT"]
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["group-g"]
    restored = GroupResult.restore("g", backend=app.backend, app=app)
    assert [result.id for result in restored] == ["a", "b"]
    group.delete()
    assert GroupResult.restore("g", backend=app.backend, app=app) is None


def test_many_are_fetched_with_one_get_each(app: Celery, proxy: CountingProxy) -> None:
    """`fetch_many` tells what is stored of each id, None for what is not."""
    app.backend.store_result("done", 1, "SUCCESS")
    app.backend.store_result("failed", ValueError("no cat"), "FAILURE")
    proxy.take()
    metas = app.backend.fetch_many(["done", "failed", "unknown", "done"])
    assert proxy.take() == ["GET"] * 3
    assert list(metas) == ["done", "failed", "unknown"]
    assert metas["done"]["result"] == 1
    assert isinstance(metas["failed"]["result"], ValueError)
    assert metas["unknown"] is None


def test_many_are_fetched_in_parallel(app: Celery, proxy: CountingProxy) -> None:
    """None of 64 reads is answered before 16 have been asked."""
    together = threading.Barrier(16)

    def when_all_are_here(_call: Call) -> Answer:
        together.wait(DEADLINE_S)
        return Answer.s3_error(404, "NoSuchKey")

    proxy.instead = when_all_are_here
    assert list(app.backend.fetch_many(map(str, range(64))).values()) == [None] * 64


def test_a_key_prefix_of_celerys_own_is_kept(app: Celery, s3: S3Client, bucket: str) -> None:
    """`global_keyprefix`, which every key-value backend of Celery knows, works here too."""
    app.conf.result_backend_transport_options |= {"global_keyprefix": "one"}
    app.backend.store_result("t", 1, "SUCCESS")
    assert stored(s3, bucket, "one_t")["task_id"] == "t"
    assert AsyncResult("t", app=app).get() == 1
