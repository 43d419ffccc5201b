"""Instances are listed, launched, tagged and terminated, on a real EC2 API."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from local.emulators import Emulators
from scaler.fleet import Ec2Fleet, FleetError, Purchase, Template
from scaler.instances import LISTING_LAG_S, Instance, with_unlisted
from scaler.state import Meaning, Phase
from tests.scaler.faults import a_fleet_has_errors, ec2_answers_error

pytestmark = pytest.mark.stack

TYPES = ("c5.large", "m5.large")
# Of this account's emulated zones; any does.
MANY = 12


@pytest.fixture
def ec2(emulators: Emulators) -> Any:
    """A client of EC2 that tries once."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106 - any key does
    return session.client("ec2", endpoint_url=emulators.ec2_url)


@pytest.fixture
def template(ec2: Any) -> Iterator[str]:
    """A launch template; its name."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image})
    yield name
    ec2.delete_launch_template(LaunchTemplateName=name)


def fleet_of(ec2: Any, template: str, purchase: Purchase = "spot", deployment: str = "") -> Ec2Fleet:
    """A fleet of a deployment of its own."""
    deployment = deployment or f"t{uuid.uuid4().hex[:8]}"
    return Ec2Fleet(ec2, deployment, Template(template, TYPES, (), purchase))


@pytest.mark.parametrize(("purchase", "spot"), [("spot", True), ("on-demand", False), ("spot-with-fallback", True)])
def test_launched_instances_are_listed(ec2: Any, template: str, purchase: Purchase, spot: bool) -> None:  # noqa: FBT001
    """What was launched is there, with its launch's token, its type and how it is paid for."""
    fleet = fleet_of(ec2, template, purchase)
    outcome = fleet.launch(2, "token-1")
    assert (len(outcome.launched), outcome.refusals) == (2, ())
    found = fleet.instances()
    assert {instance.id for instance in found} == set(outcome.launched)
    assert {(i.state, i.spot, i.instance_type, i.launch_token) for i in found} == {
        ("running", spot, TYPES[0], "token-1")
    }
    fleet.terminate(outcome.launched)
    assert fleet.instances() == ()


def test_a_node_is_launched_from_the_version_that_was_asked_for_and_says_so(ec2: Any, template: str) -> None:
    """A number is the version whose UserData the node gets, and stands in its tags; `$Default` leaves it to EC2."""
    second = base64.b64encode(b"second").decode()
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "UserData": second}
    ec2.create_launch_template_version(LaunchTemplateName=template, LaunchTemplateData=data)
    fleet = fleet_of(ec2, template, "on-demand")
    launched = fleet.launch(1, "numbered", "2").launched + fleet.launch(1, "default").launched
    versions = {instance.id: instance.template_version for instance in fleet.instances()}
    assert [versions[node] for node in launched] == ["2", ""]
    boots = [ec2.describe_instance_attribute(InstanceId=node, Attribute="userData")["UserData"] for node in launched]
    assert [boot.get("Value") for boot in boots] == [second, None]
    fleet.terminate(launched)


def test_every_page_is_read(ec2: Any, template: str) -> None:
    """Instances beyond the first page count, and other deployments' do not."""
    fleet, other = fleet_of(ec2, template), fleet_of(ec2, template)
    launched, others = fleet.launch(MANY, "many").launched, other.launch(1, "other").launched
    pages: list[Any] = []
    ec2.meta.events.register(
        "provide-client-params.ec2.DescribeInstances", lambda params, **_: {**params, "MaxResults": 5}
    )
    ec2.meta.events.register("after-call.ec2.DescribeInstances", lambda parsed, **_: pages.append(parsed))
    assert {instance.id for instance in fleet.instances()} == set(launched)
    assert len(pages) > 1
    fleet.terminate((*launched, *others))


def test_marks_are_written_and_read(ec2: Any, template: str) -> None:
    """What a node was told outlives the scaler, in the instance's tags."""
    fleet = fleet_of(ec2, template)
    (node,) = fleet.launch(1, "token").launched
    fleet.mark([node], Phase.DRAINING, 1234.6)
    (marked,) = fleet.instances()
    assert (marked.phase_tag, marked.phase_since_s) == (Phase.DRAINING, 1235.0)
    fleet.unmark([node])
    (unmarked,) = fleet.instances()
    assert unmarked.phase_tag is None
    fleet.terminate([node])


