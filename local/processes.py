"""Starts, watches and stops one subprocess and everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

POLL_S = 0.05
STOP_DEADLINE_S = 15.0
# Python ends at once at these, whereas of SIGINT it makes an exception.
UNHANDLED = (signal.SIGHUP, signal.SIGTERM)
ENDINGS = (*UNHANDLED, signal.SIGINT)


@dataclass(frozen=True)
class Command:
    """A command line with the variables it needs beside the caller's environment."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Poll `condition` until it holds.

    Raises:
        TimeoutError: it did not hold within `deadline_s`; the message names `what`.
    """
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"waited {deadline_s:g} s in vain for {what}")
        time.sleep(POLL_S)


@dataclass(frozen=True)
class Supervised:
    """A running subprocess that leads its own process group, with its output in a file."""

    command: Command
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, command: Command, environ: Mapping[str, str], log_dir: Path) -> Supervised:
        """Start `command` in a process group of its own, appending its output to `log_dir/NAME.log`.

        Raises:
            OSError: the program is missing or cannot be executed.
        """
        log_dir.mkdir(parents=True, exist_ok=True)
        log = log_dir / f"{command.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command.argv,
                env={**environ, **command.environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(command, process, log)

    @property
    def pid(self) -> int:
        """The process id, which is the group's id too."""
        return self.process.pid

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started; a group that is gone is left alone."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """End the whole group at once, as a power cut would."""
        self.signal_group(signal.SIGKILL)
        self.process.wait()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Ask the process to end (SIGTERM), kill the group after `deadline_s`, return the exit status."""
        if self.alive():
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it had its time: the kill below ends it
            self.process.wait(deadline_s)
        self.kill()
        return self.process.returncode


def start_in(stack: contextlib.ExitStack, command: Command, environ: Mapping[str, str], log_dir: Path) -> Supervised:
    """Start a process that ends with the stack, even if a signal ends this one meanwhile."""
    with uninterrupted():
        process = Supervised.start(command, environ, log_dir)
        stack.callback(process.stop)
    return process


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a closed terminal and SIGTERM end the block as Ctrl-C does, so that what it has started ends with it.

    Only the first of these two does: `timeout` and make send several, and one that comes while processes are being stopped
    would leave the rest running. Signals that the caller handles or ignores (nohup) stay as they are.

    Raises:
        SystemExit: one came; the status is 128 plus its number.
    """
    came: list[int] = []

    def end(number: int, _frame: object) -> None:
        came.append(number)
        if len(came) == 1:
            raise KeyboardInterrupt  # SystemExit would be no more to pytest than one failed test

    handled = [number for number in _handled_here(UNHANDLED) if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt:
        if came:
            raise SystemExit(128 + came[0]) from None
        raise
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put signals that end the process off until the block is done: what it starts is known then, and can be stopped."""
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: came.append(number)) for number in _handled_here(ENDINGS)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _handled_here(numbers: Sequence[signal.Signals]) -> Sequence[signal.Signals]:
    # Python runs handlers in the main thread alone, and lets no other set them.
    return numbers if threading.current_thread() is threading.main_thread() else ()
