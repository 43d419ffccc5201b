"""The system outlives an outage of AWS without a restart."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from itertools import cycle, islice

import pytest
import requests

from local.processes import wait_until
from local.stack import Stack
from tests.client import Client

pytestmark = pytest.mark.stack

FREEZE_S = 20


@pytest.mark.timeout(180)
def test_everything_recovers_from_a_frozen_aws(new_stack: Callable[..., Stack], photos: dict[str, bytes]) -> None:
    """S3, SQS and SNS stop answering for 20 s amid work: every photo taken is classified, no process is restarted."""
    stack = new_stack(VISIBILITY_TIMEOUT_S="10", TASK_TIME_LIMIT_S="8", WORKER_THREADS="2", MAX_RECEIVES="20")
    processes = [stack.start_web(), stack.start_worker(), stack.start_flower()]
    client = Client(stack.services.web_url)
    chosen = {f"{number}-{name}": data for number, (name, data) in enumerate(islice(cycle(photos.items()), 30))}
    ids = client.upload(chosen)
    aws = stack.services.emulators.processes[0]
    aws.signal_group(signal.SIGSTOP)
    threading.Timer(FREEZE_S, aws.signal_group, [signal.SIGCONT]).start()
    assert [result["state"] for result in client.wait(ids, 120, outage=True)] == ["SUCCESS"] * 30
    more = client.upload(dict(islice(chosen.items(), 3)))
    assert [result["state"] for result in client.wait(more)] == ["SUCCESS"] * 3
    assert all(process.alive() for process in processes)

    def flower_sees_the_worker() -> bool:
        return "worker@" in requests.get(f"{stack.services.flower_url}/workers", timeout=30).text

    wait_until(flower_sees_the_worker, 60, "the worker in Flower")
