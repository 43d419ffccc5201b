"""What ends when the terminal is closed or somebody sends SIGTERM: all that was started, in an order of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from local.ports import free_port
from local.processes import UNHANDLED, Command, Supervised, ended_by_signals, wait_until

SMOKE = ("local", "smoke")
AWS = ("local", "aws")
DRILL = ("bench.drill_elastic", "--boot-s", "0")
# Each is one of several processes that a command starts, and among the last.
WORKER, EMULATOR, NODE = ("celery", "worker"), ("moto_server",), ("tasks.node",)


@contextmanager
def default_handlers() -> Iterator[None]:
    """Handle signals as a process does that has just been started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in UNHANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", UNHANDLED)
def test_a_block_stops_what_it_has_started_however_often_it_is_told_to_end(number: signal.Signals) -> None:
    """The first signal ends the block, further ones do not disturb its end; the exit status tells which it was."""
    stopped = []

    def serve() -> None:
        with ended_by_signals():
            try:
                signal.raise_signal(number)
            finally:
                for again in UNHANDLED:
                    signal.raise_signal(again)
                stopped.append("process")

    with default_handlers():
        with pytest.raises(SystemExit) as ended:
            serve()
        assert [signal.getsignal(one) for one in UNHANDLED] == [signal.SIG_DFL] * 2
    assert (ended.value.code, stopped) == (128 + number, ["process"])


def test_ctrl_c_stays_what_it_is() -> None:
    """Who presses Ctrl-C is told so, as without the block."""
    with default_handlers(), pytest.raises(KeyboardInterrupt), ended_by_signals():
        signal.raise_signal(signal.SIGINT)


def test_what_was_started_to_outlive_its_terminal_does() -> None:
    """`nohup` has SIGHUP ignored, which holds inside the block."""
    with default_handlers():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)


def test_a_thread_may_run_the_block() -> None:
    """Signals are the main thread's, which keeps its handlers."""
    done = []

    def serve() -> None:
        with ended_by_signals():
            done.append(signal.getsignal(signal.SIGTERM))

    with default_handlers():
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
    assert done == [signal.SIG_DFL]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("command", "last", "number"),
    [
        pytest.param(AWS, EMULATOR, signal.SIGTERM, id="emulators"),
        pytest.param(SMOKE, EMULATOR, signal.SIGTERM, id="smoke-starting"),
        pytest.param(SMOKE, WORKER, signal.SIGHUP, id="smoke"),
        pytest.param(DRILL, NODE, signal.SIGTERM, id="drill"),
    ],
)
def test_nothing_is_left_of_a_command_that_is_told_to_end(
    tmp_path: Path, command: tuple[str, ...], last: tuple[str, ...], number: signal.Signals
) -> None:
    """A closed terminal, or `timeout`, which signals twice, ends emulators, services and nodes."""
    environ = {**os.environ, "TMPDIR": str(tmp_path), "LOCAL_STATE_DIR": str(tmp_path / "state")}
    environ |= {"LOCAL_AWS_PORT": str(free_port()), "LOCAL_EC2_PORT": str(free_port())}
    running = Supervised.start(Command("command", (sys.executable, "-m", *command)), environ, tmp_path / "log")
    started: list[psutil.Process] = []
    try:
        started = _started(running, lambda found: any(set(last) <= set(_words(one)) for one in found))
        for _time in range(2):
            running.signal_group(number)
        assert running.process.wait(60) == 128 + number, running.log.read_text()
        _, left = psutil.wait_procs(started, timeout=30)
        assert left == []
    finally:
        running.stop()
        for process in started:
            if process.is_running():
                process.kill()
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"log", "state"}] == []


def _started(running: Supervised, complete: Callable[[list[psutil.Process]], bool]) -> list[psutil.Process]:
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = psutil.Process(running.pid).children(recursive=True) if running.alive() else []
        return complete(found) or not running.alive()

    wait_until(look, 60, "the processes")
    assert running.alive(), running.log.read_text()
    return found


def _words(process: psutil.Process) -> list[str]:
    try:
        return [word.rpartition("/")[2] for word in process.cmdline()]
    except psutil.Error:
        return []  # it has just ended
