"""The host of emulated instances: real processes, the emulated EC2."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from local.emulators import Emulators
from local.host import processes_with
from local.ports import free_port
from local.processes import Command, Supervised, wait_until
from tests.local.machines import DEADLINE_S, Cloud, ec2_client, hosting, step_until

pytestmark = pytest.mark.stack

HOST = (sys.executable, "-c", "from local.host import main; raise SystemExit(main())")
STAYS = "#!/bin/bash\nsleep 1000 & echo up; wait\n"


@pytest.fixture
def cloud(emulators: Emulators) -> Cloud:
    """A deployment of the test's own."""
    return Cloud(ec2_client(emulators))


def alive(instance_id: str) -> list[psutil.Process]:
    """Return the processes of a machine."""
    return list(processes_with("INSTANCE_ID", instance_id))


def test_an_instance_runs_its_user_data_and_knows_who_it_is(cloud: Cloud, tmp_path: Path) -> None:
    """UserData runs once, with the machine's own variables and none of the host's."""
    node = cloud.launch(
        '#!/bin/bash\necho "$INSTANCE_ID $AWS_EC2_METADATA_SERVICE_ENDPOINT ${PYTEST_VERSION:-none}"\nexec sleep 1000\n'
    )
    log = tmp_path / f"{node}.log"
    with hosting(cloud, tmp_path) as host:
        step_until(host, lambda: log.exists() and bool(log.read_text()), "the machine's output")
        host.step()
        assert log.read_text() == f"{node} {host.metadata.url}/{node} none\n"
        assert len(alive(node)) == 1


def test_a_machine_that_powers_itself_off_is_terminated(cloud: Cloud, tmp_path: Path) -> None:
    """EC2 says so, nothing that the machine started is left, and it is not booted again."""
    boots = tmp_path / "boots"
    node = cloud.launch(f"#!/bin/bash\necho >> {boots}\nsleep 1000 &\nexit 0\n")
    with hosting(cloud, tmp_path) as host:
        step_until(host, lambda: cloud.state(node) == "terminated", "EC2 to know")
        wait_until(lambda: alive(node) == [], DEADLINE_S, "the end of what is left")
        assert len(boots.read_text().splitlines()) == 1


def test_terminating_an_instance_cuts_its_power(cloud: Cloud, tmp_path: Path) -> None:
    """All processes of the machine are gone, the others' are not."""
    node, other = cloud.launch(STAYS), cloud.launch(STAYS)
    with hosting(cloud, tmp_path) as host:
        step_until(host, lambda: len(alive(node)) == len(alive(other)) == 2, "both machines")
        cloud.ec2.terminate_instances(InstanceIds=[node])
        step_until(host, lambda: alive(node) == [], "the end of the machine")
        assert len(alive(other)) == 2


def test_an_instance_that_is_terminated_while_it_boots_never_runs(cloud: Cloud, tmp_path: Path) -> None:
    """Booting takes its time, and can be cut short."""
    node = cloud.launch(STAYS)
    with hosting(cloud, tmp_path, boot_s=0.2) as host:
        host.step()
        assert alive(node) == []
        cloud.ec2.terminate_instances(InstanceIds=[node])
        later = cloud.launch(STAYS)
        step_until(host, lambda: len(alive(later)) == 2, "the second machine")
        assert not (tmp_path / f"{node}.log").exists()


def test_user_data_that_cannot_run_terminates_the_instance(cloud: Cloud, tmp_path: Path) -> None:
    """A template that is wrong costs no machine that hangs about."""
    node = cloud.launch("#!/no/such/shell\n")
    with hosting(cloud, tmp_path) as host:
        step_until(host, lambda: cloud.state(node) == "terminated", "EC2 to know")


def test_a_host_that_is_killed_loses_its_machines_and_its_successor_clears_them_away(
    cloud: Cloud, emulators: Emulators, tmp_path: Path
) -> None:
    """What ran is killed and terminated, not run twice; what was never begun is booted; a stop leaves no process."""
    environ = (
        os.environ
        | emulators.environ
        | {
            "DEPLOYMENT": cloud.deployment,
            "LOCAL_STATE_DIR": str(tmp_path),
            "LOCAL_METADATA_PORT": str(free_port()),
        }
    )
    command = Command("host", HOST)
    first = Supervised.start(command, environ, tmp_path)
    second = None
    try:
        lost = cloud.launch(STAYS)
        wait_until(lambda: len(alive(lost)) == 2, DEADLINE_S, f"the machine; {first.log}")
        first.kill()
        new = cloud.launch(STAYS)
        second = Supervised.start(command, environ, tmp_path)
        wait_until(lambda: len(alive(new)) == 2, DEADLINE_S, f"the new machine; {second.log}")
        wait_until(lambda: alive(lost) == [], DEADLINE_S, "the end of what is left")
        assert cloud.state(lost) == "terminated"
        assert second.stop() == 0
        wait_until(lambda: alive(new) == [], DEADLINE_S, "the end of the new machine")
    finally:
        first.stop()
        if second is not None:
            second.stop()
