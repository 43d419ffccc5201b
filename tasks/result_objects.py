"""Task results as objects in a bucket: which of two results stays, and how hard storing one is tried.

Knows of Celery only the names of its states.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from celery import states

from tasks.objects import Bucket, StoreUnavailable
from tasks.polling import growing_pauses, rounds

PARALLEL_READS = 32
FEW = 8
# Each other worker that stores the same task's result at the same time costs at most one round.
MAX_ROUNDS = 10
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
JSON_CONTENT = {"Content-Type": "application/json"}

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


class ResultObjects:
    """Results in one bucket. Every method raises `StoreUnavailable` when S3 fails.

    Args:
        bucket: where they are.
        patience_s: how long storing a final state is tried.
    """

    def __init__(self, bucket: Bucket, patience_s: float) -> None:
        self._bucket = bucket
        self._patience_s = patience_s

    def get(self, key: str) -> bytes | None:
        """Read one object with one GET; None if it is not there."""
        stored = self._bucket.get(key)
        return None if stored is None else stored.data

    def put(self, key: str, value: bytes) -> None:
        """Write one object with one PUT over whatever is there."""
        self._bucket.put(key, value, JSON_CONTENT)

    def delete(self, key: str) -> None:
        """Delete one object; one that is not there is no error."""
        self._bucket.delete(key)

    def store(self, key: str, value: bytes, state: str) -> None:
        """Store a task's result, one PUT if it is the first; a SUCCESS that is there stays, silently.

        When S3 fails, a final state is tried again for `patience_s`. Any other is a note on the way: tried once.
        """
        patience_s = self._patience_s if state in states.READY_STATES else 0.0
        failure: StoreUnavailable | None = None
        for _round in rounds(growing_pauses(FIRST_RETRY_S, LAST_RETRY_S), patience_s):
            try:
                return self._write(key, value, state)
            except StoreUnavailable as error:
                failure = error
                log.warning("%s %s is not stored yet: %s", state, key, error)
        raise StoreUnavailable(f"{state} {key} could not be stored within {patience_s:g} s: {failure}") from failure

    def _write(self, key: str, value: bytes, state: str) -> None:
        if self._bucket.create(key, value, JSON_CONTENT):
            return
        for _round in range(MAX_ROUNDS):
            stored = self._bucket.get(key)
            if stored is None:  # deleted meanwhile
                if self._bucket.create(key, value, JSON_CONTENT):
                    return
            elif is_success(stored.data) or self._bucket.replace(key, value, stored.e_tag, JSON_CONTENT):
                return
            elif state != states.SUCCESS:
                return  # another worker wrote after our look: the same as ours first, then theirs over it
        raise StoreUnavailable(
            f"{key} changes all the time, or is there and must not be read (the role needs s3:GetObject)"
        )


def is_success(value: bytes) -> bool:
    """Tell whether a stored result is a SUCCESS."""
    return bool(json.loads(value)["status"] == states.SUCCESS)


def in_parallel(read: Callable[[Item], Outcome], items: Sequence[Item]) -> list[Outcome]:
    """Return `read` of each item, in order. `read` must not read in parallel itself.

    By threads, which work beside any event loop and were about as fast as obstore's asyncio calls for 1,000 results
    (bench/results_store.py prints both). For a few items they are shared and stay, as starting them took longer than
    the reading; many get their own, so that nobody's few wait behind them.
    """
    if len(items) <= 1:
        return [read(item) for item in items]
    if len(items) <= FEW:
        others = [_threads().submit(read, item) for item in items[1:]]
        return [read(items[0]), *(other.result() for other in others)]
    with ThreadPoolExecutor(min(PARALLEL_READS, len(items))) as pool:
        return list(pool.map(read, items))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(PARALLEL_READS, thread_name_prefix="read")


# Threads do not survive a fork, and work given to those of the parent would never be done.
os.register_at_fork(after_in_child=_threads.cache_clear)
