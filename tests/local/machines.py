"""Instances of a deployment of the test's own, and a host that the test steps by hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from local.emulators import Emulators
from local.host import Host
from local.launch_template import ensure_launch_template
from local.metadata import MetadataServer
from local.processes import wait_until
from scaler.fleet import Ec2Fleet, Template

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

DEADLINE_S = 20.0


def ec2_client(emulators: Emulators) -> EC2Client:
    """Return a client of the emulated EC2."""
    return boto3.Session("local", "local", region_name="us-east-1").client("ec2", endpoint_url=emulators.ec2_url)


@dataclass
class Cloud:
    """A deployment in the emulated EC2 that nobody else sees."""

    ec2: EC2Client
    deployment: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:10]}")

    def launch(self, script: str) -> str:
        """Launch an instance with this UserData; return its id."""
        ensure_launch_template(self.ec2, self.deployment, script)
        template = Template(self.deployment, ("c7i.large",), (), "spot")
        outcome = Ec2Fleet(self.ec2, self.deployment, template).launch(1, uuid.uuid4().hex)
        assert outcome.refusals == ()
        return outcome.launched[0]

    def state(self, instance_id: str) -> str:
        """Return EC2's name of an instance's state."""
        answer = self.ec2.describe_instances(InstanceIds=[instance_id])
        return answer["Reservations"][0]["Instances"][0]["State"]["Name"]


@contextmanager
def hosting(cloud: Cloud, folder: Path, boot_s: float = 0.0) -> Iterator[Host]:
    """Make a host, and shut its machines down at the end."""
    server = MetadataServer(0)
    host = Host(cloud.ec2, cloud.deployment, server, folder, folder / "machine", boot_s)
    with server.running():
        try:
            yield host
        finally:
            host.close()


def step_until(host: Host, condition: Callable[[], bool], what: str) -> None:
    """Step the host until the condition holds."""

    def stepped() -> bool:
        host.step()
        return condition()

    wait_until(stepped, DEADLINE_S, what)
