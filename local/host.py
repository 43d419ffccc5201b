"""The hypervisor of the one-machine stack: each instance that runs in the emulated EC2 is a process group here.

It runs the instance's UserData as a machine would at its start, tells EC2 when the machine powers itself off, and cuts
its power when EC2 terminates it. It knows nothing of workers. The machines' only shared hardware is this process: when
it is killed they are lost, and the next one clears away what is left of them.
"""

from __future__ import annotations

import base64
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

from local.instance_role import NodeRole
from local.machine import binaries, prepare
from local.metadata import MetadataServer
from local.processes import Command, Supervised
from local.settings import LocalSettings
from scaler.instances import TAG_DEPLOYMENT
from scaler.settings import ScalerSettings
from tasks.environment import EnvironmentSettings
from tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

POLL_S = 0.5
# Less than what `make run` gives this process before it kills it.
STOP_DEADLINE_S = 15.0
UP = ("pending", "running")
# Of this process's environment a machine gets what any machine has; the rest must come from its UserData.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
# Where AWS is goes without saying on AWS.
ENDPOINTS = "AWS_ENDPOINT_URL"
# Marks every process of this host's machines, to find those that outlived it.
MARK = "LOCAL_NODE_OF"
HANG = b"#!/bin/sh\nexec sleep 1000000\n"
CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})

log = logging.getLogger("local.host")


class HostSettings(EnvironmentSettings):
    """The settings of the host of emulated instances."""

    boot_s: float = Field(0.0, alias="LOCAL_BOOT_S", ge=0, le=3600, description="seconds before a new node starts")
    never_join: int = Field(
        0, alias="LOCAL_NEVER_JOIN", ge=0, description="how many of the first nodes hang at their start, for drills"
    )


@dataclass
class Host:
    """The machines of one deployment.

    Attributes:
        ec2: the client.
        deployment: whose instances are run.
        metadata: tells machines who they are.
        folder: gets each machine's log, and its UserData as a script.
        disk: what all machines hold at their start; see `local.machine`.
        boot_s: how long a machine takes before it runs its UserData.
        never_join: how many machines hang at their start instead.
    """

    ec2: EC2Client
    deployment: str
    metadata: MetadataServer
    folder: Path
    disk: Path
    boot_s: float = 0.0
    never_join: int = 0
    _due_s: dict[str, float] = field(default_factory=dict)
    _machines: dict[str, Supervised] = field(default_factory=dict)

    def recover(self) -> None:
        """Clear away what a killed host left: its machines' processes, and the instances that were theirs."""
        for process in processes_with(MARK, str(self.folder)):
            log.warning("killing process %d of a host that is gone", process.pid)
            process.kill()
        for instance_id in self._up():
            if self._log(instance_id).exists():
                log.warning("%s is lost with the host that ran it", instance_id)
                self.ec2.terminate_instances(InstanceIds=[instance_id])

    def step(self) -> None:
        """Bring machines and EC2 into line, once.

        Raises:
            botocore.exceptions.BotoCoreError: EC2 cannot be reached.
            botocore.exceptions.ClientError: it refuses a request.
        """
        up = self._up()
        for instance_id in set(self._due_s) - up:
            del self._due_s[instance_id]
        for instance_id in set(self._machines) - up:
            log.info("%s is terminated by EC2", instance_id)
            self._cut_power(instance_id)
        for instance_id in [name for name, machine in self._machines.items() if not machine.alive()]:
            log.info("%s has powered itself off", instance_id)
            if error := _last_error(self._log(instance_id)):
                log.error("%s: %s", instance_id, error)
            self.ec2.terminate_instances(InstanceIds=[instance_id])
            self._cut_power(instance_id)
            up.discard(instance_id)  # or it would be booted again here
        now_s = time.monotonic()
        for instance_id in up - set(self._machines):
            if self._due_s.setdefault(instance_id, now_s + self.boot_s) <= now_s:
                self._boot(instance_id)

    def close(self) -> None:
        """Shut every machine down: they get a moment to end by themselves, and then no more power."""
        for machine in self._machines.values():
            if machine.alive():
                machine.process.terminate()
        deadline_s = time.monotonic() + STOP_DEADLINE_S
        while any(machine.alive() for machine in self._machines.values()) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        for instance_id in list(self._machines):
            self._cut_power(instance_id)

    def _up(self) -> set[str]:
        pages = self.ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{TAG_DEPLOYMENT}", "Values": [self.deployment]},
                {"Name": "instance-state-name", "Values": list(UP)},
            ]
        )
        return {item["InstanceId"] for page in pages for group in page["Reservations"] for item in group["Instances"]}

    def _boot(self, instance_id: str) -> None:
        script = self.folder / f"{instance_id}.sh"
        script.write_bytes(self._user_data(instance_id))
        script.chmod(0o700)
        environ = {
            name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(ENDPOINTS)
        } | {
            "INSTANCE_ID": instance_id,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata.base_url(instance_id),
            "CLASSIFIER_ROOT": str(self.disk),
            "PATH": f"{binaries(self.disk)}:{os.environ.get('PATH', os.defpath)}",
            # The end of its processes is the end of this machine, and not of the one that it runs on.
            "POWER_OFF_COMMAND": "true",
            MARK: str(self.folder),
        }
        try:
            machine = Supervised.start(Command(instance_id, (str(script),)), environ, self.folder)
        except OSError as error:
            log.warning("%s cannot run its UserData: %s", instance_id, error)
            self.ec2.terminate_instances(InstanceIds=[instance_id])
        else:
            log.info("%s boots; its log: %s", instance_id, machine.log)
            self._machines[instance_id] = machine
        del self._due_s[instance_id]

    def _user_data(self, instance_id: str) -> bytes:
        if self.never_join:
            self.never_join -= 1
            return HANG
        encoded = self.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        return base64.b64decode(encoded["UserData"].get("Value", ""))

    def _cut_power(self, instance_id: str) -> None:
        self._machines.pop(instance_id).kill()
        self.metadata.forget(instance_id)

    def _log(self, instance_id: str) -> Path:
        return self.folder / f"{instance_id}.log"


