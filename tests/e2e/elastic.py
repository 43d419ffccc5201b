"""A stack whose nodes come and go, for the tests of the scaler: quick ticks, tasks that take a set time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil

from local.processes import Supervised, wait_until
from local.stack import Stack, running_stack
from tests.client import Client

DEADLINE_S = 60.0
# Everything that takes seconds or minutes in the cloud takes a second or so here.
QUICK = {
    "WORKER_APP": "local.stand_in",
    "WORKER_THREADS": "1",
    "STAND_IN_S": "0.5",
    "VISIBILITY_TIMEOUT_S": "6",
    "TASK_TIME_LIMIT_S": "5",
    "POLL_WAIT_S": "1",
    "TICK_S": "0.5",
    "CONTROL_TIMEOUT_S": "0.5",
    "LEASE_S": "3",
    "TARGET_DRAIN_S": "6",
    "INITIAL_TASK_S": "0.5",
    "INITIAL_BOOT_S": "2",
    "IDLE_S": "1.5",
    "SURPLUS_TICKS": "2",
    "DRAIN_GRACE_S": "1",
    "BOOT_DEADLINE_S": "30",
    "SILENT_DEADLINE_S": "5",
    "MAX_NODES": "3",
}


@dataclass
class Elastic:
    """A running stack with a host of nodes; scalers are started by the test."""

    stack: Stack
    photo: bytes

    @property
    def client(self) -> Client:
        """A user."""
        return Client(self.stack.services.web_url)

    def upload(self, number: int) -> list[str]:
        """Upload photos; return their ids."""
        return self.client.upload({f"{index}.jpg": self.photo for index in range(number)})

    def ticks(self, scaler: Supervised) -> list[dict[str, Any]]:
        """Return what a scaler told of its ticks, oldest first."""
        lines = [line for line in scaler.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def wait_for_tick(
        self, scaler: Supervised, condition: Callable[[dict[str, Any]], bool], what: str, since: int = 0
    ) -> dict[str, Any]:
        """Wait for a tick that fulfils a condition; return it."""
        found: list[dict[str, Any]] = []

        def seen() -> bool:
            found[:] = [tick for tick in self.ticks(scaler)[since:] if condition(tick)]
            return bool(found) or not scaler.alive()

        wait_until(seen, DEADLINE_S, f"{what}; the scaler's log: {scaler.log}")
        assert found, f"the scaler ended: {scaler.log.read_text()[-2000:]}"
        return found[0]

    def instances(self, *states: str) -> list[str]:
        """Return the ids of EC2's instances in some states, by default of those that run or will."""
        wanted = states or ("pending", "running")
        pages = self.stack.ec2.get_paginator("describe_instances").paginate()
        return [
            instance["InstanceId"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] in wanted
        ]

    def control_queues(self, node: str) -> list[str]:
        """Return the queues of remote control that a node's workers own."""
        sqs = boto3.Session("local", "local", region_name="us-east-1").client(
            "sqs", endpoint_url=self.stack.services.emulators.aws_url
        )
        answer = sqs.list_queues(QueueNamePrefix=f"{self.stack.settings.deployment}_node_w1-{node}")
        return list(answer.get("QueueUrls", []))

    def kill_node(self, instance_id: str) -> None:
        """Kill all processes of a node at once."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it ended by itself, or belongs to somebody else
                if process.environ().get("INSTANCE_ID") == instance_id:
                    process.kill()

    def done_by_nodes(self) -> dict[str, int]:
        """Return how many times each task was done, by all nodes ever."""
        counts: dict[str, int] = {}
        for log in (self.stack.log_dir / "log").glob("i-*.log"):
            for line in log.read_text(errors="replace").splitlines():
                if "succeeded in" in line and "Task tasks.classify[" in line:
                    task = line.split("Task tasks.classify[", 1)[1].split("]", 1)[0]
                    counts[task] = counts.get(task, 0) + 1
        return counts


@contextmanager
def elastic(log_dir: Path, photo: bytes, **environ: str) -> Iterator[Elastic]:
    """Start a web app and a host of nodes."""
    with running_stack(log_dir, {**QUICK, **environ}) as stack:
        stack.start_web()
        stack.start_host()
        yield Elastic(stack, photo)
