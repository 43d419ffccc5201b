"""What the benchmarks take a process for."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from bench.processes import OTHER, kind_of
from local.emulators import EMULATOR_BIN, ROOT, Emulators
from local.services import Services
from tasks.node.workers import worker_command

EMULATORS = Emulators(aws_port=1, ec2_port=2)
SERVICES = Services(EMULATORS, web_port=3, flower_port=4, scaler_port=5, metadata_port=6)
AWS, EC2 = EMULATORS.commands()
# The system puts it in front of a script's own path.
EMULATORS_PYTHON = str(EMULATOR_BIN / "python3.11")


def run_in(folder: str, argv: Sequence[str]) -> list[str]:
    """The command line in a clone that is there."""
    python = f"{folder}/.venv/bin/python"
    return [part.replace(sys.executable, python).replace(str(ROOT), folder) for part in argv]


@pytest.mark.parametrize("folder", ["/srv/app", "/home/celery/gunicorn/local.polling/moto_server/scaler"])
@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        pytest.param(SERVICES.web().argv, "web", id="web"),
        pytest.param(SERVICES.worker().argv, "worker", id="worker"),
        pytest.param(worker_command("w1@i-1", "tasks.app"), "worker", id="worker-of-a-node"),
        pytest.param((sys.executable, "-m", "tasks.node"), "agent", id="agent"),
        pytest.param(SERVICES.scaler().argv, "scaler", id="scaler"),
        pytest.param(SERVICES.host().argv, "host", id="host"),
        pytest.param((EMULATORS_PYTHON, *AWS.argv), "emulated S3, SQS, SNS", id="ministack"),
        pytest.param((EMULATORS_PYTHON, *EC2.argv), "emulated EC2", id="moto"),
        pytest.param(("/bin/bash", f"{ROOT}/deploy/machine/boot.sh", "node"), OTHER, id="boot"),
        pytest.param((sys.executable, "-c", "from celery import Celery"), OTHER, id="code"),
        pytest.param((sys.executable,), OTHER, id="python-alone"),
        pytest.param((), OTHER, id="ending"),
    ],
)
def test_the_place_of_the_clone_does_not_matter(folder: str, argv: Sequence[str], kind: str) -> None:
    """A process is known by the program that it runs, whatever the folders that its command line names."""
    assert kind_of(run_in(folder, argv)) == kind
