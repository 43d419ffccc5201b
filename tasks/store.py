"""The photos in S3: key is the photo's id, the name its owner gave it travels as metadata."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import quote, unquote

from tasks.objects import Bucket
from tasks.settings import Settings

# S3 allows 2 KB of metadata in all, in ASCII: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
MAX_QUOTED_NAME_CHARS = 1024
NAME_ATTRIBUTE = "name"


class ImageMissing(Exception):
    """The photo is not, or no longer, stored."""


@dataclass(frozen=True)
class StoredPhoto:
    """A photo as it was uploaded."""

    name: str
    content_type: str
    data: bytes = field(repr=False)


class ImageStore:
    """Photos by id."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, image_id: str, file: IO[bytes], *, size_bytes: int, name: str, content_type: str) -> None:
        """Store a photo, which is read from where `file` stands.

        Raises:
            StoreUnavailable: S3 failed.
            ValueError: HTTP cannot carry `content_type`.
        """
        self._bucket.upload(
            image_id, file, size_bytes, {"Content-Type": content_type, NAME_ATTRIBUTE: quoted_name(name)}
        )

    def get(self, image_id: str) -> bytes:
        """Return a photo's bytes.

        Raises:
            ImageMissing: no photo is stored under this id.
            StoreUnavailable: S3 failed.
        """
        stored = self._bucket.get(image_id)
        if stored is None:
            raise ImageMissing("The photo is no longer stored; please upload it again.")
        return stored.data

    def find(self, image_id: str) -> StoredPhoto | None:
        """Return a photo with what is known of it; None if it is not there.

        Raises:
            StoreUnavailable: S3 failed.
        """
        stored = self._bucket.get(image_id)
        if stored is None:
            return None
        attributes = stored.attributes
        return StoredPhoto(unquote(attributes.get(NAME_ATTRIBUTE, "")), attributes.get("Content-Type", ""), stored.data)

    def stream(self, image_id: str) -> Iterator[bytes] | None:
        """Return a photo's bytes piece by piece; None if it is not there.

        Raises:
            StoreUnavailable: S3 failed, now or while the pieces are taken.
        """
        return self._bucket.stream(image_id)

    def exists(self, image_id: str) -> bool:
        """Tell whether a photo is stored under this id.

        Raises:
            StoreUnavailable: S3 failed.
        """
        return self._bucket.exists(image_id)

    def delete(self, image_id: str) -> None:
        """Delete a photo; one that is not there is no error.

        Raises:
            StoreUnavailable: S3 failed.
        """
        self._bucket.delete(image_id)


def quoted_name(name: str) -> str:
    """Return a file name as ASCII that fits into S3's metadata; `urllib.parse.unquote` gives it back.

    A long name loses its end, by whole characters; half of a surrogate pair, which no text can hold, becomes "?".
    """
    quoted: list[str] = []
    room_chars = MAX_QUOTED_NAME_CHARS
    for char in name:
        piece = quote(char, safe="", errors="replace")
        room_chars -= len(piece)
        if room_chars < 0:
            break
        quoted.append(piece)
    return "".join(quoted)


@functools.cache
def image_store(settings: Settings) -> ImageStore:
    """Return the process's store of photos for `settings`."""
    return ImageStore(Bucket(settings.input_bucket, region=settings.region, endpoint_url=settings.s3_url))
