"""Lets users put large photos straight into S3, past the web tier, within limits that S3 itself keeps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celeryconfig import settings
from tasks import ids
from tasks.aws import s3, unavailable
from tasks.submit import Sender


@dataclass(frozen=True)
class PresignedUpload:
    """A form that S3 takes: POST `fields`, then the file as the last field ``file``, to `url`."""

    id: str
    name: str
    url: str
    fields: Mapping[str, str]


def presign(names: Sequence[str], sender: Sender, *, max_bytes: int, expires_in_s: int) -> list[PresignedUpload]:
    """Return a form for each photo, which S3 takes as long as it is fresh and the file not empty nor too large.

    Raises:
        StoreUnavailable: there are no credentials to sign with.
    """
    with unavailable():
        return [
            PresignedUpload(photo_id, name, *_sign(photo_id, max_bytes, expires_in_s))
            for photo_id, name in zip(ids.new_ids(sender.owner, len(names), time.time()).photos, names, strict=True)
        ]


def _sign(key: str, max_bytes: int, expires_in_s: int) -> tuple[str, Mapping[str, str]]:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
    conditions = [["content-length-range", 1, max_bytes]]
    form = s3().generate_presigned_post(settings.input_bucket, key, Conditions=conditions, ExpiresIn=expires_in_s)
    return form["url"], form["fields"]
