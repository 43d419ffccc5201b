"""Lets S3 delete a bucket's objects when they are old. Knows nothing of what they are."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef

RULE_ID = "expire-objects"


def whole_days(expires: timedelta | float) -> int:
    """Return Celery's `result_expires` (a timedelta or seconds) as S3 counts: in days, rounded up, at least one."""
    lifetime = expires if isinstance(expires, timedelta) else timedelta(seconds=expires)
    return max(1, math.ceil(lifetime / timedelta(days=1)))


def ensure_lifecycle(s3: S3Client, bucket: str, expire_days: int) -> None:
    """Have S3 delete the bucket's objects `expire_days` after they were written; the rules of others are kept.

    S3 rounds up to the next midnight UTC and may take a while to get round to it:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html

    Raises:
        botocore.exceptions.ClientError: S3 refuses to read or write the rules.
    """
    ours: LifecycleRuleTypeDef = {
        "ID": RULE_ID,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": expire_days},
    }
    rules = _rules(s3, bucket)
    wanted = [*(rule for rule in rules if rule.get("ID") != RULE_ID), ours]
    if wanted != rules:
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": wanted})


def _rules(s3: S3Client, bucket: str) -> list[LifecycleRuleTypeDef]:
    try:
        return s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]  # type: ignore[return-value]  # as it is put
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []
