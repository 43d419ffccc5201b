"""What an operator asks of the whole system: how much waits, what is broken, begin anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache, cached

from celeryconfig import settings
from tasks.aws import keys, s3, sqs, unavailable
from tasks.batches import FOLDER
from tasks.objects import StoreUnavailable
from tasks.outcomes import forget
from tasks.sqs.counts import IN_FLIGHT, VISIBLE

ALL = 10_000_000
DELETED_AT_ONCE = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
DEPTH_FOR_S = 2.0


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


@cached(TTLCache(1, DEPTH_FOR_S), lock=threading.Lock())
def queue_depth() -> QueueDepth:
    """Return the queue's depth, as it was at most two seconds ago.

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
    """Delete all photos and results and empty the queue; photos that workers have at hand may still get a result.

    Raises:
        StoreUnavailable: S3 or SQS failed, or the queue was emptied in the last minute already
            (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html); what is left
            is removed by the next reset.
    """
    with unavailable():
        url = _queue_url()
        waiting = int(sqs().get_queue_attributes(QueueUrl=url, AttributeNames=[VISIBLE])["Attributes"][VISIBLE])
        sqs().purge_queue(QueueUrl=url)
    photos = _empty(settings.input_bucket)
    results = _empty(settings.result_bucket)
    forget()
    batches = sum(key.startswith(FOLDER) for key in results)
    return Removed(len(photos), len(results) - batches, batches, waiting)


def _empty(bucket: str) -> list[str]:
    removed = [key for key, _size in keys(bucket, "", at_most=ALL)]
    with unavailable():
        for first in range(0, len(removed), DELETED_AT_ONCE):
            part = removed[first : first + DELETED_AT_ONCE]
            s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in part], "Quiet": True})
    return removed


def _problem(name: str, ask: Callable[[], object]) -> tuple[str, str] | None:
    try:
        with unavailable():
            ask()
    except StoreUnavailable as error:
        return name, str(error)
    return None


def _queue_url() -> str:
    return sqs().get_queue_url(QueueName=settings.queue)["QueueUrl"]
