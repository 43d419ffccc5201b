"""The one place that makes this package's AWS clients: boto3's own chain of keys, one account, one region."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from deploy.errors import DeployError

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts.type_defs import GetCallerIdentityResponseTypeDef

# CloudFormation allows few calls a second; the SDK waits and asks again.
CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 8})


@dataclass(frozen=True)
class Aws:
    """An account in a region, as whoever runs the command may use it."""

    session: boto3.Session
    region: str

    @classmethod
    def connect(cls, region: str = "") -> Aws:
        """Return the clients of the environment's keys; `region` is the environment's if it is empty.

        Raises:
            DeployError: no region is set.
        """
        chosen = region or os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")
        session = boto3.Session(region_name=chosen or None)
        if not session.region_name:
            raise DeployError("no AWS region is set: give --region, or set AWS_REGION")
        return cls(session, session.region_name)

    @cached_property
    def account_id(self) -> str:
        """The account's number.

        Raises:
            botocore.exceptions.ClientError: the keys are wrong.
        """
        return self._caller["Account"]

    @cached_property
    def partition(self) -> str:
        """What ARNs begin with here: aws, aws-cn or aws-us-gov.

        Raises:
            botocore.exceptions.ClientError: the keys are wrong.
        """
        return self._caller["Arn"].split(":")[1]

    @cached_property
    def _caller(self) -> GetCallerIdentityResponseTypeDef:
        return self.session.client("sts", config=CONFIG).get_caller_identity()

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """A client of CloudFormation."""
        return self.session.client("cloudformation", config=CONFIG)

    @cached_property
    def s3(self) -> S3Client:
        """A client of S3."""
        return self.session.client("s3", config=CONFIG)

    @cached_property
    def sqs(self) -> SQSClient:
        """A client of SQS."""
        return self.session.client("sqs", config=CONFIG)

    @cached_property
    def ec2(self) -> EC2Client:
        """A client of EC2."""
        return self.session.client("ec2", config=CONFIG)

    @cached_property
    def autoscaling(self) -> AutoScalingClient:
        """A client of EC2 Auto Scaling."""
        return self.session.client("autoscaling", config=CONFIG)

    @cached_property
    def iam(self) -> IAMClient:
        """A client of IAM."""
        return self.session.client("iam", config=CONFIG)
