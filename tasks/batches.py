"""Which photos came together: one object in the result bucket for each batch of several photos."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from celeryconfig import settings
from tasks import ids
from tasks.objects import Bucket
from tasks.store import image_store

JSON_CONTENT = {"Content-Type": "application/json"}
FOLDER = "batches/"


@dataclass(frozen=True)
class Photo:
    """A photo that was taken.

    Attributes:
        id: of the photo, of its task and of its result.
        name: what its owner called it.
        key: where it is stored in the input bucket, if that is not under its id.
    """

    id: str
    name: str
    key: str = ""


@dataclass(frozen=True)
class Batch:
    """Photos that came together."""

    id: str
    created_at_s: float
    photos: tuple[Photo, ...]


class Batches:
    """The batches in one bucket. Every method raises `StoreUnavailable` when S3 fails."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def write(self, batch_id: str, photos: Sequence[Photo]) -> None:
        """Note the photos of a batch; one that came alone is its own batch and needs no note; one of none is forgotten."""
        if [photo.id for photo in photos] == [batch_id]:
            return
        if not photos:
            self._bucket.delete(FOLDER + batch_id)
            return
        lines = [[photo.id, photo.name, *([photo.key] if photo.key else [])] for photo in photos]
        self._bucket.put(FOLDER + batch_id, json.dumps({"photos": lines}).encode(), JSON_CONTENT)

    def read(self, batch_id: str) -> Batch | None:
        """Return a batch, or None if there is none under this id."""
        if not ids.is_id(batch_id):
            return None
        stored = self._bucket.get(FOLDER + batch_id)
        if stored is not None:
            photos = tuple(Photo(*line) for line in json.loads(stored.data)["photos"])
        elif image_store(settings).exists(batch_id):
            photos = (Photo(batch_id, ""),)
        else:
            return None
        return Batch(batch_id, ids.made_at_s(batch_id), photos)


@functools.cache
def batches() -> Batches:
    """Return the process's batches."""
    return Batches(Bucket(settings.result_bucket, region=settings.region, endpoint_url=settings.s3_url))
