"""The keys that an emulated instance gets by its metadata: those of the role of its launch template's profile.

EC2 assumes the role for an instance and renews the keys before they run out; here they are new at each question.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2 import EC2Client

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoleKeys:
    """Temporary keys of a role, as an instance's metadata have them.

    Attributes:
        role: its name.
        document: what the metadata service answers.
    """

    role: str
    document: dict[str, str]


def assume(session: boto3.Session, role_arn: str, session_name: str) -> RoleKeys:
    """Return new keys of a role that EC2 may assume.

    Raises:
        botocore.exceptions.ClientError: the role does not trust the caller, or is not there.
    """
    found = session.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
    document = {
        "Code": "Success",
        "LastUpdated": _instant(datetime.now(UTC)),
        "Type": "AWS-HMAC",
        "AccessKeyId": found["AccessKeyId"],
        "SecretAccessKey": found["SecretAccessKey"],
        "Token": found["SessionToken"],
        "Expiration": _instant(found["Expiration"]),
    }
    return RoleKeys(role_arn.rpartition("/")[2], document)


class NodeRole:
    """The role of a deployment's nodes.

    The emulated EC2 forgets which profile an instance was launched with, but all nodes have one launch template.

    Args:
        session: of the account's root, for IAM and STS.
        ec2: a client.
        template: the launch template's name.
    """

    def __init__(self, session: boto3.Session, ec2: EC2Client, template: str) -> None:
        self._session = session
        self._ec2 = ec2
        self._template = template

    def keys_of(self, instance_id: str) -> RoleKeys | None:
        """Return new keys for an instance; None if its template has no profile, or AWS does not answer."""
        try:
            profile = self._profile()
            if profile is None:
                return None
            found = self._session.client("iam").get_instance_profile(InstanceProfileName=profile)
            return assume(self._session, found["InstanceProfile"]["Roles"][0]["Arn"], instance_id)
        except (BotoCoreError, ClientError) as error:
            log.warning("%s gets no keys: %s", instance_id, error)
            return None

    def _profile(self) -> str | None:
        versions = self._ec2.describe_launch_template_versions(LaunchTemplateName=self._template, Versions=["$Latest"])
        named = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"].get("IamInstanceProfile", {})
        return named.get("Name") or named.get("Arn", "").rpartition("/")[2] or None


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
