"""`make run`: starts everything, says where, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from local.ports import free_port
from local.processes import Command, Supervised, uninterrupted, wait_until
from tests.client import Client

pytestmark = pytest.mark.stack

RUN = (sys.executable, "-m", "local", "run")
PORTS = ("WEB_PORT", "FLOWER_PORT", "SCALER_PORT", "LOCAL_AWS_PORT", "LOCAL_EC2_PORT", "LOCAL_METADATA_PORT")
QUICK = {"IDLE_S": "2", "DRAIN_GRACE_S": "1", "SURPLUS_TICKS": "2"}


def test_run_starts_everything_and_ctrl_c_stops_everything(tmp_path: Path, photos: dict[str, bytes]) -> None:
    """It prints the addresses; the first photo brings a node, which leaves when idle; Ctrl-C leaves nothing behind."""
    ports = {name: free_port() for name in PORTS}
    environ = {
        **os.environ,
        **QUICK,
        **{name: str(port) for name, port in ports.items()},
        "LOCAL_STATE_DIR": str(tmp_path),
    }
    run = Supervised.start(Command("run", RUN), environ, tmp_path)
    try:
        wait_until(lambda: "Ready." in run.log.read_text() or not run.alive(), 60, "the addresses")
        page_url = f"http://127.0.0.1:{ports['WEB_PORT']}"
        assert page_url in run.log.read_text()
        assert requests.get(page_url, timeout=30).status_code == 200
        assert "nodes    none" in status(environ)
        client = Client(page_url)
        (result,) = client.wait(client.upload({"chelsea.png": photos["chelsea.png"]}))
        assert result["label"] == "cat"
        assert " ready " in status(environ)
        children = psutil.Process(run.pid).children(recursive=True)
        assert len(children) >= 7
        wait_until(lambda: "nodes    none" in status(environ), 60, "the node to leave")
        client.wait(client.upload({"coffee.png": photos["coffee.png"]}))
        children += psutil.Process(run.pid).children(recursive=True)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 0
        assert [child for child in children if child.is_running()] == []
    finally:
        run.stop()
    for port in ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_signal_does_not_come_between_a_start_and_the_note_of_it() -> None:
    """A closed terminal leaves nothing behind, even if it is closed while a process is being started."""
    noted = []

    def end(number: int, _frame: object) -> None:
        raise SystemExit(number)

    def start() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGHUP)
            noted.append("process")

    before = signal.signal(signal.SIGHUP, end)
    try:
        with pytest.raises(SystemExit):
            start()
        assert noted == ["process"]
        assert signal.getsignal(signal.SIGHUP) is end
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("when", ["at once", "when it is ready"])
def test_a_closed_terminal_leaves_nothing_behind(tmp_path: Path, when: str) -> None:
    """SIGHUP, which a terminal sends to all when it is closed, ends everything, however early it comes."""
    ports = {name: free_port() for name in PORTS}
    environ = {**os.environ, **{name: str(port) for name, port in ports.items()}, "LOCAL_STATE_DIR": str(tmp_path)}
    run = Supervised.start(Command("run", RUN), environ, tmp_path)
    try:
        wait_until(lambda: bool(psutil.Process(run.pid).children()), 30, "the first process")
        if when == "when it is ready":
            wait_until(lambda: "Ready." in run.log.read_text() or not run.alive(), 60, "the addresses")
        children = psutil.Process(run.pid).children(recursive=True)
        run.signal_group(signal.SIGHUP)
        run.process.wait(60)
        _, left = psutil.wait_procs(children, timeout=30)
        assert left == []
    finally:
        run.stop()


def status(environ: dict[str, str]) -> str:
    """Return what `scaler status` prints."""
    endpoints = {
        f"AWS_ENDPOINT_URL_{name}": f"http://127.0.0.1:{environ['LOCAL_AWS_PORT']}" for name in ("S3", "SQS", "SNS")
    }
    endpoints["AWS_ENDPOINT_URL_EC2"] = f"http://127.0.0.1:{environ['LOCAL_EC2_PORT']}"
    command = (sys.executable, "-m", "scaler", "status")
    return subprocess.run(command, env={**environ, **endpoints}, capture_output=True, text=True, check=False).stdout


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """The setting to change is named; nothing is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environ = {**os.environ, "FLOWER_PORT": str(port), "LOCAL_STATE_DIR": str(tmp_path)}
        environ |= {name: str(free_port()) for name in PORTS if name != "FLOWER_PORT"}
        output = subprocess.run(RUN, check=False, capture_output=True, text=True, env=environ)
    assert output.returncode == 1
    assert output.stderr.startswith(f"error: FLOWER_PORT={port} is refused: the port is in use")
    assert output.stderr.count("\n") == 1
