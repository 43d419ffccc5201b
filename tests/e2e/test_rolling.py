"""Nodes are replaced by those of a new version while photos are in flight: the real scaler, EC2 API and workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from local.launch_template import add_version, user_data
from local.processes import wait_until
from scaler.instances import TAG_VERSION
from scaler.settings import ScalerSettings
from tests.e2e.elastic import DEADLINE_S, Elastic, elastic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PHOTOS = 200
NODES = 3


def versions(cloud: Elastic) -> list[str]:
    """Return the launch template version of each instance that runs or will, from its tags."""
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    groups = cloud.stack.ec2.describe_instances(Filters=filters)["Reservations"]  # type: ignore[arg-type] # plain dicts
    tags = [{tag["Key"]: tag["Value"] for tag in node["Tags"]} for group in groups for node in group["Instances"]]
    return sorted(tag[TAG_VERSION] for tag in tags)


def test_a_new_version_replaces_every_node_while_photos_are_in_flight(
    tmp_path: Path, photos: Mapping[str, bytes]
) -> None:
    """200 photos wait when the version changes: each is classified once, within the cap, and no place is left empty."""
    fixed = {"MIN_NODES": str(NODES), "MAX_NODES": str(NODES + 1), "STAND_IN_S": "0.4"}
    with elastic(tmp_path / "log", photos["coins.png"], **fixed) as cloud:
        first = cloud.stack.start_scaler("first", {"LAUNCH_TEMPLATE_VERSION": "1"})
        cloud.wait_for_tick(first, lambda tick: (tick["nodes"] or {}).get("ready") == NODES, "the nodes")
        assert versions(cloud) == ["1"] * NODES
        ids = cloud.upload(PHOTOS)
        template = ScalerSettings.from_env(cloud.stack.environ).launch_template
        version = add_version(cloud.stack.ec2, template, user_data(cloud.stack.environ))
        first.stop()
        second = cloud.stack.start_scaler("second", {"LAUNCH_TEMPLATE_VERSION": version})
        begin = cloud.wait_for_tick(second, lambda tick: tick["values"].get("outdated") == NODES, "the roll's begin")
        assert begin["values"]["visible"] > PHOTOS / 2
        results = cloud.client.wait(ids, DEADLINE_S)
        wait_until(lambda: versions(cloud) == [version] * NODES, DEADLINE_S, "the roll's end")
        assert {result["state"] for result in results} == {"SUCCESS"}
        assert cloud.done_by_nodes() == dict.fromkeys(ids, 1)
        known = [tick for tick in cloud.ticks(second) if not tick["held"]]
        assert max(tick["values"]["total"] for tick in known) == NODES + 1
        assert min(tick["values"]["taking"] for tick in known) == NODES
        assert [alarm for tick in known for alarm in tick["alarms"]] == []
