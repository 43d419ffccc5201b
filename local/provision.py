"""Creates in the embedded AWS what a deployment's template creates in a real one: buckets, queues, a node's template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import boto3

from deploy.buckets import create_bucket
from local.launch_template import ensure_launch_template, user_data
from tasks.lifecycle import ensure_lifecycle
from tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

DEAD_LETTER_RETENTION_S = 14 * 24 * 3600  # the longest that SQS keeps a message


def provision(settings: Settings) -> None:
    """Create buckets, queue and dead-letter queue where they are missing; leave what is there as it is.

    Raises:
        botocore.exceptions.BotoCoreError: the embedded AWS cannot be reached.
        botocore.exceptions.ClientError: it refuses a request.
    """
    session = _session(settings)
    s3 = session.client("s3", endpoint_url=settings.aws_environ["AWS_ENDPOINT_URL_S3"])
    sqs = session.client("sqs", endpoint_url=settings.aws_environ["AWS_ENDPOINT_URL_SQS"])
    for bucket in (settings.input_bucket, settings.result_bucket):
        _ensure_bucket(s3, bucket, settings)
    _ensure_queues(sqs, settings)


def provision_nodes(settings: Settings, template: str, environ: Mapping[str, str]) -> None:
    """Have the launch template `template` boot nodes with the settings that `environ` gives.

    Raises:
        botocore.exceptions.BotoCoreError: the embedded AWS cannot be reached.
        botocore.exceptions.ClientError: it refuses a request.
    """
    ec2 = _session(settings).client("ec2", endpoint_url=settings.aws_environ["AWS_ENDPOINT_URL_EC2"])
    ensure_launch_template(ec2, template, user_data(environ))


def _session(settings: Settings) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=settings.aws_environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings.aws_environ["AWS_SECRET_ACCESS_KEY"],
        region_name=settings.region,
    )


def _ensure_bucket(s3: S3Client, bucket: str, settings: Settings) -> None:
    if bucket not in {known["Name"] for known in s3.list_buckets()["Buckets"]}:
        create_bucket(s3, bucket, settings.region)
    ensure_lifecycle(s3, bucket, settings.expire_days)


def _ensure_queues(sqs: SQSClient, settings: Settings) -> None:
    dead_letters = sqs.create_queue(QueueName=settings.dead_letter_queue)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dead_letters, Attributes={"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S)})
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    # One more than the workers' own limit: on that receive the task's FAILURE is stored (tasks/sqs/poison.py).
    redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": settings.max_receives + 1}
    queue = sqs.create_queue(QueueName=settings.queue)["QueueUrl"]
    sqs.set_queue_attributes(
        QueueUrl=queue,
        Attributes={"VisibilityTimeout": str(settings.visibility_timeout_s), "RedrivePolicy": json.dumps(redrive)},
    )
