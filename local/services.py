"""The command line of each of the system's own processes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from local.emulators import Emulators
from local.ports import LOOPBACK
from local.processes import Command


@dataclass(frozen=True)
class Services:
    """The processes of one stack and where they listen."""

    emulators: Emulators
    web_port: int
    flower_port: int
    scaler_port: int
    metadata_port: int

    @property
    def web_url(self) -> str:
        """The address of the page and the API."""
        return f"http://{LOOPBACK}:{self.web_port}"

    @property
    def flower_url(self) -> str:
        """The address of Flower."""
        return f"http://{LOOPBACK}:{self.flower_port}"

    @property
    def scaler_url(self) -> str:
        """The address of the scaler's figures and health."""
        return f"http://{LOOPBACK}:{self.scaler_port}"

    @property
    def environ(self) -> dict[str, str]:
        """What each process needs in its environment."""
        return self.emulators.environ | {
            "WEB_PORT": str(self.web_port),
            "FLOWER_URL": self.flower_url,
            "SCALER_URL": self.scaler_url,
            "SCALER_PORT": str(self.scaler_port),
            "LOCAL_METADATA_PORT": str(self.metadata_port),
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def defaults(self) -> dict[str, str]:
        """Settings that suit one machine better than their defaults, unless the user has chosen others."""
        return {
            # A worker that stops waits for the poll that is open; polls cost nothing here.
            "POLL_WAIT_S": "2",
            # Nodes are processes of this machine: they share its cores, come in seconds and cost nothing.
            "MAX_NODES": "2",
            "WORKER_PROCESSES": "1",
            "TICK_S": "1",
            "CONTROL_TIMEOUT_S": "1",
            "INITIAL_BOOT_S": "5",
            "BOOT_DEADLINE_S": "90",
            "TARGET_DRAIN_S": "30",
            "IDLE_S": "20",
            "DRAIN_GRACE_S": "5",
            "LEASE_S": "10",
        }

    def web(self) -> Command:
        """The web app under gunicorn."""
        return _python("web", "gunicorn", "-c", "python:webapp.serving", "webapp.wsgi:app")

    def worker(self, name: str = "worker") -> Command:
        """One Celery worker; `name` tells workers on one machine apart, and may end with the node: ``worker@node``."""
        node_name = name if "@" in name else f"{name}@%h"
        return _python(name, "celery", "-A", "tasks.app", "worker", "-n", node_name, "-l", "INFO", "--without-mingle")

    def scaler(self, *arguments: str) -> Command:
        """The scaler, or one of its other commands."""
        return _python("scaler", "scaler", *arguments)

    def host(self) -> Command:
        """The host of emulated instances."""
        return _python("host", "local", "host")

    def flower(self) -> Command:
        """Celery Flower."""
        where = (f"--address={LOOPBACK}", f"--port={self.flower_port}")
        return _python("flower", "celery", "-A", "tasks.app", "flower", *where)


def _python(name: str, module: str, *arguments: str) -> Command:
    return Command(name, (sys.executable, "-m", module, *arguments))
