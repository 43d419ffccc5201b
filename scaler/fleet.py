"""The nodes as EC2 instances: lists, launches, tags and terminates them. Decides nothing.

That an instance answers metadata requests by IMDSv2 only, and is terminated when it shuts itself down, is the launch
template's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from botocore.exceptions import ClientError

from scaler.ec2_errors import FAILED, meaning_of, refusal_of
from scaler.instances import ROLE, TAG_DEPLOYMENT, TAG_LAUNCH, TAG_PHASE, TAG_ROLE, TAG_VERSION, Instance, instance_of
from scaler.state import DEFAULT_VERSION, LaunchOutcome, Meaning, Phase

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        CreateFleetRequestTypeDef,
        CreateFleetResultTypeDef,
        FilterTypeDef,
        FleetLaunchTemplateOverridesRequestTypeDef,
        TagTypeDef,
    )

NON_TERMINATED = ("pending", "running", "shutting-down", "stopping", "stopped")
# What the token of the on-demand part of a launch ends with.
FALLBACK = "-od"
GONE = "InvalidInstanceID.NotFound"
# The most that EC2 gives; without a size it gives all at once, and may time out or throttle over it:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
PAGE_SIZE = 1000

Market = Literal["spot", "on-demand"]
Purchase = Literal["spot", "on-demand", "spot-with-fallback"]


class FleetError(Exception):
    """EC2 failed, or said what cannot be understood; the message is one line."""


@dataclass(frozen=True)
class Template:
    """What instances are launched from.

    Attributes:
        name: of the launch template.
        instance_types: those that will do, best first.
        subnets: where; empty for the template's own.
        purchase: how they are paid for.
    """

    name: str
    instance_types: tuple[str, ...]
    subnets: tuple[str, ...]
    purchase: Purchase


class Fleet(Protocol):
    """What the scaler does with instances. All but `launch` raise `FleetError` when EC2 fails."""

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance of the deployment that is not terminated."""

    def launch(self, count: int, token: str, version: str) -> LaunchOutcome:
        """Launch instances from a version of the launch template; the same token launches no more.

        Never raises: refusals are in the outcome.
        """

    def mark(self, ids: Sequence[str], phase: Phase, now_s: float) -> None:
        """Write down what instances are told."""

    def unmark(self, ids: Sequence[str]) -> None:
        """Write down that instances are told nothing any more."""

    def terminate(self, ids: Sequence[str]) -> None:
        """Terminate instances; those that are gone already are no error."""


