"""Workers and clients outlive an SQS that freezes, or goes and comes back, without a restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.emulators import Emulators, answers
from local.ports import free_port
from local.processes import Supervised, wait_until
from tasks.sqs.sends import Call, send_many
from tests.tasks.sqs.conftest import Broker, throughout

pytestmark = pytest.mark.stack

NOTE = "tests.tasks.sqs.message_app.note"
# Longer than the visibility timeout, and than what a request waits.
FREEZE_S = 7.0
ABSENCE_S = 3.0
TASKS = 30


class Aws:
    """An emulated AWS of the test's own, which keeps its state when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.emulators = Emulators(free_port(), free_port())
        self._folder = folder
        self.process = self._start()

    def _start(self) -> Supervised:
        aws, _ec2 = self.emulators.commands(self._folder)
        process = Supervised.start(aws, dict(os.environ), self._folder)
        wait_until(lambda: answers(f"{self.emulators.aws_url}/_ministack/health"), 30, "the emulator")
        return process

    def restart(self) -> None:
        """Start it again where it was."""
        self.process = self._start()


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    """The emulated AWS."""
    running = Aws(tmp_path / "aws")
    yield running
    running.process.signal_group(signal.SIGCONT)
    running.process.stop()


@pytest.fixture
def emulators(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Emulators:
    """Let the broker be there; this process's clients go by URL, lest they take the other tests' emulator."""
    monkeypatch.setenv("TEST_BROKER_URL", aws.emulators.aws_url.replace("http://", "sqs://local:local@"))
    return aws.emulators


def test_a_worker_outlives_an_aws_that_freezes_and_one_that_restarts(
    aws: Aws, app: Any, broker: Broker, start_worker: Callable[..., Supervised], tmp_path: Path
) -> None:
    """Frozen for longer than the visibility timeout, then gone, both amid work: every task ends, none is lost."""
    worker = start_worker()
    calls = [Call(NOTE, f"task-{number}", (str(tmp_path), f"n{number}", 0.3)) for number in range(TASKS)]
    assert send_many(app, calls, queue=broker.queue) == [None] * TASKS

    def done() -> int:
        return len(list(tmp_path.glob("n*-*")))

    wait_until(lambda: done() >= 4, 30, "some tasks")
    aws.process.signal_group(signal.SIGSTOP)
    throughout(FREEZE_S, worker.alive)
    aws.process.signal_group(signal.SIGCONT)
    before = done()
    wait_until(lambda: done() >= before + 6, 30, "work to go on after the freeze")
    aws.process.stop()
    throughout(ABSENCE_S, worker.alive)
    aws.restart()
    assert [app.AsyncResult(f"task-{number}").get(timeout=30) for number in range(TASKS)] == [
        f"n{number}" for number in range(TASKS)
    ]
    broker.wait_empty(15)
    assert worker.alive()


def test_a_worker_that_starts_before_sqs_waits_for_it(
    aws: Aws, app: Any, broker: Broker, start_worker: Callable[..., Supervised]
) -> None:
    """A line in the log for each attempt, pauses between them, and work as soon as SQS answers."""
    result = app.send_task("tests.tasks.sqs.message_app.add", (1, 2))
    aws.process.stop()
    worker = start_worker(ready="Trying again in")
    throughout(1, worker.alive)
    aws.restart()
    assert result.get(timeout=30) == 3
    assert worker.log.read_text().count("Trying again in") < 5
    assert "Frequent restarts" not in worker.log.read_text()
    broker.wait_empty(30)
