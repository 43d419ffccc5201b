"""Workers, clients and Flower on one emulator, for the tests of remote control and events."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from celery import Celery

from local.ports import LOOPBACK, free_port
from local.processes import Command, Supervised, wait_until
from tasks.sqs.control_plane import close_planes
from tests.tasks.sqs.control_app import make_app

START_DEADLINE_S = 40.0
STOP_DEADLINE_S = 20.0
COMMAND_DEADLINE_S = 30.0
CELERY = (sys.executable, "-m", "celery", "-A", "tests.tasks.sqs.control_app")


@dataclass
class ControlStack:
    """A deployment of its own on an emulator."""

    prefix: str
    aws_url: str
    log_dir: Path
    app: Celery
    environ: Mapping[str, str]
    _exit: ExitStack = field(repr=False)
    _processes: list[Supervised] = field(default_factory=list, repr=False)

    @property
    def tasks_queue(self) -> str:
        """The queue of tasks."""
        return f"{self.prefix}-tasks"

    @property
    def control(self) -> Any:
        """Celery's remote control of the deployment; its replies are plain dicts."""
        return self.app.control

    def client(self, service: str) -> Any:
        """A boto3 client of this emulator."""
        return _client(service, self.aws_url)

    def queues(self, kind: str = "") -> list[str]:
        """The names of the deployment's control queues of a kind, or of all."""
        answer = self.client("sqs").list_queues(QueueNamePrefix=f"{self.prefix}_{kind}")
        return [url.rpartition("/")[2] for url in answer.get("QueueUrls", [])]

    def subscriptions(self) -> list[str]:
        """The names of the queues that are subscribed to a topic of the deployment."""
        pages = self.client("sns").get_paginator("list_subscriptions").paginate()
        endpoints = [entry["Endpoint"].rpartition(":")[2] for page in pages for entry in page["Subscriptions"]]
        return [name for name in endpoints if name.startswith(f"{self.prefix}_")]

    def start(self, name: str, argv: Sequence[str], **environ: str) -> Supervised:
        """Start a process that ends with the stack at the latest."""
        process = Supervised.start(Command(name, tuple(argv)), {**self.environ, **environ}, self.log_dir)
        self._exit.callback(process.stop)
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """Stop all processes at the same time: each takes seconds to end cleanly."""
        for process in self._processes:
            if process.alive():
                process.process.terminate()
        wait_until(lambda: not any(process.alive() for process in self._processes), STOP_DEADLINE_S, "the end of all")

    def start_workers(self, pools: Mapping[str, str]) -> dict[str, Supervised]:
        """Start a worker for each node name and pool; wait until all are ready."""
        workers = {
            node: self.start(node, (*CELERY, "worker", "-n", node, "-P", pool, "-c", "2", "-l", "INFO"))
            for node, pool in pools.items()
        }
        for node, worker in workers.items():
            _wait_ready(node, worker)
        return workers

    def start_flower(self, *arguments: str, **environ: str) -> tuple[Supervised, str]:
        """Start Flower and wait until it knows its pages; return its URL too."""
        port = free_port()
        where = (f"--address={LOOPBACK}", f"--port={port}")
        flower = self.start("flower", (*CELERY, "flower", *where, *arguments), **environ)
        return flower, f"http://{LOOPBACK}:{port}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a celery command to its end."""
        return subprocess.run(
            (*CELERY, *arguments),
            env=dict(self.environ),
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )

    def send(self, task: str, *arguments: object) -> str:
        """Send a task; return its id."""
        return str(self.app.send_task(task, arguments).id)


def _client(service: str, url: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]  # the stubs have one overload for each service
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - the emulators take any
    )


def _wait_ready(node: str, worker: Supervised) -> None:
    ready = f"{node} ready."
    wait_until(
        lambda: ready in worker.log.read_text(errors="replace") or not worker.alive(),
        START_DEADLINE_S,
        f"{node} to be ready; its log: {worker.log}",
    )
    assert worker.alive(), worker.log.read_text(errors="replace")[-2000:]


@contextmanager
def control_stack(aws_url: str, log_dir: Path) -> Iterator[ControlStack]:
    """Make a deployment with a queue of tasks; at its end stop its processes and remove its queues."""
    prefix = f"t{uuid.uuid4().hex[:8]}"
    url = _client("sqs", aws_url).create_queue(QueueName=f"{prefix}-tasks")["QueueUrl"]
    app = make_app(prefix, aws_url)
    environ = {**os.environ, "TEST_PREFIX": prefix, "TEST_AWS_URL": aws_url, "PYTHONUNBUFFERED": "1"}
    with ExitStack() as processes:
        stack = ControlStack(prefix, aws_url, log_dir, app, environ, processes)
        yield stack
        stack.stop()
    app.close()
    close_planes()
    _client("sqs", aws_url).delete_queue(QueueUrl=url)
