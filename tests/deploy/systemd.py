"""A systemd of a test's own, in which the shipped units run as on a machine, hardening and all. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.artifact import ROOT
from local.processes import Command, Supervised, wait_until

SCRIPT = ROOT / "tests" / "deploy" / "systemd.sh"
DEADLINE_S = 30.0
TARGET = "[Unit]\nDescription=What the test starts\n"
# The Python that the tests' environment is made from is where the developer has it, perhaps at home.
HOME = "[Service]\nProtectHome=read-only\n"


@dataclass(frozen=True)
class Systemd:
    """A running systemd.

    Attributes:
        process: the script that has started it.
        pid: its own, on this machine.
    """

    process: Supervised
    pid: int

    def run(self, *command: str) -> str:
        """Run a command on its machine; return the output.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        enter = (
            "nsenter",
            "--target",
            str(self.pid),
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            "--root",
            "--wd",
        )
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [*enter, "env", "--ignore-environment", path, *command],
            check=True,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        return done.stdout

    def is_active(self, unit: str) -> bool:
        """Tell whether a unit runs."""
        return self.run("systemctl", "show", "--property=ActiveState", "--value", unit).strip() == "active"

    def main_pid(self, unit: str) -> int:
        """Return the process of a unit, by its number on that machine."""
        return int(self.run("systemctl", "show", "--property=MainPID", "--value", unit))

    def status(self, unit: str) -> dict[str, str]:
        """Return what the kernel says of a unit's process."""
        lines = self.run("cat", f"/proc/{self.main_pid(unit)}/status").splitlines()
        return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def why_not() -> str:
    """Return why there can be no systemd of a test's own here; empty if there can."""
    if os.geteuid() != 0:
        return "a systemd of one's own needs root"
    missing = [name for name in ("unshare", "nsenter", "pivot_root") if shutil.which(name) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        return f"systemd or {missing} is missing"
    probe = ("unshare", "--mount", "--pid", "--fork", "--cgroup", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    done = subprocess.run(probe, check=False, capture_output=True, text=True)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""


@contextmanager
def running_systemd(folder: Path, files: Mapping[str, str]) -> Iterator[Systemd]:
    """Start a systemd with the shipped units and the working tree as its release; end it with all it runs.

    Args:
        folder: for its disk.
        files: more of them, by their path on the machine; those of a folder `bin` can be executed.

    Raises:
        TimeoutError: it did not start.
    """
    over = folder / "over"
    shutil.copytree(ROOT / "deploy" / "systemd", over / "etc/systemd/system", dirs_exist_ok=True)
    own = {
        "etc/systemd/system/machine.target": TARGET,
        "etc/systemd/system/classifier-.service.d/zz-test.conf": HOME,
    }
    for name, text in {**own, **files}.items():
        file = over / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if file.parent.name == "bin" else 0o644)
    (over / "var/log/classifier").mkdir(parents=True)
    script = (str(SCRIPT), str(folder), str(ROOT), str(Path(sys.prefix).resolve()))
    process = Supervised.start(Command("systemd", script), {"PATH": os.environ["PATH"]}, folder)
    try:
        wait_until(lambda: _runs(process.pid) or not process.alive(), DEADLINE_S, f"systemd; its log: {process.log}")
        assert process.alive(), process.log.read_text()
        (systemd,) = psutil.Process(process.pid).children()
        yield Systemd(process, systemd.pid)
    finally:
        process.kill()
        _remove_groups(folder / "cgroups")


def _runs(pid: int) -> bool:
    return any(
        child.name() == "systemd" and Path(f"/proc/{child.pid}/root/run/systemd/private").exists()
        for child in psutil.Process(pid).children()
    )


def _remove_groups(names: Path) -> None:
    def gone(group: Path) -> bool:
        inner = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        try:
            for folder in (*inner, group):
                folder.rmdir()
        except OSError:  # its processes are just ending
            return False
        return True

    for name in names.read_text().splitlines() if names.exists() else ():
        wait_until(lambda name=name: gone(Path(name)), DEADLINE_S, f"the end of {name}")  # type: ignore[misc]  # mypy knows no lambda's default
