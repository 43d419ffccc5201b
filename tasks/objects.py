"""Reads and writes whole objects in one S3 bucket, and says what S3's errors mean."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, TYPE_CHECKING

import obstore
from botocore.exceptions import BotoCoreError
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, PreconditionError

from tasks.object_client import open_store, refuse_after_fork

if TYPE_CHECKING:
    from obstore import GetResult, PutMode
    from obstore.store import S3Store

# Of one request, its body included: S3 answers in tens of milliseconds; what takes time is a large photo on a slow line.
REQUEST_TIMEOUT = timedelta(seconds=30)
# The least that S3 takes for all parts but the last: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES = 5 * 2**20
PIECE_BYTES = 64 * 2**10
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
ERROR_CODE = re.compile(r"<Code>(\w+)</Code>")
UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
REASON_CHARS = 300

log = logging.getLogger(__name__)


class StoreUnavailable(Exception):
    """S3 could not be reached or refused the request; the same request may succeed later."""


@dataclass(frozen=True)
class StoredObject:
    """An object as it was read."""

    data: bytes = field(repr=False)
    e_tag: str
    attributes: Mapping[str, str]


class Bucket:
    """Whole objects by key: one request each, none of which needs to list the bucket.

    Every method raises `StoreUnavailable` when S3 fails. Writing raises `ValueError` for a key or an attribute that
    cannot be sent as it is; nothing is there under such a key.

    Args:
        name: the bucket.
        region: its AWS region.
        endpoint_url: where S3 is; empty for AWS itself.
        request_timeout: how long one request may take, its body included.

    Raises:
        StoreUnavailable: there are no credentials.
    """

    def __init__(
        self, name: str, *, region: str, endpoint_url: str, request_timeout: timedelta = REQUEST_TIMEOUT
    ) -> None:
        self.name = name
        self._hinted = False
        with self._errors():
            self._store = open_store(name, region, endpoint_url, request_timeout)

    def get(self, key: str) -> StoredObject | None:
        """Read an object with one GET; None if it is not there.

        S3 answers 403 instead of 404 to callers that may not list the bucket, so both mean "not there":
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        """
        if not is_storable(key):
            return None
        with self._errors():
            try:
                answer = obstore.get(self._client(), key)
                attributes = {str(name): str(value) for name, value in answer.attributes.items()}
                return StoredObject(bytes(answer.bytes()), answer.meta["e_tag"] or "", attributes)
            except (FileNotFoundError, PermissionDeniedError) as error:
                self._raise_unless_missing(error)
                return None

    def stream(self, key: str) -> Iterator[bytes] | None:
        """Read an object with one GET, piece by piece as the caller takes them; None if it is not there."""
        if not is_storable(key):
            return None
        with self._errors():
            try:
                answer = obstore.get(self._client(), key)
            except (FileNotFoundError, PermissionDeniedError) as error:
                self._raise_unless_missing(error)
                return None
        return self._pieces(answer)

    def exists(self, key: str) -> bool:
        """Tell with one HEAD whether an object is there; 403 means "no", as for `get`."""
        if not is_storable(key):
            return False
        with self._errors():
            try:
                obstore.head(self._client(), key)
            except (FileNotFoundError, PermissionDeniedError) as error:
                self._raise_unless_missing(error)
                return False
            return True

    def put(self, key: str, data: bytes, attributes: Mapping[str, str] | None = None) -> None:
        """Write an object with one PUT, over whatever is there."""
        self._put(key, data, attributes or {}, "overwrite")

    def upload(self, key: str, file: IO[bytes], size_bytes: int, attributes: Mapping[str, str]) -> None:
        """Write a file's content over whatever is there: with one PUT, or, if it is large, part by part.

        Parts are sent one after the other, so that a few of them at most are in memory.
        """
        if size_bytes <= PART_BYTES:
            self.put(key, file.read(size_bytes), attributes)
            return
        self._check(key, attributes)
        with self._errors():
            obstore.put(
                self._client(), key, file, attributes=dict(attributes), chunk_size=PART_BYTES, max_concurrency=1
            )

    def create(self, key: str, data: bytes, attributes: Mapping[str, str] | None = None) -> bool:
        """Write an object with one PUT unless there is one; tell whether it was written."""
        return self._put(key, data, attributes or {}, "create")

    def replace(self, key: str, data: bytes, e_tag: str, attributes: Mapping[str, str] | None = None) -> bool:
        """Write an object with one PUT if the one there still has `e_tag`; tell whether it was written."""
        return self._put(key, data, attributes or {}, {"e_tag": e_tag})

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        if not is_storable(key):
            return
        with self._errors():
            obstore.delete(self._client(), key)

    def _put(self, key: str, data: bytes, attributes: Mapping[str, str], mode: PutMode) -> bool:
        self._check(key, attributes)
        with self._errors():
            try:
                # In one part: every part would be a request of its own.
                obstore.put(self._client(), key, data, attributes=dict(attributes), mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

    def _pieces(self, answer: GetResult) -> Iterator[bytes]:
        with self._errors():
            for piece in answer.stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    def _check(self, key: str, attributes: Mapping[str, str]) -> None:
        if not is_storable(key):
            raise ValueError(f"{key!r} cannot be a key in S3")
        for name, value in attributes.items():
            # obstore panics, past every `except Exception`, on a value that HTTP cannot carry.
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"attribute {name}={value!r} is not printable ASCII")

    def _raise_unless_missing(self, error: FileNotFoundError | PermissionDeniedError) -> None:
        if not is_missing(error):
            raise error
        if isinstance(error, PermissionDeniedError) and not self._hinted:
            self._hinted = True
            log.warning(
                "bucket %s answers 403; it is taken as 'not there', which is what S3 means by it for a role that may not "
                "list the bucket. If objects are missed, check the role's s3:GetObject: %s",
                self.name,
                _reason(error),
            )

    def _client(self) -> S3Store:
        refuse_after_fork()
        return self._store

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, BotoCoreError, OSError) as error:
            raise StoreUnavailable(f"S3 bucket {self.name}: {_reason(error)}") from error


def is_missing(error: FileNotFoundError | PermissionDeniedError) -> bool:
    """Tell whether a 404 or 403 to a read means that the object is not there.

    It does not when the bucket is missing, nor when S3 refuses the caller's keys rather than the request (unknown,
    expired, clock wrong). HEAD carries no code, so that its 403 is always taken as "not there".
    """
    found = ERROR_CODE.search(str(error))
    code = found[1] if found else ""
    if isinstance(error, PermissionDeniedError):
        return code in {"", "AccessDenied"}
    return code != "NoSuchBucket"


def _reason(error: Exception) -> str:
    text = str(error).strip()
    line = text.partition("\n")[0][:REASON_CHARS]
    code = ERROR_CODE.search(text)
    return f"{line} ({code[1]})" if code and code[1] not in line else line


def is_storable(key: str) -> bool:
    """Tell whether an object can have this key.

    obstore takes no ASCII control characters, no halves of surrogate pairs, no "." or ".." between slashes and no two
    slashes in a row; it takes slashes at the ends off, and the empty key for the bucket itself.
    """
    return not UNSENDABLE.search(key) and not {"", ".", ".."} & set(key.split("/"))
