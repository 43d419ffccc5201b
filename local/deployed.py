"""A deployed stack and this machine's processes on it: the templates' own buckets, queues and topics, not stand-ins.

An emulator makes what a template says, but boots no machine. So the machines' processes run here, with the settings
that the stack's outputs give. Where this module starts the emulators, nodes are booted by the host, from the stack's
own launch template.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from deploy.aws import Aws
from deploy.stacks import DeployedStack, require, settings
from local.emulators import ACCESS_KEY, DEPLOYMENT_SERVICES, REGION, ROOT, Emulators, running_emulators
from local.host import MARK, UP, processes_with
from local.mirror import mirror_launch_template
from local.ports import free_port
from local.processes import Supervised, ended_by_signals, wait_until
from local.services import Services
from local.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

DEPLOY_DEADLINE_S = 120.0
POWER_DEADLINE_S = 60.0
# What a stack says for AWS's machines, and this one's must not follow.
NOT_HERE = {"SUBNETS"}


class Elsewhere(Emulators):
    """An AWS that others run, real or emulated: processes find it by the environment that they inherit."""

    @property
    def environ(self) -> dict[str, str]:
        """Nothing: it is in the environment already."""
        return {}


@dataclass(frozen=True)
class Deployment:
    """A stack on emulators of its own, and its processes here."""

    name: str
    emulators: Emulators
    aws: Aws
    stack: Stack

    @property
    def deployed(self) -> DeployedStack:
        """What CloudFormation says of it."""
        return require(self.aws.cloudformation, self.name)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of `python -m deploy`'s commands on these emulators."""
        argv = (sys.executable, "-m", "deploy", *words)
        environ = {**os.environ, **self.emulators.environ}
        return subprocess.run(
            argv, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=DEPLOY_DEADLINE_S, check=False
        )

    def deploy(self, *words: str) -> None:
        """Deploy the working tree, with parameters as NAME=VALUE; nodes are launched from the new version then.

        Raises:
            RuntimeError: it failed; the message has the command's own.
        """
        done = self.command("deploy", self.name, *words, "--allow-dirty", "--yes")
        if done.returncode:
            raise RuntimeError(f"{done.stdout}\n{done.stderr}")
        mirror_launch_template(
            self._ec2(self.emulators.aws_url), self._ec2(self.emulators.ec2_url), self.deployed.output("LaunchTemplate")
        )

    def start_host(self) -> Supervised:
        """Start the host that boots nodes, and wait until it does; it plays EC2, and so has no role."""
        environ = {**self.stack.environ, **self.emulators.environ, "CLOUD": "local"}
        return replace(self.stack, environ=environ).start_host()

    def end_nodes(self) -> None:
        """Cut all nodes' power, which takes less time than their own end: nothing waits for what they do.

        Raises:
            TimeoutError: a node was still there at the end.
        """
        wait_until(self._cut_power, POWER_DEADLINE_S, "nodes to be cut off")

    def _cut_power(self) -> bool:
        """Cut it once; tell whether no node was there. Until the scaler ends it may launch others."""
        pages = self.stack.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(UP)}]
        )
        nodes = [item["InstanceId"] for page in pages for group in page["Reservations"] for item in group["Instances"]]
        if nodes:
            self.stack.ec2.terminate_instances(InstanceIds=nodes)
        folder = str((self.stack.log_dir / "log").resolve())
        return not nodes and not any(processes_with(MARK, folder))

    def _ec2(self, url: str) -> EC2Client:
        return boto3.Session(ACCESS_KEY, ACCESS_KEY, region_name=REGION).client("ec2", endpoint_url=url)


@contextmanager
def running_deployment(
    log_dir: Path,
    name: str = "photos",
    parameters: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    *,
    iam_enforced: bool = False,
) -> Iterator[Deployment]:
    """Start emulators, deploy the templates to them by the command that operators use, stop everything at the end.

    Args:
        log_dir: gets a log file per process.
        name: of the stack.
        parameters: of the stack, as NAME=VALUE.
        environ: settings of the processes that differ from the stack's.
        iam_enforced: whether callers may do no more than their policies say.

    Raises:
        RuntimeError: the deployment failed.
        TimeoutError: an emulator did not answer in time.
    """
    with (
        running_emulators(log_dir, services=DEPLOYMENT_SERVICES, iam_enforced=iam_enforced) as emulators,
        _in_environment(emulators.environ),
        ExitStack() as stack,
    ):
        aws = Aws.connect(REGION)
        services = _services(emulators)
        deployment = Deployment(name, emulators, aws, Stack(services, {}, log_dir, stack))
        deployment.deploy("AllowedCidr=127.0.0.1/32", "PublicNodes=true", *parameters)
        merged = _environ(services, deployment.deployed, REGION, log_dir, environ or {})
        running = replace(deployment, stack=replace(deployment.stack, environ=merged))
        yield running
        running.end_nodes()
        running.stack.terminate()


@contextmanager
def attached(deployed: DeployedStack, region: str, log_dir: Path) -> Iterator[Stack]:
    """Return what starts processes here that work for a deployed stack, wherever that is; stop them at the end.

    They have the caller's own keys.

    Raises:
        DeployError: the stack has not what it should have.
        SystemExit: SIGTERM came, or the terminal was closed.
    """
    services = _services(Elsewhere(0, 0))
    with ended_by_signals(), ExitStack() as stack:
        running = Stack(services, _environ(services, deployed, region, log_dir, {}), log_dir, stack)
        yield running
        running.terminate()


def _services(emulators: Emulators) -> Services:
    return Services(emulators, free_port(), free_port(), free_port(), free_port())


def _environ(
    services: Services, deployed: DeployedStack, region: str, log_dir: Path, differing: Mapping[str, str]
) -> dict[str, str]:
    of_stack = {name: value for name, value in settings(deployed, region).items() if name not in NOT_HERE}
    return {
        **services.defaults,
        **os.environ,
        **services.environ,
        **of_stack,
        "LOCAL_STATE_DIR": str(log_dir),
        # This machine goes on when a process of it ends.
        "POWER_OFF_COMMAND": "true",
        **differing,
    }


@contextmanager
def _in_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Let clients that are made in this process find the emulators."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
