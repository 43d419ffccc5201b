"""A Celery result backend on S3: one GET to read, one PUT to store, and a SUCCESS is never overwritten.

Celery's own S3 backend asks HEAD before each GET and reads before it writes, fails on the 403 that S3 gives for
objects that are not there, and shares one boto3 resource between threads. Configure it by::

    result_backend = "tasks.results:S3ResultBackend"
    result_backend_transport_options = {"bucket": ..., "region": ..., "endpoint_url": ""}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

from celery import states
from celery.backends.base import KeyValueStoreBackend
from celery.exceptions import ImproperlyConfigured
from kombu.utils.encoding import bytes_to_str, ensure_bytes

from tasks.objects import Bucket, StoreUnavailable

if TYPE_CHECKING:
    from celery import Celery
    from celery.app.task import Context
    from mypy_boto3_s3 import S3Client

PARALLEL_READS = 32
# Two workers that store the same task's result at the same time see each other's within two or three rounds.
MAX_STORE_ROUNDS = 10
LIFECYCLE_RULE_ID = "expire"


class S3ResultBackend(KeyValueStoreBackend):
    """Task results as JSON objects whose key is the task's id, group results under ``group-<id>``.

    Safe to use from several threads. Chords are refused: S3 cannot count.
    """

    key_t = staticmethod(bytes_to_str)  # type: ignore[assignment]  # celery wants either
    task_keyprefix = ""
    group_keyprefix = "group-"
    supports_native_join = True
    persistent = True

    def __init__(self, app: Celery, **options: Any) -> None:
        super().__init__(app, **options)
        where = app.conf.result_backend_transport_options
        if "bucket" not in where or "region" not in where:
            raise ImproperlyConfigured("result_backend_transport_options needs 'bucket' and 'region'")
        if app.conf.result_serializer != "json":
            raise ImproperlyConfigured(f"result_serializer must be 'json', not {app.conf.result_serializer!r}")
        self.always_retry = True
        self.max_retries = where.get("max_retries", 5)
        self.bucket = Bucket(where["bucket"], region=where["region"], endpoint_url=where.get("endpoint_url", ""))

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Tell Celery to try again, with growing pauses, when S3 could not be reached."""
        return isinstance(exc, StoreUnavailable)

    def get(self, key: str) -> bytes | None:
        """Read one object; None if it is not there."""
        stored = self.bucket.get(key)
        return None if stored is None else stored.data

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Read many objects in parallel, in order."""
        if not keys:
            return []
        with ThreadPoolExecutor(min(PARALLEL_READS, len(keys))) as pool:
            return list(pool.map(self.get, keys))

    def set(self, key: str, value: bytes | str) -> None:
        """Write one object over whatever is there (group results; a task's go by `_store_result`)."""
        self.bucket.put(key, ensure_bytes(value))

    def delete(self, key: str) -> None:
        """Delete one object; one that is not there is no error."""
        self.bucket.delete(key)

    def fetch_many(self, task_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Read many tasks' results in parallel; a task without one has the status PENDING.

        Raises:
            StoreUnavailable: S3 failed for one of them.
        """
        ids = list(task_ids)
        values = self.mget([self.get_key_for_task(task_id) for task_id in ids])
        pending = {"status": states.PENDING, "result": None}
        return {
            task_id: dict(pending) if value is None else self.decode_result(value)
            for task_id, value in zip(ids, values, strict=True)
        }

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        **_kwargs: Any,
    ) -> Any:
        meta = self._get_result_meta(  # type: ignore[attr-defined]  # not in celery-types
            result=result, state=state, traceback=traceback, request=request
        )
        value = ensure_bytes(self.encode({**meta, "task_id": bytes_to_str(task_id)}))
        key = self.get_key_for_task(task_id)
        if self.bucket.create(key, value):
            return result
        for _round in range(MAX_STORE_ROUNDS):
            stored = self.bucket.get(key)
            if stored is None:
                written = self.bucket.create(key, value)
            elif json.loads(stored.data)["status"] == states.SUCCESS:
                return result
            else:
                written = self.bucket.replace(key, value, stored.e_tag)
            if written:
                return result
        raise StoreUnavailable(f"task {task_id}: others kept changing its result")

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a chord needs a counter that S3 does not have.

        Raises:
            NotImplementedError: always, when the chord is applied.
        """
        raise NotImplementedError(CHORDS_REFUSED)

    def ensure_chords_allowed(self) -> NoReturn:
        """Refuse chords where Celery asks before applying one.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(CHORDS_REFUSED)


CHORDS_REFUSED = (
    "chords are not supported by results in S3: there is no counter to tell when the header is done. "
    "Use a group, wait for it with .get(), then call the body."
)


def ensure_lifecycle(s3: S3Client, bucket: str, expire_days: int) -> None:
    """Let S3 delete the bucket's objects after `expire_days`; rules of others are kept.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lifecycle-mgmt.html

    Raises:
        botocore.exceptions.ClientError: S3 refuses to read or write the rules.
    """
    try:
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        rules = []
    ours: Mapping[str, Any] = {
        "ID": LIFECYCLE_RULE_ID,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": expire_days},
    }
    kept = [rule for rule in rules if rule.get("ID") != LIFECYCLE_RULE_ID]
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [*kept, ours]},  # type: ignore[list-item]  # as read, and ours
    )
