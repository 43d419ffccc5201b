"""The shipped units under a real systemd: the system works with all that is taken from its processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.machine.settings import quoted, settings_file
from local.ports import free_port
from local.processes import wait_until
from local.stack import Stack, running_stack
from tests.access import Holder
from tests.client import Client
from tests.deploy.systemd import Systemd, running_systemd, why_not

pytestmark = [pytest.mark.stack, pytest.mark.skipif(bool(why_not()), reason=why_not())]

INSTANCE_ID = "i-0c1a551f1e4"
USER = Holder("ann")
UNITS = ("classifier-web", "classifier-scaler", "classifier-flower", "classifier-node")
SECRET = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - of this test alone
# What AWS's command line says to secrets.sh.
AWS = f"#!/bin/sh\necho {SECRET}\n"
# Until it answers.
AWAY = "AWS is away"
AWS_IS_BACK = "/run/aws-is-back"
AWS_OF_LATE = f"#!/bin/sh\n[ -e {AWS_IS_BACK} ] || {{ echo {AWAY} >&2; exit 255; }}\necho {SECRET}\n"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An AWS with buckets and queues."""
    environ = {"WORKER_PROCESSES": "1", "POLL_WAIT_S": "1", "INSTANCE_ID": INSTANCE_ID, "MAX_NODES": "1"}
    with running_stack(tmp_path_factory.mktemp("stack"), environ | {"API_KEYS": USER.line}) as running:
        yield running


@pytest.fixture(scope="module")
def systemd(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """A machine that is web machine and node in one, with every process running."""
    with running_systemd(tmp_path_factory.mktemp("systemd"), files_of_both(stack.environ, AWS)) as running:
        running.run("systemctl", "start", "--no-block", *UNITS)
        wait_until(lambda: all(running.is_active(unit) for unit in UNITS), DEADLINE_S, "the units")
        wait_until(lambda: " ready." in log(running, "node"), DEADLINE_S, "the worker")
        yield running


def files_of_both(environ: Mapping[str, str], aws: str) -> dict[str, str]:
    """Return what boot.sh writes on a web machine and on a node, and AWS's command line."""
    settings = settings_file("web", {name: value for name, value in environ.items() if name != "TMPDIR"})
    return {
        "etc/classifier/settings.env": settings + f"INSTANCE_ID={quoted(INSTANCE_ID)}\n",
        "etc/classifier/secrets-of.env": "".join(
            f'{name}="x"\n' for name in ("AWS_REGION", "WEB_SECRET_ARN", "FLOWER_SECRET_ARN", "DOMAIN_NAME")
        )
        + 'TLS_SECRET_ARN=""\n',
        "etc/classifier/aws-config": "".join(f"[profile {name}]\n" for name in ("web", "scaler", "flower")),
        "usr/bin/aws": aws,
    }


def log(systemd: Systemd, name: str) -> str:
    """Return what a unit has written."""
    return systemd.run("cat", f"/var/log/classifier/{name}.log")


@pytest.fixture
def client(stack: Stack, systemd: Systemd) -> Client:
    """A user of the web app that systemd runs."""
    assert systemd.is_active("classifier-web")
    return Client(stack.services.web_url, USER.headers)


@pytest.mark.parametrize("unit", UNITS)
def test_a_process_can_do_nothing_that_it_need_not(systemd: Systemd, unit: str) -> None:
    """It is a user of its own without capabilities, which no program gives back, and its system calls are filtered."""
    status = systemd.status(unit)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert systemd.run("ps", "--no-headers", "-o", "user:32", str(systemd.main_pid(unit))).strip() == unit


def test_secrets_are_in_memory_and_for_root_alone(systemd: Systemd) -> None:
    """The folder is no disk's, and no process's user can read it."""
    folder = "/run/classifier-secrets"
    assert SECRET in systemd.run("cat", f"{folder}/web.env")
    assert systemd.run("stat", "--file-system", "--format=%T", folder).strip() == "tmpfs"
    assert systemd.run("stat", "--format=%a %U", folder).strip() == "700 root"


def test_a_web_machine_waits_for_its_secrets(stack: Stack, tmp_path: Path) -> None:
    """What needs them starts once AWS answers, however often it did not at the machine's start."""
    files = files_of_both({**stack.environ, "WEB_PORT": str(free_port())}, AWS_OF_LATE)
    with running_systemd(tmp_path, files) as machine:
        machine.run("touch", "/var/log/classifier/boot.log")
        machine.run("systemctl", "start", "--no-block", "classifier-web")
        wait_until(lambda: AWAY in log(machine, "boot"), DEADLINE_S, "the first try")
        assert not machine.is_active("classifier-web")
        machine.run("touch", AWS_IS_BACK)
        wait_until(lambda: machine.is_active("classifier-web"), DEADLINE_S, "the web app")


@pytest.mark.parametrize("unit", UNITS)
def test_logs_are_for_root_and_the_log_agent_that_runs_as_root(systemd: Systemd, unit: str) -> None:
    """Nobody else on the machine reads what the processes write."""
    name = unit.removeprefix("classifier-")
    assert systemd.run("stat", "--format=%a %U", f"/var/log/classifier/{name}.log").strip() == "600 root"


def test_a_photo_is_classified_by_processes_that_systemd_confines(client: Client, photos: Mapping[str, bytes]) -> None:
    """Web app, worker and model work with what the hardening leaves them."""
    (result,) = client.wait(client.upload({"chelsea.png": photos["chelsea.png"]}))
    assert (result["state"], result["label"]) == ("SUCCESS", "cat")


def test_stopping_a_node_lets_it_finish(systemd: Systemd, client: Client, photos: Mapping[str, bytes]) -> None:
    """`systemctl stop` loses no photo and kills nothing: what had begun is done, the rest is given back."""
    ids = client.upload({f"{number}.png": photos["chelsea.png"] for number in range(30)})
    systemd.run("systemctl", "stop", "classifier-node")
    assert systemd.run("systemctl", "show", "--property=Result", "--value", "classifier-node").strip() == "success"
    assert "the node ends: the agent was told to stop" in log(systemd, "node")
    systemd.run("systemctl", "start", "classifier-node")
    assert {result["state"] for result in client.wait(ids)} == {"SUCCESS"}


def test_a_node_that_is_shut_down_powers_its_machine_off(stack: Stack, tmp_path: Path) -> None:
    """The agent may not; it says so to systemd, which does."""
    files = {
        "etc/classifier/settings.env": settings_file("node", {**stack.environ, "WORKER_APP": "local.stand_in"})
        + f"INSTANCE_ID={quoted('i-0ff')}\n",
    }
    with running_systemd(tmp_path, files) as machine:
        machine.run("systemctl", "start", "classifier-node")
        wait_until(lambda: " ready." in log(machine, "node"), DEADLINE_S, "the worker")
        worker = machine.run("pgrep", "--full", "celery").split()[0]
        machine.run("kill", "-TERM", worker)
        try:
            wait_until(lambda: not machine.process.alive(), DEADLINE_S, "the machine's end")
        except TimeoutError:
            pytest.fail(log(machine, "node"))
