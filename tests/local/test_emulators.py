"""The emulated AWS that everything else stands on."""

from __future__ import annotations

import boto3
import pytest

from local.emulators import Emulators, answers


@pytest.mark.stack
def test_both_emulators_answer(emulators: Emulators) -> None:
    """S3 comes from ministack and EC2 from moto, each at its own endpoint."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=emulators.aws_url, **keys)  # type: ignore[call-overload]  # keywords
    ec2 = boto3.client("ec2", endpoint_url=emulators.ec2_url, **keys)  # type: ignore[call-overload]  # keywords
    s3.create_bucket(Bucket="answers")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]].count("answers") == 1
    assert "Reservations" in ec2.describe_instances()


def test_a_closed_port_does_not_answer() -> None:
    """A server that is not there is reported as such, not as an exception."""
    assert not answers("http://127.0.0.1:9/")
