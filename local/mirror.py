"""Carries a deployment's launch template from the emulator of CloudFormation to the one that runs instances.

What places an instance in a network stays behind: the other emulator has no such network, nor needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from local.launch_template import MISSING

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import RequestLaunchTemplateDataTypeDef, TagTypeDef

KEPT = ("UserData", "IamInstanceProfile", "InstanceInitiatedShutdownBehavior")


def mirror_launch_template(source: EC2Client, target: EC2Client, name: str) -> None:
    """Have `target` know every version of a launch template that `source` knows, by the same numbers.

    Raises:
        botocore.exceptions.ClientError: an emulator refuses a request.
    """
    found = source.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
    tags = source.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"][0].get("Tags", [])
    image = target.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    known = _known(target, name)
    for version in sorted(found, key=lambda entry: entry["VersionNumber"]):
        if version["VersionNumber"] <= known:
            continue
        given = {key: value for key, value in version["LaunchTemplateData"].items() if key in KEPT}
        data = cast(
            "RequestLaunchTemplateDataTypeDef",
            {**given, "ImageId": image, "MetadataOptions": {"HttpTokens": "required"}},
        )
        if version["VersionNumber"] == 1:
            _create(target, name, data, tags)
        else:
            target.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)


def _known(ec2: EC2Client, name: str) -> int:
    try:
        return ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"][0]["LatestVersionNumber"]
    except ClientError as error:
        if error.response["Error"]["Code"] == MISSING:
            return 0
        raise


def _create(ec2: EC2Client, name: str, data: RequestLaunchTemplateDataTypeDef, tags: list[TagTypeDef]) -> None:
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData=data,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
    )
