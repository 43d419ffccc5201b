"""EC2's instances as the scaler knows them: their tags, and what EC2 does not list yet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaler.state import Phase

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

TAG_DEPLOYMENT = "classifier:deployment"
TAG_ROLE = "classifier:role"
TAG_LAUNCH = "classifier:launch"
TAG_PHASE = "classifier:phase"
TAG_VERSION = "classifier:template-version"
ROLE = "worker"
# EC2 lists a new instance within seconds, and promises no more than "eventually":
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
LISTING_LAG_S = 120.0


@dataclass(frozen=True)
class Instance:
    """An instance that is not terminated.

    Attributes:
        id: EC2's.
        state: EC2's name of its state.
        launched_at_s: Unix time.
        phase_tag: what the scaler has told it last: draining, committed, or nothing.
        phase_since_s: when it was told; 0 if nothing.
        spot: whether it is a spot instance.
        instance_type: for example ``c7i.large``.
        launch_token: of the request that launched it.
        template_version: number of the launch template's version that it was asked for with; empty if it was asked for
            without one, None if it is not listed yet, so that nobody knows.
    """

    id: str
    state: str
    launched_at_s: float
    phase_tag: Phase | None = None
    phase_since_s: float = 0.0
    spot: bool = False
    instance_type: str = ""
    launch_token: str = ""
    template_version: str | None = None


def with_unlisted(
    instances: Iterable[Instance], launched: Mapping[str, float], now_s: float
) -> tuple[tuple[Instance, ...], dict[str, float]]:
    """Add what was launched and is not listed yet, so that it is not launched again.

    Args:
        instances: those that EC2 lists.
        launched: the scaler's own launches by id, with their times.
        now_s: the time now.

    Returns:
        All instances, and the launches that are still not listed; one that is not listed in two minutes is gone.
    """
    listed = tuple(instances)
    known = {instance.id for instance in listed}
    unlisted = {node: at_s for node, at_s in launched.items() if node not in known and now_s - at_s < LISTING_LAG_S}
    return (*listed, *(Instance(node, "pending", at_s) for node, at_s in unlisted.items())), unlisted


def instance_of(item: InstanceTypeDef) -> Instance:
    """Return an instance from EC2's description.

    Raises:
        KeyError: the description lacks a field.
        ValueError: the scaler's own tag cannot be read.
    """
    tags = {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])}
    phase, _, since = tags.get(TAG_PHASE, "").partition("@")
    return Instance(
        id=item["InstanceId"],
        state=item["State"]["Name"],
        launched_at_s=item["LaunchTime"].timestamp(),
        phase_tag=Phase(phase) if phase else None,
        phase_since_s=float(since) if phase else 0.0,
        spot=item.get("InstanceLifecycle") == "spot",
        instance_type=item["InstanceType"],
        launch_token=tags.get(TAG_LAUNCH, ""),
        template_version=tags.get(TAG_VERSION, ""),
    )
