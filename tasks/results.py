"""A Celery result backend on S3: one GET to read, one PUT to store, and a SUCCESS is never overwritten.

Celery's own S3 backend asks HEAD before each GET and reads before it writes, fails on the 403 that S3 gives for
objects that are not there, and shares one boto3 resource between threads. Configure it by::

    result_backend = "tasks.results:S3ResultBackend"
    result_backend_transport_options = {"bucket": ..., "region": ...}

See docs/result-store.md.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any, NoReturn

from celery import states
from celery.backends.base import KeyValueStoreBackend
from celery.exceptions import BackendGetMetaError, Reject
from celery.exceptions import TimeoutError as ResultTimeout
from kombu.exceptions import EncodeError
from kombu.utils.encoding import bytes_to_str, ensure_bytes

from tasks.objects import Bucket, StoreUnavailable
from tasks.polling import growing_pauses, rounds
from tasks.result_objects import ResultObjects, in_parallel
from tasks.result_options import ResultOptions

if TYPE_CHECKING:
    from celery import Celery
    from celery.app.task import Context

# A result is a kilobyte: a request that takes longer is not slow but broken.
REQUEST_TIMEOUT = timedelta(seconds=5)
FIRST_POLL_S, LAST_POLL_S = 0.05, 1.0
# What AsyncResult.get and its kin pass when their caller names no interval.
CELERY_INTERVAL_S = 0.5
CHORDS_REFUSED = (
    "chords, and groups followed by a task, are not supported by results in S3: there is no counter that tells when the "
    "header is done. Apply the group, wait for it with .get(), then apply the body to what it returned."
)

log = logging.getLogger(__name__)


class ResultUnreadable(StoreUnavailable, BackendGetMetaError):
    """S3 did not tell what is stored of a task.

    Celery looks whether a redelivered task has succeeded. On the second of these errors it runs the task; any other
    becomes the task's FAILURE.
    """


class S3ResultBackend(KeyValueStoreBackend):
    """Task results as JSON objects whose key is the task's id, group results under ``group-<id>``.

    One instance serves all threads of a process. Chords are refused: S3 cannot count.
    """

    key_t = staticmethod(bytes_to_str)  # type: ignore[assignment]  # celery wants either
    task_keyprefix = ""
    group_keyprefix = "group-"
    supports_native_join = True
    supports_autoexpire = True

    def __init__(self, app: Celery, **options: Any) -> None:
        super().__init__(app, **options)
        self.thread_safe = True
        where = ResultOptions.from_conf(app.conf)
        self.url = f"s3://{where.bucket}/"
        bucket = Bucket(
            where.bucket, region=where.region, endpoint_url=where.endpoint_url, request_timeout=REQUEST_TIMEOUT
        )
        self.objects = ResultObjects(bucket, where.store_deadline_s)
        # How long storing the latest result took; None before the first.
        self.last_store_s: float | None = None

    def get(self, key: str) -> bytes | None:
        """Read one object; None if it is not there."""
        return self.objects.get(key)

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Read many objects in parallel, in order."""
        return in_parallel(self.objects.get, keys)

    def set(self, key: str, value: bytes | str) -> None:
        """Write one object over whatever is there (group results; a task's go by `_store_result`)."""
        self.objects.put(key, ensure_bytes(value))

    def delete(self, key: str) -> None:
        """Delete one object; one that is not there is no error."""
        self.objects.delete(key)

    def encode(self, data: Any) -> bytes:
        """Return `data` as JSON.

        Raises:
            EncodeError: it is not JSON; in a worker this makes the task a FAILURE that says so.
        """
        try:
            value = ensure_bytes(super().encode(data))
            if b"NaN" in value or b"Infinity" in value:  # perhaps only as part of a text
                json.loads(value, parse_constant=_refuse_constant)
        except (EncodeError, ValueError) as error:
            raise EncodeError(
                f"a result must be JSON: {error}; return dicts, lists, texts, finite numbers, booleans or None"
            ) from error
        return value

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        **kwargs: Any,
    ) -> Any:
        """Store a task's state and result.

        When S3 fails for too long, a worker gives the message back, so that the task is done again and nothing is
        lost; Celery by itself would acknowledge it (celery#537) or keep it for ever. A state on the way, such as
        RETRY, is let go: the message that does the work has been sent.

        Raises:
            Reject: in a worker, a final state could not be stored; Celery requeues the message.
            StoreUnavailable: elsewhere, a final state could not be stored.
            EncodeError: the result is not JSON.
        """
        try:
            return super().store_result(task_id, result, state, traceback, request, **kwargs)
        except StoreUnavailable as error:
            if state not in states.READY_STATES:
                log.warning("the task goes on: %s", error)
                return result
            if _runs_in_worker(request):
                log.warning("the message goes back to the queue: %s", error)
                raise Reject(error, requeue=True) from error
            raise

    def get_task_meta(self, task_id: str, *, cache: bool = True) -> Any:  # type: ignore[override]  # Celery passes it by name
        """Return what is stored of a task; PENDING if nothing is.

        Raises:
            ResultUnreadable: S3 failed.
        """
        try:
            return super().get_task_meta(task_id, cache=cache)
        except StoreUnavailable as error:
            raise ResultUnreadable(str(error)) from error

    def fetch_many(self, task_ids: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Read many tasks' results in parallel, one GET each; None for a task that has none.

        Raises:
            StoreUnavailable: S3 failed for one of them.
        """
        ids = list(dict.fromkeys(task_ids))
        return dict(zip(ids, in_parallel(self._fetch, ids), strict=True))

    def wait_for(  # type: ignore[override]  # Celery passes the rest by name
        self,
        task_id: str,
        *,
        timeout: float | None = None,
        interval: float | None = None,
        on_interval: Callable[[], Any] | None = None,
        **_options: Any,
    ) -> dict[str, Any]:
        """Wait until a task is done; return what is stored of it.

        Raises:
            TimeoutError: it was not done within `timeout` seconds.
            StoreUnavailable: S3 failed.
        """
        for _round in _polls(timeout, interval, on_interval):
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if meta["status"] in states.READY_STATES:
                return meta
        raise ResultTimeout(f"task {task_id} was not done within {timeout} s")

    def get_many(  # type: ignore[override]  # Celery passes the rest by name
        self,
        task_ids: Iterable[str],
        *,
        timeout: float | None = None,
        interval: float | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        max_iterations: int | None = None,
        **_options: Any,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield tasks as they get done, with what is stored of each.

        Raises:
            TimeoutError: some were not done within `timeout` seconds.
            StoreUnavailable: S3 failed.
        """
        waiting = set(task_ids)
        for number, _round in enumerate(_polls(timeout, interval, on_interval), start=1):
            for task_id, meta in self.fetch_many(waiting).items():
                if meta is not None and meta["status"] in states.READY_STATES:
                    waiting.discard(task_id)
                    if on_message is not None:
                        on_message(meta)
                    yield task_id, meta
            if not waiting or number == max_iterations:
                return
        raise ResultTimeout(f"{len(waiting)} tasks were not done within {timeout} s")

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> NoReturn:
        """Refuse a chord when it is applied, before its header is sent.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(CHORDS_REFUSED)

    def ensure_chords_allowed(self) -> NoReturn:
        """Refuse a chain with a chord in it when it is applied, before its first task is sent.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(CHORDS_REFUSED)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        **_kwargs: Any,
    ) -> None:
        meta = self._get_result_meta(  # type: ignore[attr-defined]  # not in celery-types
            result=result, state=state, traceback=traceback, request=request
        )
        value = self.encode({**meta, "task_id": bytes_to_str(task_id)})
        begin_s = time.perf_counter()
        self.objects.store(self.get_key_for_task(task_id), value, state)
        self.last_store_s = time.perf_counter() - begin_s

    def _fetch(self, task_id: str) -> dict[str, Any] | None:
        cache = self._cache  # type: ignore[attr-defined]  # not in celery-types
        meta: dict[str, Any] | None = cache.get(task_id)
        if meta is None:
            value = self.get(self.get_key_for_task(task_id))
            meta = None if value is None else self.decode_result(value)
            if meta is not None and meta["status"] == states.SUCCESS:
                cache[task_id] = meta
        return meta


def _polls(timeout_s: float | None, interval_s: float | None, on_interval: Callable[[], Any] | None) -> Iterator[None]:
    """Yield whenever it is time to look; a caller's own interval is kept, otherwise the pauses grow."""
    grows = interval_s is None or interval_s == CELERY_INTERVAL_S
    for _round in rounds(growing_pauses(FIRST_POLL_S, LAST_POLL_S) if grows else repeat(interval_s or 0.0), timeout_s):
        yield
        if on_interval:
            on_interval()


def _runs_in_worker(request: Context | None) -> bool:
    return request is not None and not request.called_directly and not request.is_eager


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