class Ec2Fleet:
    """The deployment's instances in EC2.

    Args:
        ec2: the client.
        deployment: tells its instances from those of others.
        template: what they are launched from.
    """

    def __init__(self, ec2: EC2Client, deployment: str, template: Template) -> None:
        self._ec2 = ec2
        self._deployment = deployment
        self._template = template

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance that is not terminated, from as many pages as there are.

        Raises:
            FleetError: EC2 failed, or an answer lacks a field: "don't know" is not "none".
        """
        filters: list[FilterTypeDef] = [
            {"Name": f"tag:{TAG_DEPLOYMENT}", "Values": [self._deployment]},
            {"Name": f"tag:{TAG_ROLE}", "Values": [ROLE]},
            {"Name": "instance-state-name", "Values": list(NON_TERMINATED)},
        ]
        try:
            pages = self._ec2.get_paginator("describe_instances").paginate(
                Filters=filters, PaginationConfig={"PageSize": PAGE_SIZE}
            )
            found = [
                item for page in pages for reservation in page["Reservations"] for item in reservation["Instances"]
            ]
            return tuple(instance_of(item) for item in found)
        except FAILED as error:
            raise FleetError(f"instances cannot be listed: {refusal_of(error)[1]}") from error
        except (KeyError, ValueError) as error:
            raise FleetError(f"EC2's list of instances cannot be understood: {error!r}") from error

    def launch(self, count: int, token: str, version: str = DEFAULT_VERSION) -> LaunchOutcome:
        """Launch instances by an EC2 Fleet of type `instant`, which may give a part and says why not the rest.

        Where spot has no capacity and the purchase allows it, the rest is asked for on demand, under a token derived
        from the first. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
        """
        on_demand = self._template.purchase == "on-demand"
        outcome = self._create(count, token, "on-demand" if on_demand else "spot", version)
        missing = count - len(outcome.launched)
        meanings = {meaning for meaning, _ in outcome.refusals}
        if (
            self._template.purchase != "spot-with-fallback"
            or not missing
            or outcome.forbidden
            or meanings & {Meaning.THROTTLED, Meaning.UNAVAILABLE}
        ):
            return outcome
        rest = self._create(missing, token + FALLBACK, "on-demand", version)
        left = () if len(rest.launched) >= missing else (*outcome.refusals, *rest.refusals)
        return LaunchOutcome(count, (*outcome.launched, *rest.launched), left)

    def mark(self, ids: Sequence[str], phase: Phase, now_s: float) -> None:
        """Write into the instances' tags what they are told, and when.

        Raises:
            FleetError: EC2 failed.
        """
        with _errors(f"{', '.join(ids)} cannot be marked as {phase}"):
            self._ec2.create_tags(Resources=list(ids), Tags=[{"Key": TAG_PHASE, "Value": f"{phase}@{now_s:.0f}"}])

    def unmark(self, ids: Sequence[str]) -> None:
        """Take the mark off.

        Raises:
            FleetError: EC2 failed.
        """
        with _errors(f"the marks of {', '.join(ids)} cannot be taken off"):
            self._ec2.delete_tags(Resources=list(ids), Tags=[{"Key": TAG_PHASE}])

    def terminate(self, ids: Sequence[str]) -> None:
        """Terminate instances one by one, as one that is gone would keep the others from it.

        Raises:
            FleetError: EC2 failed.
        """
        for instance_id in ids:
            with _errors(f"{instance_id} cannot be terminated"):
                try:
                    self._ec2.terminate_instances(InstanceIds=[instance_id])
                except ClientError as error:
                    if error.response["Error"]["Code"] != GONE:
                        raise

    def _create(self, count: int, token: str, market: Market, version: str) -> LaunchOutcome:
        try:
            answer = self._ec2.create_fleet(**self._request(count, token, market, version))
        except FAILED as error:
            return LaunchOutcome(count, (), (refusal_of(error),))
        return _outcome(count, answer)

    def _request(self, count: int, token: str, market: Market, version: str) -> CreateFleetRequestTypeDef:
        overrides: list[FleetLaunchTemplateOverridesRequestTypeDef] = [
            {"InstanceType": instance_type, "Priority": priority, **({"SubnetId": subnet} if subnet else {})}  # type: ignore[typeddict-item]  # types are settings
            for priority, instance_type in enumerate(self._template.instance_types)
            for subnet in self._template.subnets or ("",)
        ]
        tags: list[TagTypeDef] = [
            {"Key": TAG_DEPLOYMENT, "Value": self._deployment},
            {"Key": TAG_ROLE, "Value": ROLE},
            {"Key": TAG_LAUNCH, "Value": token.removesuffix(FALLBACK)},
        ]
        if version.isdecimal():  # what "$Default" or "$Latest" mean at the time is EC2's to know
            tags.append({"Key": TAG_VERSION, "Value": version})
        return {
            "Type": "instant",
            "ClientToken": token,
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateName": self._template.name, "Version": version},
                    "Overrides": overrides,
                }
            ],
            "TargetCapacitySpecification": {"TotalTargetCapacity": count, "DefaultTargetCapacityType": market},
            "SpotOptions": {"AllocationStrategy": "capacity-optimized-prioritized"},
            "OnDemandOptions": {"AllocationStrategy": "prioritized"},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
        }


def _outcome(count: int, answer: CreateFleetResultTypeDef) -> LaunchOutcome:
    launched = tuple(node for part in answer.get("Instances", []) for node in part.get("InstanceIds", []))
    # One error comes for each type and subnet that was tried; the same twice tells nothing more.
    refusals = {
        (meaning_of(error.get("ErrorCode", "")), f"{error.get('ErrorCode')}: {error.get('ErrorMessage')}"): None
        for error in answer.get("Errors", [])
    }
    if len(launched) < count and not refusals:
        refusals = {(Meaning.NO_CAPACITY, f"EC2 gave {len(launched)} of {count} and no reason"): None}
    return LaunchOutcome(count, launched, tuple(refusals) if len(launched) < count else ())


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except FAILED as error:
        raise FleetError(f"{what}: {refusal_of(error)[1]}") from error
