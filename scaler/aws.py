"""Builds the scaler's AWS clients: short timeouts, few retries, so that a tick never hangs on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sqs import SQSClient

# Two attempts at most: what fails twice is tried again at the next tick, with everything else observed anew.
CONFIG = Config(connect_timeout=2, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2})


def ec2_client() -> EC2Client:
    """Return a client of EC2; endpoint, region and credentials are those of the environment."""
    return boto3.client("ec2", config=CONFIG)


def sqs_client() -> SQSClient:
    """Return a client of SQS; endpoint, region and credentials are those of the environment."""
    return boto3.client("sqs", config=CONFIG)
