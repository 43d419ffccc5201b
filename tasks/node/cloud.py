"""Reads what the safety net needs to know: the scaler's lease in S3 and the queue's counts in SQS."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tasks.names import LEASE_KEY
from tasks.node.safety_net import Reading
from tasks.objects import Bucket, StoreUnavailable
from tasks.sqs.counts import DELAYED, IN_FLIGHT, VISIBLE

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

    from tasks.settings import Settings

COUNTS: tuple[QueueAttributeNameType, ...] = (VISIBLE, IN_FLIGHT, DELAYED)
CONFIG = Config(connect_timeout=2, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2})
S3_TIMEOUT = timedelta(seconds=5)

log = logging.getLogger(__name__)


class Cloud:
    """One deployment's lease and queue.

    Args:
        settings: where they are. AWS's standard variables must be set (`Settings.aws_environ`).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._sqs = boto3.client("sqs", config=CONFIG)
        self._bucket = Bucket(
            settings.result_bucket, region=settings.region, endpoint_url=settings.s3_url, request_timeout=S3_TIMEOUT
        )

    def read(self, known_lease: str | None) -> Reading:
        """Look at the lease, and at the queue if the lease is still `known_lease`: a live scaler looks after the rest."""
        try:
            stored = self._bucket.get(LEASE_KEY)
        except StoreUnavailable as error:
            log.warning("the scaler's lease cannot be read: %s", error)
            return Reading(None, None)
        lease = "" if stored is None else stored.e_tag
        return Reading(lease, self._queue_empty() if lease == known_lease else None)

    def _queue_empty(self) -> bool | None:
        try:
            url = self._sqs.get_queue_url(QueueName=self.settings.queue)["QueueUrl"]
            counts = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(COUNTS))["Attributes"]
            return all(int(counts[name]) == 0 for name in COUNTS)
        except (ClientError, BotoCoreError, KeyError, ValueError) as error:
            log.warning("the queue's counts cannot be read: %s", error)
            return None
