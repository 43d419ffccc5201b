"""Which photos came together: one object in the result bucket for each batch of several photos."""

from __future__ import annotations

import functools
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from celeryconfig import settings
from tasks import ids
from tasks.aws import keys
from tasks.objects import Bucket
from tasks.result_objects import JSON_CONTENT, in_parallel
from tasks.store import image_store

FOLDER = "batches/"
PHOTOS_REMEMBERED = 100_000
NOTES_AT_MOST = 10_000


@dataclass(frozen=True)
class Photo:
    """A photo that was taken.

    Attributes:
        id: of the photo, of its task and of its result.
        name: what its owner called it.
        key: where it is stored in the input bucket, if that is not under its id.
        replaces: the id of a photo of the same batch whose place it takes.
    """

    id: str
    name: str
    key: str = ""
    replaces: str = ""


@dataclass(frozen=True)
class Batch:
    """Photos that came together."""

    id: str
    created_at_s: float
    photos: tuple[Photo, ...]


class Batches:
    """The batches in one bucket: for each a note of its first photos, and one for each time that some were added.

    Who adds to a batch writes a note of his own, so that several can do it at the same time. Every method raises
    `StoreUnavailable` when S3 fails.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._notes: LRUCache[tuple[str, int], tuple[Photo, ...]] = LRUCache(PHOTOS_REMEMBERED, getsizeof=len)
        self._lock = threading.Lock()

    def write(self, note: str, photos: Sequence[Photo]) -> None:
        """Note photos under a batch's id or under `new_note`; one that came alone is its own batch and needs none."""
        if [photo.id for photo in photos] == [note] and not photos[0].key:
            return
        if not photos:
            self._bucket.delete(FOLDER + note)
            return
        lines = [_filled([photo.id, photo.name, photo.key, photo.replaces]) for photo in photos]
        self._bucket.put(FOLDER + note, json.dumps({"photos": lines}).encode(), JSON_CONTENT)

    def read(self, batch_id: str) -> Batch | None:
        """Return a batch, or None if there is none under this id."""
        if not ids.is_id(batch_id):
            return None
        notes = self._notes_of(batch_id)
        photos = [photo for known in in_parallel(self._read, notes) for photo in known]
        if FOLDER + batch_id not in dict(notes) and image_store(settings).exists(batch_id):
            photos.insert(0, Photo(batch_id, ""))
        return Batch(batch_id, ids.made_at_s(batch_id), in_place(photos)) if photos else None

    def exists(self, batch_id: str) -> bool:
        """Tell whether there is a batch under this id."""
        if not ids.is_id(batch_id):
            return False
        return any(keys(self._bucket.name, FOLDER + batch_id, at_most=1)) or image_store(settings).exists(batch_id)

    def find(self, photo_id: str) -> Photo | None:
        """Return a photo from the notes of its batch, or None if it is in none."""
        notes = self._notes_of(ids.prefix_of(photo_id))
        return next((photo for note in notes for photo in self._read(note) if photo.id == photo_id), None)

    def _notes_of(self, prefix: str) -> list[tuple[str, int]]:
        return list(keys(self._bucket.name, FOLDER + prefix, at_most=NOTES_AT_MOST))

    def _read(self, note: tuple[str, int]) -> tuple[Photo, ...]:
        # By its size as well: a note whose photos could not all be queued was written anew, shorter.
        with self._lock:
            known = self._notes.get(note)
        if known is None:
            stored = self._bucket.get(note[0])
            lines = json.loads(stored.data)["photos"] if stored is not None else []
            known = tuple(Photo(*line) for line in lines)
            if len(known) <= PHOTOS_REMEMBERED:
                with self._lock:
                    self._notes[note] = known
        return known


def in_place(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    """Put each photo that replaces another into that one's place.

    >>> in_place([Photo("a", ""), Photo("b", ""), Photo("c", "", replaces="a"), Photo("d", "", replaces="c")])
    (Photo(id='d', name='', key='', replaces='c'), Photo(id='b', name='', key='', replaces=''))
    """
    place: dict[str, int] = {}
    placed: list[Photo] = []
    for photo in photos:
        where = place.get(photo.replaces, len(placed))
        placed[where : where + 1] = [photo]
        place[photo.id] = where
    return tuple(placed)


def _filled(line: list[str]) -> list[str]:
    """Leave the empty fields at the end out."""
    while not line[-1] and len(line) > 2:  # noqa: PLR2004 - id and name
        line = line[:-1]
    return line


def new_note(batch_id: str, now_s: float) -> str:
    """Return a name for the note of photos that are added to a batch; notes are read in the order of their making."""
    return f"{batch_id}/{round(now_s * 1000):011x}-{secrets.token_hex(4)}"


@functools.cache
def batches() -> Batches:
    """Return the process's batches."""
    return Batches(Bucket(settings.result_bucket, region=settings.region, endpoint_url=settings.s3_url))
