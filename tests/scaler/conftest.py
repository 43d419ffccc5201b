"""Fixtures of the scaler's tests."""

from __future__ import annotations

import uuid

import boto3
import pytest

from local.emulators import Emulators
from tasks.objects import Bucket


@pytest.fixture
def bucket(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of the test's own."""
    for name, value in emulators.environ.items():
        monkeypatch.setenv(name, value)
    name = f"scaler-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return Bucket(name, region="us-east-1", endpoint_url=emulators.aws_url)
