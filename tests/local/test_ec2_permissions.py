"""Which permissions the enforced EC2 asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from local.ec2_permissions import Facts, Permission, permissions

EC2 = "arn:aws:ec2:us-east-1:000000000000:"
TEMPLATE = f"{EC2}launch-template/lt-1"
LAUNCH = {
    "Action": "CreateFleet",
    "LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName": "node",
    "LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version": "3",
    "LaunchTemplateConfigs.1.Overrides.1.SubnetId": "subnet-1",
    "TargetCapacitySpecification.DefaultTargetCapacityType": "spot",
    "TagSpecification.1.ResourceType": "instance",
    "TagSpecification.1.Tag.1.Key": "deployment",
    "TagSpecification.1.Tag.1.Value": "blue",
}
TAGGED = {"aws:RequestTag/deployment": "blue", "aws:TagKeys": ["deployment"]}


class Known(Facts):
    """One instance, one launch template, one instance profile."""

    region, account = "us-east-1", "000000000000"

    def instance_tags(self, instance_id: str) -> dict[str, str]:
        """Return the tags."""
        return {"deployment": "blue"} if instance_id == "i-1" else {}

    def template(self, chosen: dict[str, str]) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return the template."""
        assert chosen == {"LaunchTemplateName": "node", "Version": "3"}
        data = {"ImageId": "ami-1", "SecurityGroupIds": ["sg-1"], "IamInstanceProfile": {"Name": "node"}}
        return "lt-1", {"deployment": "blue"}, data

    def roles_of(self, profile: dict[str, str]) -> Iterable[str]:
        """Return the role."""
        assert profile == {"Name": "node"}
        return ["arn:aws:iam::000000000000:role/node"]


def asked(**parameters: str) -> list[Permission]:
    """Return what a request needs."""
    return list(permissions(parameters, Known()))


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        pytest.param(
            {"Action": "DescribeInstances"}, [Permission("ec2:DescribeInstances", "*")], id="what-has-no-resources"
        ),
        pytest.param(
            {"Action": "TerminateInstances", "InstanceId.1": "i-1", "InstanceId.2": "i-2"},
            [
                Permission("ec2:TerminateInstances", f"{EC2}instance/i-1", {"aws:ResourceTag/deployment": "blue"}),
                Permission("ec2:TerminateInstances", f"{EC2}instance/i-2", {}),
            ],
            id="each-instance-with-its-tags",
        ),
        pytest.param(
            {"Action": "CreateTags", "ResourceId.1": "i-2", "Tag.1.Key": "deployment", "Tag.1.Value": "blue"},
            [Permission("ec2:CreateTags", f"{EC2}instance/i-2", TAGGED)],
            id="new-tags-are-not-the-instances-own",
        ),
    ],
)
def test_requests_need_permissions_on_what_they_name(parameters: dict[str, str], wanted: list[Permission]) -> None:
    """Each resource is asked for with the condition keys that are true of it."""
    assert asked(**parameters) == wanted


def test_a_fleet_needs_what_its_instances_need() -> None:
    """A fleet launches under its caller's permissions: template, parts, tags and the role that is passed on."""
    needed = asked(**LAUNCH)
    from_template = {"ec2:LaunchTemplate": TEMPLATE}
    assert Permission("ec2:CreateFleet", f"{EC2}fleet/*", {}) in needed
    assert Permission("ec2:RunInstances", f"{EC2}instance/*", {**from_template, **TAGGED}) in needed
    assert Permission("ec2:RunInstances", TEMPLATE, {**from_template, "aws:ResourceTag/deployment": "blue"}) in needed
    assert Permission("ec2:CreateTags", f"{EC2}instance/*", {"ec2:CreateAction": "CreateFleet", **TAGGED}) in needed
    passed = {"iam:PassedToService": "ec2.amazonaws.com"}
    assert Permission("iam:PassRole", "arn:aws:iam::000000000000:role/node", passed) in needed
    parts = {need.resource.rpartition(":")[2].partition("/")[0] for need in needed if need.action == "ec2:RunInstances"}
    assert parts == {
        "image",
        "instance",
        "launch-template",
        "network-interface",
        "security-group",
        "spot-instances-request",
        "subnet",
        "volume",
    }
