"""Creates S3 buckets, in whatever region."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# https://docs.aws.amazon.com/general/latest/gr/s3.html: the one region that must not be named when creating
DEFAULT_LOCATION = "us-east-1"


def create_bucket(s3: S3Client, bucket: str, region: str) -> None:
    """Create a bucket in the client's region.

    Raises:
        botocore.exceptions.ClientError: S3 refuses, for instance because another account has that name.
    """
    if region == DEFAULT_LOCATION:
        s3.create_bucket(Bucket=bucket)
    else:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]  # any region
