"""Starts, watches and stops the node's worker processes. Decides nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence


def worker_command(name: str, app: str) -> tuple[str, ...]:
    """Return the command line of a Celery worker with the node name `name`."""
    return (sys.executable, "-m", "celery", "-A", app, "worker", "-n", name, "-l", "INFO", "--without-mingle")


class WorkerProcesses:
    """The worker processes by name. They get this process's environment, output and process group.

    Args:
        command: returns the command line of the worker of a name.
    """

    def __init__(self, command: Callable[[str], Sequence[str]]) -> None:
        self._command = command
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, names: Iterable[str]) -> None:
        """Start workers.

        Raises:
            OSError: the program is missing or cannot be executed.
        """
        for name in names:
            self._processes[name] = subprocess.Popen(self._command(name), stdin=subprocess.DEVNULL)  # noqa: S603 - our own command

    def running(self) -> frozenset[str]:
        """Return the workers that have not been reported as ended."""
        return frozenset(self._processes)

    def ended(self) -> dict[str, int]:
        """Return the exit statuses of the workers that have ended, each of them once."""
        statuses = {name: status for name, process in self._processes.items() if (status := process.poll()) is not None}
        for name in statuses:
            del self._processes[name]
        return statuses

    def stop(self, names: Iterable[str]) -> None:
        """Tell workers to finish what they run, give back the rest, and end."""
        for name in names:
            self._processes[name].terminate()

    def kill(self, names: Iterable[str]) -> None:
        """End workers at once; SQS delivers what they held again."""
        for name in names:
            self._processes[name].kill()
