"""Remote control, events and Flower while the broker freezes, dies and comes back empty."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.emulators import Emulators, answers
from local.ports import free_port
from local.processes import Supervised, wait_until
from tests.tasks.sqs.control_stack import ControlStack, control_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

# Longer than a request that is answered at once may take, shorter than a poll.
FREEZE_S = 6.0
# What was tried in vain is tried again within 10 s; a poll that hangs is given up after 30 s.
RECOVERY_S = 45.0
DEADLINE_S = 20.0
NODE = "one@test"
AUTH = ("operator", "secret")


class Broker:
    """An emulator of the test's own, to freeze and kill."""

    def __init__(self, log_dir: Path) -> None:
        self._emulators = Emulators(free_port(), free_port())
        self._log_dir = log_dir
        self._process: Supervised | None = None
        self.url = self._emulators.aws_url

    def start(self) -> None:
        """Start, with nothing in it."""
        self._process = Supervised.start(self._emulators.commands()[0], dict(os.environ), self._log_dir)
        wait_until(lambda: answers(f"{self.url}/_ministack/health"), DEADLINE_S, "the emulator")

    def freeze(self, duration_s: float) -> None:
        """Answer nothing for a while, with all connections open."""
        assert self._process is not None
        self._process.signal_group(signal.SIGSTOP)
        time.sleep(duration_s)  # the outage itself
        self._process.signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """End at once; all queues, topics and subscriptions are lost."""
        assert self._process is not None
        self._process.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running emulator."""
    made = Broker(tmp_path / "broker")
    made.start()
    yield made
    made.kill()


def succeeded(flower_url: str) -> set[str]:
    """The ids of the tasks that Flower shows as succeeded."""
    tasks = requests.get(f"{flower_url}/api/tasks?state=SUCCESS", auth=AUTH, timeout=DEADLINE_S).json()
    return set(tasks)


def test_workers_and_flower_recover_without_a_restart(broker: Broker, tmp_path: Path) -> None:
    """After a freeze, and after a crash that lost every queue and topic, workers answer and Flower shows new tasks."""
    with control_stack(broker.url, tmp_path) as stack:
        worker = stack.start_workers({NODE: "threads"})[NODE]
        flower, flower_url = stack.start_flower(FLOWER_BASIC_AUTH=":".join(AUTH))
        wait_until(lambda: answers(f"{flower_url}/healthcheck"), DEADLINE_S, "Flower")
        assert_all_works(stack, flower_url)

        broker.freeze(FREEZE_S)
        assert_all_works(stack, flower_url)

        broker.kill()
        time.sleep(1)  # requests are refused for a while
        broker.start()
        stack.client("sqs").create_queue(QueueName=stack.tasks_queue)
        assert_all_works(stack, flower_url)
        assert worker.alive()
        assert flower.alive()
        worker.stop()
        flower.stop()
        assert stack.queues("node") == stack.queues("events") == []


def assert_all_works(stack: ControlStack, flower_url: str) -> None:
    """Wait until a ping is answered and Flower shows a task that was sent now."""

    def ping() -> bool:
        return bool(stack.control.inspect(timeout=2, limit=1).ping() == {NODE: {"ok": "pong"}})

    wait_until(ping, RECOVERY_S, "the answer to a ping")
    task = stack.send("add", 1, 2)
    wait_until(lambda: task in succeeded(flower_url), RECOVERY_S, "the task in Flower")
