"""A whole stack of its own for as long as a test, a smoke run or a drill lasts: free ports, own state, no rest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from local.emulators import ACCESS_KEY, REGION, answers, running_emulators
from local.ports import LOOPBACK, free_port
from local.processes import Command, Supervised, start_in, wait_until
from local.provision import provision, provision_nodes
from local.services import Services
from scaler.settings import ScalerSettings
from tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

START_DEADLINE_S = 60.0


@dataclass
class Stack:
    """Running emulators with buckets and queues, and the processes that were started on them."""

    services: Services
    environ: Mapping[str, str]
    log_dir: Path
    _exit: ExitStack = field(repr=False)
    _processes: list[Supervised] = field(default_factory=list, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings that the stack's processes see."""
        return Settings.from_env(self.environ)

    def start(self, command: Command, environ: Mapping[str, str] | None = None) -> Supervised:
        """Start a process that ends with the stack at the latest; `environ` holds settings of its own."""
        process = start_in(self._exit, command, {**self.environ, **(environ or {})}, self.log_dir)
        self._processes.append(process)
        return process

    def terminate(self) -> None:
        """Ask all processes to end, at the same time: each takes seconds to do so."""
        for process in self._processes:
            if process.alive():
                process.process.terminate()

    def start_web(self, environ: Mapping[str, str] | None = None) -> Supervised:
        """Start the web app, with settings of its own if need be, and wait until it answers."""
        command = replace(self.services.web(), environ=environ or {})
        return self._start_answering(command, f"{self.services.web_url}/healthz")

    def start_host(self) -> Supervised:
        """Start the host that boots a node for each emulated instance, and wait until it does."""
        host = self.start(self.services.host())
        self._wait(host, lambda: "Host ready" in host.log.read_text())
        return host

    def start_scaler(self, name: str = "scaler", environ: Mapping[str, str] | None = None) -> Supervised:
        """Start a scaler, with settings of its own if need be, and wait until it answers."""
        command = replace(self.services.scaler(), name=name, environ=environ or {})
        port = command.environ.get("SCALER_PORT", str(self.services.scaler_port))
        process = self.start(command)
        self._wait(process, lambda: answers(f"http://{LOOPBACK}:{port}/healthz"))
        return process

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        environ = {**self.environ, **command.environ}
        return subprocess.run(
            command.argv, env=environ, capture_output=True, text=True, timeout=START_DEADLINE_S, check=False
        )

    @property
    def ec2(self) -> EC2Client:
        """A client of the emulated EC2."""
        session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=REGION)
        return session.client("ec2", endpoint_url=self.services.emulators.ec2_url)

    def start_flower(self, environ: Mapping[str, str] | None = None) -> Supervised:
        """Start Flower, with settings of its own if need be, and wait until it answers."""
        command = replace(self.services.flower(), environ=environ or {})
        return self._start_answering(command, f"{self.services.flower_url}/healthcheck")

    def start_worker(self, name: str = "worker", environ: Mapping[str, str] | None = None) -> Supervised:
        """Start a worker, with settings of its own if need be, and wait until it takes tasks."""
        worker = self.start(self.services.worker(name), environ)
        self._wait(worker, lambda: " ready." in worker.log.read_text(errors="replace"))
        return worker

    def _start_answering(self, command: Command, url: str) -> Supervised:
        process = self.start(command)
        self._wait(process, lambda: answers(url))
        return process

    def _wait(self, process: Supervised, ready: Callable[[], bool]) -> None:
        what = f"{process.command.name} to be ready; its log: {process.log}"
        wait_until(lambda: ready() or not process.alive(), START_DEADLINE_S, what)
        if not process.alive():
            raise ProcessEndedError(f"{process.command.name} ended at its start:\n{process.log.read_text()[-2000:]}")


class ProcessEndedError(RuntimeError):
    """A process that should serve ended instead."""


@contextmanager
def running_stack(log_dir: Path, environ: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start emulators on free ports, create buckets and queues; stop everything at the end.

    Args:
        log_dir: gets a log file per process.
        environ: settings of the stack's processes that differ from the defaults.

    Raises:
        TimeoutError: an emulator did not answer in time.
        SystemExit: SIGTERM came, or the terminal was closed.
    """
    with running_emulators(log_dir) as emulators, ExitStack() as stack:
        services = Services(emulators, free_port(), free_port(), free_port(), free_port())
        merged = {
            **services.defaults,
            **os.environ,
            **services.environ,
            "LOCAL_STATE_DIR": str(log_dir),
            **(environ or {}),
        }
        settings = Settings.from_env(merged)
        provision(settings)
        provision_nodes(settings, ScalerSettings.from_env(merged).launch_template, merged)
        running = Stack(services, merged, log_dir, stack)
        yield running
        running.terminate()
