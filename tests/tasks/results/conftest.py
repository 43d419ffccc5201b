"""A bucket of the test's own, seen through a counting proxy, and Celery apps that keep their results in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from celery import Celery

from bench.counting_proxy import CountingProxy, counting_proxy
from local.emulators import ACCESS_KEY, REGION, Emulators
from tests.tasks.results.apps import make_celery

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def s3_client(emulators: Emulators) -> S3Client:
    """boto3's S3 client for the emulator; making one takes longer than most tests here."""
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": ACCESS_KEY}
    return boto3.client("s3", endpoint_url=emulators.aws_url, region_name=REGION, **keys)


@pytest.fixture
def s3(s3_client: S3Client, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """boto3's S3 client for the emulator; this process has the emulator's keys."""
    for name, value in emulators.environ.items():
        monkeypatch.setenv(name, value)
    return s3_client


@pytest.fixture
def bucket(s3: S3Client) -> str:
    """The name of a new bucket."""
    name = f"results-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def proxy(emulators: Emulators) -> Iterator[CountingProxy]:
    """The emulator's S3 behind a counting proxy."""
    with counting_proxy(emulators.aws_url) as running:
        yield running


@pytest.fixture
def app(bucket: str, proxy: CountingProxy) -> Celery:
    """A Celery app with results in the bucket, by way of the proxy, that gives up storing one after a second."""
    return make_celery(bucket, proxy.url, store_deadline_s=1.0)


@pytest.fixture
def new_id() -> str:
    """The id of a new task."""
    return str(uuid.uuid4())
