"""Buckets in the regions where S3 wants to be told and in the one where it does not."""

from __future__ import annotations

import uuid

import boto3
import pytest

from deploy.buckets import create_bucket
from local.emulators import ACCESS_KEY, Emulators


@pytest.mark.stack
@pytest.mark.parametrize(("region", "location"), [("us-east-1", None), ("eu-central-1", "eu-central-1")])
def test_a_bucket_is_made_in_the_region(emulators: Emulators, region: str, location: str | None) -> None:
    """S3 has to be told every region but us-east-1, which it refuses to be told, and does not tell either."""
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=region)
    s3 = session.client("s3", endpoint_url=emulators.ec2_url)  # moto is as strict
    bucket = f"made-{uuid.uuid4().hex[:8]}"
    create_bucket(s3, bucket, region)
    assert s3.get_bucket_location(Bucket=bucket).get("LocationConstraint") == location
