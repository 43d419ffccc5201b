"""boto3's clients for what obstore and the transport do not do: listing, deleting many, signing, counting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from celeryconfig import settings
from tasks.objects import StoreUnavailable
from tasks.sqs.clients import QUICK_CONFIG, shared

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


def s3() -> S3Client:
    """Return the process's client of S3; endpoints and keys come from AWS's own environment variables."""
    client: S3Client = shared(("s3",), lambda: _session().client("s3", config=QUICK_CONFIG))
    return client


def sqs() -> SQSClient:
    """Return the process's client of SQS."""
    client: SQSClient = shared(("sqs",), lambda: _session().client("sqs", config=QUICK_CONFIG))
    return client


def _session() -> boto3.Session:
    return boto3.Session(region_name=settings.region)


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn boto3's errors into `StoreUnavailable`."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(str(error)) from error


def keys(bucket: str, prefix: str, *, at_most: int) -> Iterator[tuple[str, int]]:
    """Yield the objects whose keys begin with `prefix`, in order of their keys: key and size in bytes.

    One request for each 1,000: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

    Args:
        bucket: where to look.
        prefix: what keys begin with.
        at_most: objects to yield.

    Raises:
        StoreUnavailable: S3 failed.
    """
    with unavailable():
        pages = s3().get_paginator("list_objects_v2")
        config = {"MaxItems": at_most, "PageSize": min(at_most, 1000)}
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig=config):  # type: ignore[arg-type]
            for item in page.get("Contents", []):
                yield item["Key"], item["Size"]