def test_terminating_what_is_gone_is_no_error(ec2: Any, template: str) -> None:
    """An instance that EC2 has forgotten does not keep the others alive."""
    fleet = fleet_of(ec2, template)
    (node,) = fleet.launch(1, "token").launched
    fleet.terminate(["i-0123456789abcdef0", node])
    assert fleet.instances() == ()


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("InsufficientInstanceCapacity", 500, Meaning.NO_CAPACITY),
        ("VcpuLimitExceeded", 400, Meaning.QUOTA),
        ("RequestLimitExceeded", 503, Meaning.THROTTLED),
        ("UnauthorizedOperation", 403, Meaning.FORBIDDEN),
    ],
)
def test_a_refused_launch_is_an_outcome(ec2: Any, template: str, code: str, status: int, meaning: Meaning) -> None:
    """EC2's refusal is told by its meaning, and nothing was launched."""
    fleet = fleet_of(ec2, template)
    with ec2_answers_error(ec2, "CreateFleet", code, status):
        outcome = fleet.launch(2, "token")
    assert outcome.launched == ()
    assert [found for found, _ in outcome.refusals] == [meaning]
    assert code in outcome.refusals[0][1]


def test_without_spot_capacity_the_rest_is_bought_on_demand(ec2: Any, template: str) -> None:
    """The fallback asks again, under another token, and the nodes come."""
    fleet = fleet_of(ec2, template, "spot-with-fallback")
    ec2.meta.config.retries = {"max_attempts": 0}
    with ec2_answers_error(ec2, "CreateFleet", "UnfulfillableCapacity", times=1) as refused:
        outcome = fleet.launch(2, "token")
    assert len(refused) == 1
    assert (len(outcome.launched), outcome.refusals) == (2, ())
    assert {(i.spot, i.launch_token) for i in fleet.instances()} == {(False, "token")}
    fleet.terminate(outcome.launched)


def test_a_type_that_a_zone_does_not_offer_keeps_nobody_from_buying_on_demand(ec2: Any, template: str) -> None:
    """A fleet refuses each type and zone by itself: what is wrong with one of them says nothing of the others."""
    fleet = fleet_of(ec2, template, "spot-with-fallback")
    codes = ("InsufficientInstanceCapacity", "InvalidFleetConfiguration", "InvalidParameterValue")
    with a_fleet_has_errors(ec2, *codes) as answered:
        outcome = fleet.launch(2, "token")
    assert len(answered) == 1
    assert (len(outcome.launched), outcome.refusals) == (2, ())
    fleet.terminate(outcome.launched)


def test_what_is_forbidden_on_the_spot_market_is_not_bought_on_demand(ec2: Any, template: str) -> None:
    """A request that only a person can mend is not made a second time."""
    fleet = fleet_of(ec2, template, "spot-with-fallback")
    with ec2_answers_error(ec2, "CreateFleet", "UnauthorizedOperation", 403) as refused:
        outcome = fleet.launch(2, "token")
    assert len(refused) == 1
    assert outcome.forbidden


def test_a_list_that_cannot_be_had_is_an_error(ec2: Any, template: str) -> None:
    """An answer that fails is not "no instances"."""
    fleet = fleet_of(ec2, template)
    with (
        ec2_answers_error(ec2, "DescribeInstances", "UnauthorizedOperation", 403),
        pytest.raises(FleetError, match="Unauth"),
    ):
        fleet.instances()


def test_a_list_that_lacks_a_field_is_an_error(ec2: Any, template: str) -> None:
    """An answer that cannot be understood is not "no instances"."""
    fleet = fleet_of(ec2, template)
    launched = fleet.launch(1, "token").launched

    def spoil(parsed: Any, **_event: Any) -> None:
        del parsed["Reservations"][0]["Instances"][0]["LaunchTime"]

    ec2.meta.events.register("after-call.ec2.DescribeInstances", spoil)
    with pytest.raises(FleetError, match="LaunchTime"):
        fleet.instances()
    ec2.meta.events.unregister("after-call.ec2.DescribeInstances", spoil)
    fleet.terminate(launched)


def test_launches_that_ec2_does_not_list_yet_count() -> None:
    """For two minutes what was launched counts, listed or not; after that it is gone."""
    listed = Instance("i-1", "running", 100.0)
    launched = {"i-1": 100.0, "i-2": 100.0, "i-old": 100.0 - LISTING_LAG_S}
    instances, unlisted = with_unlisted([listed], launched, 100.0)
    assert instances == (listed, Instance("i-2", "pending", 100.0))
    assert unlisted == {"i-2": 100.0}
