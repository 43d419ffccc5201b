"""What an operator asks of the whole system: how much waits, what is broken, begin anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celeryconfig import settings
from tasks.aws import keys, s3, sqs, unavailable
from tasks.batches import FOLDER
from tasks.ids import is_id
from tasks.objects import StoreUnavailable
from tasks.outcomes import forget
from tasks.sqs.counts import IN_FLIGHT, VISIBLE

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

ALL = 10_000_000
DELETED_AT_ONCE = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html


@dataclass(frozen=True)
class QueueDepth:
    """How many photos wait, and how many are at a worker; SQS's counts are approximate."""

    backlog: int
    in_flight: int


@dataclass(frozen=True)
class Removed:
    """How much a reset has removed."""

    photos: int
    results: int
    batches: int
    messages: int


def queue_depth() -> QueueDepth:
    """Return the queue's depth.

    Raises:
        StoreUnavailable: SQS failed.
    """
    with unavailable():
        counts = sqs().get_queue_attributes(QueueUrl=_queue_url(), AttributeNames=[VISIBLE, IN_FLIGHT])["Attributes"]
    return QueueDepth(int(counts[VISIBLE]), int(counts[IN_FLIGHT]))


def check() -> dict[str, str]:
    """Return what is broken: the part and the reason; nothing if all can be reached."""
    parts: dict[str, Callable[[], object]] = {
        "photos": lambda: s3().head_bucket(Bucket=settings.input_bucket),
        "results": lambda: s3().head_bucket(Bucket=settings.result_bucket),
        "queue": lambda: sqs().get_queue_attributes(QueueUrl=_queue_url(), AttributeNames=[VISIBLE]),
    }
    return dict(problem for name, ask in parts.items() if (problem := _problem(name, ask)))


def reset() -> Removed:
    """Delete all uploaded photos and all results and empty the queue.

    Photos that workers have at hand may still get a result. What an operator has put into the input bucket stays, as
    does what the scaler keeps beside the results.

    Raises:
        StoreUnavailable: S3 or SQS failed, or the queue was emptied in the last minute already
            (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html); what is left
            is removed by the next reset.
    """
    with unavailable():
        url = _queue_url()
        waiting = int(sqs().get_queue_attributes(QueueUrl=url, AttributeNames=[VISIBLE])["Attributes"][VISIBLE])
        sqs().purge_queue(QueueUrl=url)
    photos = _delete(settings.input_bucket, "", is_id)
    results = _delete(settings.result_bucket, "", is_id)
    batches = _delete(settings.result_bucket, FOLDER, lambda _key: True)
    forget()
    return Removed(photos, results, batches, waiting)


def _delete(bucket: str, prefix: str, concerns: Callable[[str], bool]) -> int:
    removed = [key for key, _size in keys(bucket, prefix, at_most=ALL) if concerns(key)]
    with unavailable():
        for first in range(0, len(removed), DELETED_AT_ONCE):
            part = removed[first : first + DELETED_AT_ONCE]
            wanted: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in part]
            answer = s3().delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
            if failed := answer.get("Errors"):
                raise StoreUnavailable(f"{len(failed)} objects could not be deleted: {failed[0].get('Message', '')}")
    return len(removed)


def _problem(name: str, ask: Callable[[], object]) -> tuple[str, str] | None:
    try:
        with unavailable():
            ask()
    except StoreUnavailable as error:
        return name, str(error)
    return None


@functools.cache
def _queue_url() -> str:
    return sqs().get_queue_url(QueueName=settings.queue)["QueueUrl"]
