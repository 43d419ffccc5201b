"""Which permissions EC2 asks for before it does what it is asked: actions, resources and condition keys. Pure.

After https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html, for the requests that this
system makes; any other needs a permission on everything, which no role has. An EC2 Fleet of type `instant` launches
under the permissions of its caller, so that it needs those of `RunInstances` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Facts(Protocol):
    """What requests only name."""

    region: str
    account: str

    def instance_tags(self, instance_id: str) -> dict[str, str]:
        """Return an instance's tags."""

    def template(self, chosen: dict[str, str]) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return a launch template's id, tags and data."""

    def roles_of(self, profile: dict[str, str]) -> Iterable[str]:
        """Return the ARNs of an instance profile's roles."""


@dataclass(frozen=True)
class Permission:
    """That a policy must allow.

    Attributes:
        action: for instance ``ec2:CreateTags``.
        resource: its ARN.
        context: the request's condition keys.
    """

    action: str
    resource: str
    context: Mapping[str, object] = field(default_factory=dict)


def permissions(parameters: Mapping[str, str], facts: Facts) -> Iterator[Permission]:
    """Yield every permission that a request needs."""
    action = parameters["Action"]
    match action:
        case "CreateTags" | "DeleteTags":
            tags = _pairs(parameters, "Tag")
            yield from _on_instances(f"ec2:{action}", _values(parameters, "ResourceId"), facts, tags)
        case "TerminateInstances":
            yield from _on_instances(f"ec2:{action}", _values(parameters, "InstanceId"), facts, {})
        case "CreateFleet":
            yield from _launch(parameters, "LaunchTemplateConfigs.1.LaunchTemplateSpecification.", facts)
        case "RunInstances":
            yield from _launch(parameters, "LaunchTemplate.", facts)
        case "AssociateAddress":
            yield Permission(f"ec2:{action}", _arn(facts, "elastic-ip", parameters["AllocationId"]))
            yield from _on_instances(f"ec2:{action}", [parameters["InstanceId"]], facts, {})
        case _:
            yield Permission(f"ec2:{action}", "*")


def _on_instances(action: str, ids: Iterable[str], facts: Facts, tags: Mapping[str, str]) -> Iterator[Permission]:
    for instance_id in ids:
        known = {f"aws:ResourceTag/{key}": value for key, value in facts.instance_tags(instance_id).items()}
        yield Permission(action, _arn(facts, "instance", instance_id), {**known, **_request_tags(tags)})


def _launch(parameters: Mapping[str, str], prefix: str, facts: Facts) -> Iterator[Permission]:
    action = f"ec2:{parameters['Action']}"
    chosen = {
        name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix + "Launch")
    }
    version = parameters.get(f"{prefix}Version", "$Default")
    template_id, template_tags, data = facts.template({**chosen, "Version": version}) if chosen else ("", {}, {})
    from_template = {"ec2:LaunchTemplate": _arn(facts, "launch-template", template_id)} if template_id else {}
    tags = _launch_tags(parameters)
    tagged = _request_tags(tags)
    for launching in dict.fromkeys((action, "ec2:RunInstances")):
        context = from_template if launching == "ec2:RunInstances" else {}
        if launching == "ec2:CreateFleet":
            yield Permission(launching, _arn(facts, "fleet", "*"), context)
        yield Permission(launching, _arn(facts, "instance", "*"), {**context, **tagged})
        if template_id:
            theirs = {f"aws:ResourceTag/{key}": value for key, value in template_tags.items()}
            yield Permission(launching, _arn(facts, "launch-template", template_id), {**context, **theirs})
        for part in _parts(parameters, data, facts):
            yield Permission(launching, part, context)
        if tags:
            create = {"ec2:CreateAction": launching.removeprefix("ec2:")}
            yield Permission("ec2:CreateTags", _arn(facts, "instance", "*"), {**create, **tagged})
    profile = data.get("IamInstanceProfile") or {
        name.rpartition(".")[2]: value for name, value in parameters.items() if name.startswith("IamInstanceProfile.")
    }
    for role in facts.roles_of(profile) if profile else ():
        yield Permission("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})


def _parts(parameters: Mapping[str, str], data: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    """Yield the ARNs of what an instance is made of, which is a part of every launch."""
    image = parameters.get("ImageId") or data.get("ImageId", "*")
    yield f"arn:aws:ec2:{facts.region}::image/{image}"
    subnets = [value for name, value in parameters.items() if name.endswith("SubnetId")]
    for kind, names in (
        ("subnet", subnets or ["*"]),
        ("security-group", data.get("SecurityGroupIds") or ["*"]),
        ("network-interface", ["*"]),
        ("volume", ["*"]),
    ):
        yield from (_arn(facts, kind, name) for name in names)
    if parameters.get("TargetCapacitySpecification.DefaultTargetCapacityType") == "spot":
        yield _arn(facts, "spot-instances-request", "*")


def _launch_tags(parameters: Mapping[str, str]) -> dict[str, str]:
    for name, value in parameters.items():
        if name.startswith("TagSpecification.") and name.endswith(".ResourceType") and value == "instance":
            return _pairs(parameters, f"{name.removesuffix('.ResourceType')}.Tag")
    return {}


def _request_tags(tags: Mapping[str, str]) -> dict[str, object]:
    if not tags:
        return {}
    return {**{f"aws:RequestTag/{key}": value for key, value in tags.items()}, "aws:TagKeys": list(tags)}


def _pairs(parameters: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the tags in a request: `NAME.1.Key`, `NAME.1.Value` and so on."""
    keys = {number: parameters[f"{name}.{number}.Key"] for number in _numbers(parameters, name)}
    return {key: parameters.get(f"{name}.{number}.Value", "") for number, key in keys.items()}


def _values(parameters: Mapping[str, str], name: str) -> list[str]:
    return [parameters[f"{name}.{number}"] for number in _numbers(parameters, name)]


def _numbers(parameters: Mapping[str, str], name: str) -> list[int]:
    numbers = set()
    for parameter in parameters:
        if parameter.startswith(f"{name}."):
            numbers.add(int(parameter.removeprefix(f"{name}.").partition(".")[0]))
    return sorted(numbers)


def _arn(facts: Facts, kind: str, name: str) -> str:
    return f"arn:aws:ec2:{facts.region}:{facts.account}:{kind}/{name}"