def _last_error(log_file: Path) -> str:
    """Return the last line in which a node's process said why it ended; empty if it said nothing."""
    lines = log_file.read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.startswith("error: ")), "")


def processes_with(variable: str, value: str) -> Iterator[psutil.Process]:
    """Return the running processes in whose environment `variable` has `value`: those of a host, or of one machine."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended by itself, or belongs to somebody else


def host(settings: Settings, options: HostSettings, local: LocalSettings, template: str) -> None:
    """Run the machines of a deployment, with the role of their launch template, until SIGTERM or Ctrl-C."""
    aws = settings.aws_environ
    session = boto3.Session(aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"], region_name=settings.region)
    ec2 = session.client("ec2", endpoint_url=aws["AWS_ENDPOINT_URL_EC2"], config=CONFIG)
    metadata = MetadataServer(local.metadata_port, NodeRole(session, ec2, template).keys_of)
    folder = (local.state_dir / "log").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    disk = (local.state_dir / "machine").resolve()
    prepare(disk)
    machines = Host(ec2, settings.deployment, metadata, folder, disk, options.boot_s, options.never_join)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: stopping.append(got))
    with metadata.running():
        machines.recover()
        print(f"Host ready; the nodes' metadata: {metadata.url}", flush=True)
        try:
            while not stopping:
                _step(machines)
                time.sleep(POLL_S)
        finally:
            machines.close()


def _step(machines: Host) -> None:
    try:
        machines.step()
    except (BotoCoreError, ClientError) as error:
        log.warning("EC2 does not answer: %s", error)


def main() -> int:
    """Run the host with the settings of the environment; return the exit status.

    Raises:
        SettingsError: a setting is wrong.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s host: %(message)s")
    template = ScalerSettings.from_env(os.environ).launch_template
    host(Settings.from_env(os.environ), HostSettings.from_env(os.environ), LocalSettings.from_env(os.environ), template)
    return 0
