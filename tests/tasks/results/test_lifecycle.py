"""The rule that lets S3 delete old objects."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from bench.counting_proxy import counting_proxy
from local.emulators import Emulators
from tasks.lifecycle import RULE_ID, ensure_lifecycle, whole_days

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def rules(s3: S3Client, bucket: str) -> dict[str, Any]:
    """Return the bucket's rules by id."""
    return {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}


@pytest.mark.stack
def test_the_rule_is_made_and_changed_beside_those_of_others(s3: S3Client, bucket: str) -> None:
    """A rule that someone else made stays as it is; ours follows the setting."""
    theirs: Any = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "t/"}, "Expiration": {"Days": 90}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [theirs]})
    for days in (7, 30):
        ensure_lifecycle(s3, bucket, days)
        found = rules(s3, bucket)
        assert set(found) == {"theirs", RULE_ID}
        assert found["theirs"]["Expiration"] == {"Days": 90}
        assert found[RULE_ID]["Expiration"] == {"Days": days}
        assert found[RULE_ID]["Status"] == "Enabled"


@pytest.mark.stack
def test_a_rule_that_is_right_is_not_written_again(emulators: Emulators, s3: S3Client, bucket: str) -> None:
    """Provisioning twice changes nothing and writes nothing."""
    ensure_lifecycle(s3, bucket, 7)
    with counting_proxy(emulators.aws_url) as proxy:
        counted = boto3.client("s3", endpoint_url=proxy.url)
        ensure_lifecycle(counted, bucket, 7)
        assert proxy.take() == ["GET"]
        ensure_lifecycle(counted, bucket, 8)
        assert proxy.take() == ["GET", "PUT"]


@pytest.mark.stack
def test_a_bucket_that_does_not_exist_is_an_error(s3: S3Client) -> None:
    """Only the absence of rules counts as no rules."""
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucket"):
        ensure_lifecycle(s3, "no-such-bucket-of-ours", 7)


@pytest.mark.parametrize(
    ("expires", "days"),
    [
        pytest.param(timedelta(days=7), 7, id="days"),
        pytest.param(timedelta(days=1, seconds=1), 2, id="a second more"),
        pytest.param(60, 1, id="a minute, in seconds"),
        pytest.param(172_800.0, 2, id="two days, in seconds"),
    ],
)
def test_result_expires_is_rounded_up_to_days(expires: timedelta | float, days: int) -> None:
    """S3 counts in days: a result is never deleted before Celery's `result_expires`."""
    assert whole_days(expires) == days
