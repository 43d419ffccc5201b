"""How items are divided into batches that SQS takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from tasks.sqs.quotas import MAX_BATCH_BYTES, MAX_BATCH_ENTRIES

Item = TypeVar("Item")


def split(items: Sequence[Item], sizes_bytes: Sequence[int] | None = None) -> Iterator[list[Item]]:
    """Divide items, in order, into batches of at most 10 and, where sizes are given, at most 256 KiB.

    An item that is larger by itself gets a batch of its own, for SQS to refuse.

    >>> [len(batch) for batch in split(range(23))]
    [10, 10, 3]
    """
    batch: list[Item] = []
    batch_bytes = 0
    for item, size_bytes in zip(items, sizes_bytes or [0] * len(items), strict=True):
        if batch and (len(batch) == MAX_BATCH_ENTRIES or batch_bytes + size_bytes > MAX_BATCH_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size_bytes
    if batch:
        yield batch
