"""The web tier's only door to Celery: submit photos, fetch their results.

Imports neither torch nor the task itself; the task is sent by its name.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError
from cachetools import TTLCache
from kombu.exceptions import OperationalError

from celeryconfig import settings
from tasks.app import app
from tasks.inference.decode import ImageInfo, probe
from tasks.names import CLASSIFY
from tasks.objects import StoreUnavailable
from tasks.sqs.sends import Call, send_many
from tasks.store import image_store

__all__ = ["Outcome", "StoreUnavailable", "SubmitError", "Upload", "fetch", "probe_photo", "submit_many"]

PARALLEL_PUTS = 8
NOT_QUEUED = "The photo could not be queued right now; please try again."
BROKER_ERRORS = (OperationalError, BotoCoreError, ClientError)
# The errors whose message was written for the person who uploaded the photo.
READABLE_ERRORS = frozenset({"BadImage", "ImageMissing", "InferenceTimeout", "PoisonMessage"})

# Far below the days after which photos expire; a photo that is reset meanwhile stays "pending" for as long.
KNOWN_FOR_S = 600
KNOWN_AT_MOST = 100_000

log = logging.getLogger(__name__)
_uploaded: TTLCache[str, bool] = TTLCache(KNOWN_AT_MOST, KNOWN_FOR_S)
_uploaded_lock = threading.Lock()


@dataclass(frozen=True)
class Upload:
    """A photo to classify: its bytes, and what its owner called it."""

    name: str
    data: bytes = field(repr=False)
    content_type: str


class SubmitError(Exception):
    """A photo was not taken; the message tells its owner why."""


@dataclass(frozen=True)
class Outcome:
    """What is known of an id: never uploaded, still waiting, a result or a readable error."""

    state: Literal["UNKNOWN", "PENDING", "SUCCESS", "FAILURE"]
    name: str = ""
    result: dict[str, object] = field(default_factory=dict)
    error: str = ""


def probe_photo(data: bytes) -> ImageInfo:
    """Read a photo's format and size from its header.

    Raises:
        BadImage: not a photo, or one with more pixels than are decoded.
    """
    return probe(data, max_pixels=settings.max_image_pixels)


def submit_many(uploads: Sequence[Upload]) -> list[str | SubmitError]:
    """Store the photos in parallel and send a classify task for each, in batches.

    Returns:
        In order, each photo's id, or why it was not taken; of those nothing is left behind.
    """
    if not uploads:
        return []
    outcomes = _store_all(uploads)
    stored = [(outcome, upload) for outcome, upload in zip(outcomes, uploads, strict=True) if isinstance(outcome, str)]
    calls = [Call(CLASSIFY, image_id, (image_id,), {"name": upload.name}) for image_id, upload in stored]
    unsent = {call.task_id for call, error in zip(calls, _send(calls), strict=True) if error is not None}
    for image_id in unsent:
        _discard(image_id)
    return [SubmitError(NOT_QUEUED) if outcome in unsent else outcome for outcome in outcomes]


def _store_all(uploads: Sequence[Upload]) -> list[str | SubmitError]:
    if len(uploads) == 1:  # as most requests are: a thread would only cost time
        return [_store(uploads[0])]
    with ThreadPoolExecutor(min(PARALLEL_PUTS, len(uploads))) as pool:
        return list(pool.map(_store, uploads))


def _store(upload: Upload) -> str | SubmitError:
    image_id = str(uuid.uuid4())
    try:
        image_store(settings).put(image_id, upload.data, name=upload.name, content_type=upload.content_type)
    except StoreUnavailable:
        log.exception("photo not stored")
        return SubmitError("The photo could not be stored right now; please try again.")
    return image_id


def _send(calls: Sequence[Call]) -> Sequence[Exception | None]:
    errors: Sequence[Exception | None]
    try:
        errors = send_many(app, calls, queue=settings.queue)
    except BROKER_ERRORS as unreachable:
        errors = [unreachable] * len(calls)
    for reason in {str(error) for error in errors if error is not None}:
        log.error("tasks not sent: %s", reason)
    return errors


def _discard(image_id: str) -> None:
    try:
        image_store(settings).delete(image_id)
    except StoreUnavailable as error:
        log.warning("photo %s stays until it expires: %s", image_id, error)


def fetch(image_id: str) -> Outcome:
    """Look up what became of a photo.

    Raises:
        StoreUnavailable: the result store could not be reached.
    """
    meta = app.backend.get_task_meta(image_id)
    state = meta["status"]
    if state == "SUCCESS":
        return Outcome("SUCCESS", meta["result"]["name"], meta["result"])
    name = str((meta.get("kwargs") or {}).get("name", ""))
    if state in {"FAILURE", "REVOKED"}:
        return Outcome("FAILURE", name, error=_readable(image_id, meta["result"]))
    return Outcome("PENDING", name) if _is_uploaded(image_id) else Outcome("UNKNOWN")


def _is_uploaded(image_id: str) -> bool:
    # Who waits for a result asks again and again: S3 need not be asked each time whether there is a photo at all.
    with _uploaded_lock:
        if image_id in _uploaded:
            return True
    found = image_store(settings).exists(image_id)
    if found:
        with _uploaded_lock:
            _uploaded[image_id] = True
    return found


def _readable(image_id: str, error: object) -> str:
    if type(error).__name__ in READABLE_ERRORS:
        return str(error)
    return f"The photo could not be classified ({type(error).__name__}). Quote {image_id} to the operator."
