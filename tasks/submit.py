"""Takes photos in: stores them, notes which came together, and sends a classify task for each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import OperationalError

from celeryconfig import settings
from tasks import ids
from tasks.app import app
from tasks.aws import keys
from tasks.batches import Photo, batches, new_note
from tasks.names import CLASSIFY
from tasks.objects import StoreUnavailable
from tasks.outcomes import uploaded
from tasks.sqs.gather import Gather
from tasks.sqs.sends import Call, send_many
from tasks.store import image_store

# Of the whole process: together with obstore's parts of a large photo they bound what uploads hold in memory.
PARALLEL_REQUESTS = 8
NOT_STORED = "The photo could not be stored right now; please try again."
NOT_QUEUED = "The photo could not be queued right now; please try again."
NOT_UPLOADED = "The photo was not uploaded under this id, or it has expired."
# Objects under a prefix that are looked through in vain, 1,000 a request, before a longer prefix is asked for.
OTHERS_AT_MOST = 100_000
BROKER_ERRORS = (OperationalError, BotoCoreError, ClientError)

Item = TypeVar("Item")
Done = TypeVar("Done")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """Who sends photos: the name of an API key, "" without keys, and the id of the HTTP request."""

    owner: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Upload:
    """A photo to classify.

    Attributes:
        name: what its owner called it.
        content_type: as its content says.
        file: its bytes, which are read when its turn comes.
        size_bytes: how many.
        replaces: the id of a photo of the same batch whose place it takes.
    """

    name: str
    content_type: str
    file: IO[bytes] = field(repr=False)
    size_bytes: int
    replaces: str = ""


class UnknownBatch(LookupError):
    """There is no batch under this id."""


class SubmitError(Exception):
    """A photo was not taken; the message tells its owner why.

    Attributes:
        name: what the owner calls it.
        is_temporary: whether the same may succeed later.
    """

    def __init__(self, name: str, reason: str, *, is_temporary: bool = True) -> None:
        super().__init__(reason)
        self.name = name
        self.is_temporary = is_temporary


@dataclass(frozen=True)
class Submitted:
    """What became of photos that were sent together: in order, each was taken or not."""

    batch_id: str
    outcomes: tuple[Photo | SubmitError, ...]

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Those that were taken."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Photo))


def submit(uploads: Sequence[Upload], sender: Sender, *, batch_id: str = "") -> Submitted:
    """Store photos in parallel and send a classify task for each, in batches; of one not taken nothing stays.

    With `batch_id` they are added to that batch.

    Raises:
        StoreUnavailable: S3 failed when it was noted which photos came together; none was taken.
        UnknownBatch: there is no such batch.
    """
    made = _ids(sender, len(uploads), batch_id)

    def put(pair: tuple[str, Upload]) -> Photo | SubmitError:
        photo_id, upload = pair
        try:
            image_store(settings).put(
                photo_id, upload.file, size_bytes=upload.size_bytes, name=upload.name, content_type=upload.content_type
            )
        except StoreUnavailable:
            log.exception("photo not stored")
            return SubmitError(upload.name, NOT_STORED)
        return Photo(photo_id, upload.name, replaces=upload.replaces)

    outcomes = _in_parallel(put, list(zip(made.photos, uploads, strict=True)))
    return _send(made.batch, outcomes, sender, added=bool(batch_id), discards=True)


def submit_prefix(prefix: str, sender: Sender, *, at_most: int, max_bytes: int) -> Submitted:
    """Classify what is stored in the input bucket under keys that begin with `prefix`, where it is.

    Photos that users have uploaded are left out; what is larger than `max_bytes` is not taken.

    Raises:
        StoreUnavailable: S3 failed; nothing was sent.
        ValueError: nothing is there, more than `at_most`, or too much else; the message says so.
    """
    listed = keys(settings.input_bucket, prefix, at_most=at_most + OTHERS_AT_MOST + 1)
    found = photos_among(listed, at_most=at_most)
    if not found:
        raise ValueError(f"No photos are stored under s3://{settings.input_bucket}/{prefix}")
    made = ids.new_ids(sender.owner, len(found), time.time())

    def judge(photo_id: str, key: str, size_bytes: int) -> Photo | SubmitError:
        name = key.rsplit("/", 1)[-1]
        if size_bytes > max_bytes:
            return SubmitError(
                name, f"The file has {size_bytes:,} bytes; at most {max_bytes:,} are taken.", is_temporary=False
            )
        return Photo(photo_id, name, key)

    photos = [judge(photo_id, *item) for photo_id, item in zip(made.photos, found, strict=True)]
    return _send(made.batch, photos, sender)


def photos_among(listed: Iterable[tuple[str, int]], *, at_most: int) -> list[tuple[str, int]]:
    """Return those of the objects, keys and sizes in bytes, that users have put there themselves, all of them.

    Raises:
        ValueError: there are more than `at_most`, or so much else that it is not looked through; the message says so.
    """
    found: list[tuple[str, int]] = []
    for before, (key, size_bytes) in enumerate(listed):
        if size_bytes and not ids.is_id(key):  # neither a folder's marker nor what came through the app
            found.append((key, size_bytes))
            if len(found) > at_most:
                raise ValueError(
                    f"More than {at_most} photos are stored under this prefix; at most as many are taken at a time."
                )
        elif before - len(found) >= OTHERS_AT_MOST:
            raise ValueError(
                f"Beside photos of yours, more than {OTHERS_AT_MOST:,} objects are stored under this prefix; "
                "name a longer one."
            )
    return found


def submit_uploaded(photos: Sequence[Photo], sender: Sender, *, batch_id: str = "") -> Submitted:
    """Classify photos that their owner has put into S3 by `tasks.presigned`; with `batch_id`, as part of that batch.

    Those that could not be sent stay stored: their owner sends the ids again, not the photos.

    Raises:
        StoreUnavailable: S3 failed; nothing was sent.
        UnknownBatch: there is no such batch.
    """

    def look(photo: Photo) -> Photo | SubmitError:
        if image_store(settings).exists(photo.id):
            return photo
        return SubmitError(photo.name, NOT_UPLOADED, is_temporary=False)

    alone = len(photos) == 1 and not batch_id
    # What was signed together stays together: a link to the batch then opens its photos too.
    together = len({ids.prefix_of(photo.id) for photo in photos}) == 1 and not batch_id
    made = photos[0].id if alone else ids.more_ids(photos[0].id, 1)[0] if together else _ids(sender, 2, batch_id).batch
    return _send(made, _in_parallel(look, photos), sender, added=bool(batch_id))


def _ids(sender: Sender, photos: int, batch_id: str) -> ids.NewIds:
    if not batch_id:
        return ids.new_ids(sender.owner, photos, time.time())
    if not batches().exists(batch_id):
        raise UnknownBatch(batch_id)
    return ids.NewIds(batch_id, ids.more_ids(batch_id, photos))


def _send(
    batch_id: str,
    outcomes: Sequence[Photo | SubmitError],
    sender: Sender,
    *,
    added: bool = False,
    discards: bool = False,
) -> Submitted:
    """Note the batch, then send its tasks: whoever learns of a photo can also learn of its batch.

    With `discards`, those that could not be sent are deleted: only who has just stored them may say so.
    """
    photos = [outcome for outcome in outcomes if isinstance(outcome, Photo)]
    note = new_note(batch_id, time.time()) if added else batch_id
    try:
        batches().write(note, photos)
    except StoreUnavailable:
        if discards:
            _discard([photo.id for photo in photos])
        raise
    unsent = _unsent(photos, sender)
    if unsent:
        if discards:
            _discard(unsent)
        try:
            batches().write(note, [photo for photo in photos if photo.id not in unsent])
        except StoreUnavailable:
            # The others are queued: to say that nothing was taken would have them sent twice.
            log.exception("batch %s goes on naming photos that were not queued", batch_id)
    for photo in photos:
        if photo.id not in unsent:
            uploaded.add(photo.id, photo.name)
    return Submitted(
        batch_id,
        tuple(
            SubmitError(outcome.name, NOT_QUEUED) if isinstance(outcome, Photo) and outcome.id in unsent else outcome
            for outcome in outcomes
        ),
    )


def _unsent(photos: Sequence[Photo], sender: Sender) -> set[str]:
    calls = [Call(CLASSIFY, photo.id, (photo.key or photo.id,), _arguments(photo, sender)) for photo in photos]
    errors: Sequence[Exception | None]
    try:
        errors = [_gather.send(calls[0])] if len(calls) == 1 else _send_all(calls)
    except BROKER_ERRORS as unreachable:
        errors = [unreachable] * len(calls)
    for reason in {str(error) for error in errors if error is not None}:
        log.error("tasks not sent: %s", reason)
    return {call.task_id for call, error in zip(calls, errors, strict=True) if error is not None}


def _send_all(calls: Sequence[Call]) -> Sequence[Exception | None]:
    return send_many(app, calls, queue=settings.queue)


# Photos that come one by one, at the same time, from many.
_gather = Gather(_send_all)


def _arguments(photo: Photo, sender: Sender) -> Mapping[str, str]:
    return {"name": photo.name} | ({"request_id": sender.request_id} if sender.request_id else {})


def _discard(photo_ids: Iterable[str]) -> None:
    for photo_id in photo_ids:
        try:
            image_store(settings).delete(photo_id)
        except StoreUnavailable as error:
            log.warning("photo %s stays until it expires: %s", photo_id, error)


_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _in_parallel(work: Callable[[Item], Done], items: Sequence[Item]) -> list[Done]:
    global _pool  # noqa: PLW0603 - one per process, made on first use: a server forks after it has loaded the app
    if len(items) == 1:  # as most requests are: a thread would only cost time
        return [work(items[0])]
    with _pool_lock:
        _pool = _pool or ThreadPoolExecutor(PARALLEL_REQUESTS, thread_name_prefix="store")
    return list(_pool.map(work, items))
