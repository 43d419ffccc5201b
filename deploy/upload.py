"""Puts artefacts and templates into the artefact bucket, which it makes on first use: private, encrypted, TLS only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from botocore.exceptions import ClientError

from deploy.artifact import ROOT, Artifact, artifact_key
from deploy.aws import Aws
from deploy.buckets import create_bucket
from deploy.errors import DeployError

TEMPLATES = ROOT / "deploy" / "templates"
MAIN = "main.yaml"
DIGEST_CHARS = 12


@dataclass(frozen=True)
class Templates:
    """The templates as they are uploaded.

    Attributes:
        prefix: of their keys; another content has another, so that what a stack was made from stays as it was.
        files: contents by name.
    """

    prefix: str
    files: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path = TEMPLATES) -> Templates:
        """Read the templates of a folder."""
        files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.yaml"))}
        digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + data for name, data in files.items()))
        return cls(f"templates/{digest.hexdigest()[:DIGEST_CHARS]}", files)

    @property
    def main(self) -> str:
        """The template that the others are nested in."""
        return self.files[MAIN].decode()


def bucket_name(aws: Aws) -> str:
    """Return the name of the bucket that this account's deployments in this region share."""
    return f"classifier-artifacts-{aws.account_id}-{aws.region}"


def ensure_bucket(aws: Aws, bucket: str) -> None:
    """Create the artefact bucket if it is missing; close it, also after changes by hand, unless it is the operator's own.

    Raises:
        botocore.exceptions.ClientError: S3 refuses, for instance because another account has that name.
    """
    try:
        aws.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=aws.account_id)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        create_bucket(aws.s3, bucket, aws.region)
        _close_bucket(aws, bucket)
    else:
        if bucket == bucket_name(aws):
            _close_bucket(aws, bucket)


def _close_bucket(aws: Aws, bucket: str) -> None:
    aws.s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    aws.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption)  # type: ignore[arg-type]  # a plain dict
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(_tls_only(aws.partition, bucket)))


def _tls_only(partition: str, bucket: str) -> dict[str, object]:
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def upload_artifact(aws: Aws, bucket: str, artifact: Artifact) -> bool:
    """Upload a version unless it is there already; return whether it was uploaded.

    Raises:
        botocore.exceptions.ClientError: S3 refuses.
    """
    if has_artifact(aws, bucket, artifact.version):
        return False
    aws.s3.put_object(Bucket=bucket, Key=artifact.key, Body=artifact.data, ContentType="application/gzip")
    return True


def has_artifact(aws: Aws, bucket: str, version: str) -> bool:
    """Tell whether a version's archive is in the bucket.

    Raises:
        botocore.exceptions.ClientError: S3 refuses to say.
    """
    try:
        aws.s3.head_object(Bucket=bucket, Key=artifact_key(version))
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def require_artifact(aws: Aws, bucket: str, version: str) -> None:
    """Make sure that a version's archive is in the bucket.

    Raises:
        DeployError: it is not.
        botocore.exceptions.ClientError: S3 refuses to say.
    """
    if not has_artifact(aws, bucket, version):
        raise DeployError(
            f"s3://{bucket}/{artifact_key(version)} is not there: `python -m deploy artifact list` tells the versions "
            "that are, and deploying from that commit's checkout uploads it"
        )


def upload_templates(aws: Aws, bucket: str, templates: Templates) -> str:
    """Upload the templates; return the main one's URL.

    Raises:
        botocore.exceptions.ClientError: S3 refuses.
    """
    for name, data in templates.files.items():
        aws.s3.put_object(Bucket=bucket, Key=f"{templates.prefix}/{name}", Body=data, ContentType="text/yaml")
    return f"https://s3.{aws.region}.amazonaws.com/{bucket}/{templates.prefix}/{MAIN}"


def versions(aws: Aws, bucket: str) -> list[tuple[str, str, int]]:
    """Return the versions in the bucket, newest first: version, time, bytes.

    Raises:
        botocore.exceptions.ClientError: S3 refuses, for instance because there is no such bucket.
    """
    before, after = artifact_key("\0").split("\0")
    found = [
        (item["Key"].removeprefix(before).removesuffix(after), f"{item['LastModified']:%Y-%m-%d %H:%M}", item["Size"])
        for page in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=before)
        for item in page.get("Contents", [])
    ]
    return sorted(found, key=lambda version: version[1], reverse=True)
