"""The processes of a deployed stack, each under its own role, as the machines of the template run them.

The web machine's processes have a profile of their own in AWS's configuration file, whose role the machine's own role
may assume; the machine's keys come from its metadata. Nodes are booted by their host and have their metadata alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from local.deployed import Deployment, running_deployment
from local.emulators import ACCESS_KEY, REGION
from local.instance_role import assume
from local.metadata import MetadataServer
from local.stack import Stack

WEB_HOST = "i-0feb"
NODES = ("PublicNodes=true",)  # without an image of one's own
ROOT_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
PROFILES = {"web": "WebRole", "scaler": "ScalerRole", "flower": "FlowerRole"}


@dataclass(frozen=True)
class Service:
    """A deployment whose processes run."""

    deployment: Deployment
    stack: Stack


@contextmanager
def running_service(log_dir: Path) -> Iterator[Service]:
    """Deploy the templates to an AWS that enforces IAM; start web app, scaler, Flower and the host of nodes."""
    with (
        running_deployment(log_dir, parameters=NODES, iam_enforced=True) as deployment,
        _web_machine(deployment) as metadata,
    ):
        config = log_dir / "aws-config"
        roles = {name: deployment.deployed.output(output) for name, output in PROFILES.items()}
        config.write_text("".join(_profile(name, arn) for name, arn in roles.items()))
        environ = {name: value for name, value in deployment.stack.environ.items() if name not in ROOT_KEYS}
        environ |= deployment.emulators.endpoints | {
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.base_url(WEB_HOST),
        }
        stack = replace(deployment.stack, environ=environ)
        deployment.start_host()
        stack.start_scaler(environ={"AWS_PROFILE": "scaler"})
        stack.start_web({"AWS_PROFILE": "web"})
        stack.start_flower({"AWS_PROFILE": "flower", "FLOWER_UNAUTHENTICATED_API": "true"})
        try:
            yield Service(deployment, stack)
        finally:
            deployment.end_nodes()


@contextmanager
def _web_machine(deployment: Deployment) -> Iterator[MetadataServer]:
    """Serve the metadata of the web machine, whose role is the one that its processes' roles trust."""
    root = boto3.Session(ACCESS_KEY, ACCESS_KEY, region_name=REGION)
    web = deployment.deployed.output("WebRole").rpartition("/")[2]
    trust: Any = root.client("iam").get_role(RoleName=web)["Role"]["AssumeRolePolicyDocument"]
    (statement,) = trust["Statement"]
    machine = statement["Principal"]["AWS"]
    metadata = MetadataServer(0, lambda _id: assume(root, machine, WEB_HOST))
    with metadata.running():
        yield metadata


def _profile(name: str, role_arn: str) -> str:
    return f"[profile {name}]\nrole_arn = {role_arn}\ncredential_source = Ec2InstanceMetadata\n\n"
