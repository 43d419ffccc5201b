"""Results that several workers store, or several threads read, at the same time."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from celery import Celery
from celery.result import AsyncResult
from kombu.utils.functional import LRUCache

from bench.counting_proxy import Answer, Call, CountingProxy
from tasks import ids, outcomes

pytestmark = pytest.mark.stack

WRITERS = 20


def store_at_once(app: Celery, task_id: str, states: list[str]) -> None:
    """Store one state from each of as many threads, all at the same time."""
    start = Barrier(len(states))

    def store(number: int) -> None:
        start.wait(timeout=10)
        outcome = number if states[number] == "SUCCESS" else ValueError(number)
        app.backend.store_result(task_id, outcome, states[number])

    with ThreadPoolExecutor(len(states)) as pool:
        list(pool.map(store, range(len(states))))


@pytest.mark.parametrize("position", [0, WRITERS // 2, WRITERS - 1])
def test_success_wins_against_any_number_of_failures(app: Celery, position: int) -> None:
    """Whoever comes first or last: if one of 20 threads stores a SUCCESS, that is what stays."""
    for _time in range(3):
        task_id = str(uuid.uuid4())
        store_at_once(app, task_id, ["SUCCESS" if number == position else "FAILURE" for number in range(WRITERS)])
        meta = app.backend.get_task_meta(task_id)
        assert (meta["status"], meta["result"]) == ("SUCCESS", position)


def test_the_first_of_many_successes_stays(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """A task that runs in 20 threads at once has one result, and 19 of them cost a PUT and a GET."""
    proxy.take()
    store_at_once(app, new_id, ["SUCCESS"] * WRITERS)
    assert (proxy.count("PUT"), proxy.count("GET")) == (WRITERS, WRITERS - 1)
    first = AsyncResult(new_id, app=app).get(timeout=30)
    app.backend.store_result(new_id, "later", "SUCCESS")
    app.backend.reload_task_result(new_id)
    assert AsyncResult(new_id, app=app).get(timeout=30) == first


def test_a_success_between_look_and_write_is_not_overwritten(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """A FAILURE whose look saw STARTED finds at its write that a SUCCESS has come, and leaves it."""
    app.backend.store_result(new_id, None, "STARTED")
    proxy.take()

    def another_worker_succeeds(call: Call) -> Answer | None:
        if [earlier.method for earlier in proxy.calls] == ["PUT", "GET", "PUT"] and call.method == "PUT":
            app.backend.store_result(new_id, "cat", "SUCCESS")
        return None

    proxy.instead = another_worker_succeeds
    app.backend.store_result(new_id, ValueError(), "FAILURE")
    assert AsyncResult(new_id, app=app).get(timeout=30) == "cat"


def test_a_conflict_that_s3_reports_is_looked_into(app: Celery, proxy: CountingProxy, new_id: str) -> None:
    """S3 answers 409 when two conditional writes meet; the result is stored all the same."""
    proxy.instead = lambda _call: Answer.s3_error(409, "ConditionalRequestConflict") if len(proxy.calls) == 1 else None
    app.backend.store_result(new_id, 7, "SUCCESS")
    assert [call.method for call in proxy.calls] == ["PUT", "GET", "PUT"]
    assert AsyncResult(new_id, app=app).get(timeout=30) == 7


class CrowdedCache(LRUCache):
    """Celery's cache when others fill it: whatever was there when it was asked for is gone right after."""

    def __contains__(self, key: object) -> bool:
        """Tell whether `key` is there, for the last time."""
        there = super().__contains__(key)
        self.data.pop(key, None)
        return there


def test_a_result_that_leaves_the_cache_meanwhile_is_read_again(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads' results may push it out at any moment; that does not make a photo "pending"."""
    monkeypatch.setattr(outcomes, "app", app)
    photo_ids = ids.new_ids("", 3, time.time()).photos
    for photo_id in photo_ids:
        app.backend.store_result(photo_id, {"name": "a.jpg"}, "SUCCESS")
    cache = CrowdedCache()
    cache.update(app.backend.fetch_many(photo_ids))
    monkeypatch.setattr(app.backend, "_cache", cache)
    assert set(outcomes.read_final(photo_ids)) == set(photo_ids)
