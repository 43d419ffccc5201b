"""The web tier's only door to Celery: submit photos, follow them to their results.

Imports neither torch nor the task itself; the task is sent by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from celeryconfig import settings
from tasks.batches import Batch, Photo, batches
from tasks.housekeeping import QueueDepth, Removed, check, queue_depth, reset
from tasks.ids import is_id, owner_tag, prefix_of, tag_of
from tasks.inference.decode import DAMAGED, ImageInfo, probe, upright
from tasks.objects import StoreUnavailable
from tasks.outcomes import Outcome, Recent, fetch, fetch_many, read_final, recent, wait
from tasks.presigned import PresignedUpload, presign
from tasks.store import StoredPhoto, image_store
from tasks.submit import Sender, SubmitError, Submitted, UnknownBatch, Upload, submit, submit_prefix, submit_uploaded

__all__ = [
    "DAMAGED",
    "Batch",
    "Outcome",
    "Photo",
    "PresignedUpload",
    "QueueDepth",
    "Recent",
    "Removed",
    "Sender",
    "StoreUnavailable",
    "StoredPhoto",
    "SubmitError",
    "Submitted",
    "UnknownBatch",
    "Upload",
    "check",
    "fetch",
    "fetch_many",
    "find_photo",
    "get_batch",
    "input_bucket",
    "is_id",
    "model_name",
    "owner_tag",
    "prefix_of",
    "presign",
    "probe_photo",
    "queue_depth",
    "read_final",
    "recent",
    "reset",
    "stream_photo",
    "submit",
    "submit_prefix",
    "submit_uploaded",
    "tag_of",
    "upright",
    "wait",
]

input_bucket = settings.input_bucket
model_name = settings.model


def probe_photo(file: IO[bytes]) -> ImageInfo:
    """Read a photo's format and size from its header; the file is left where it stood.

    Raises:
        BadImage: not a photo, or one with more pixels than are decoded.
    """
    begin = file.tell()
    try:
        return probe(file, max_pixels=settings.max_image_pixels)
    finally:
        file.seek(begin)


def get_batch(batch_id: str) -> Batch | None:
    """Return which photos came together; None if there is no such batch.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    return batches().read(batch_id)


def stream_photo(photo_id: str) -> Iterator[bytes] | None:
    """Return a photo's bytes piece by piece, as they are taken; None if it is not, or no longer, there.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    return image_store(settings).stream(photo_id) if is_id(photo_id) else None


def find_photo(photo_id: str) -> StoredPhoto | None:
    """Return a photo as it was uploaded; None if it is not, or no longer, there.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    return image_store(settings).find(photo_id) if is_id(photo_id) else None
