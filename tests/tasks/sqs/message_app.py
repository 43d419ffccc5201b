"""A Celery app that knows nothing of photos, for the tests of the transport."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.worker.control import control_command
from kombu import Exchange, Queue

QUEUE = os.environ["TEST_QUEUE"]

# Each test imports this module anew: tasks are not shared with the apps of others in the process.
app = Celery("messages")
app.conf.update(
    broker_url=os.environ.get("TEST_BROKER_URL", "sqs://"),
    broker_transport="tasks.sqs.transport:Transport",
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "visibility_timeout": int(os.environ.get("TEST_VISIBILITY_TIMEOUT_S", "60")),
        "wait_time_seconds": 1,
        "control_prefix": os.environ.get("TEST_CONTROL_PREFIX", "messages"),
        "max_receives": 2,
    },
    task_default_queue=QUEUE,
    task_queues=(Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE),),
    task_create_missing_queues=False,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_pool=os.environ.get("TEST_POOL", "tasks.pool:TaskPool"),
    result_backend="tasks.results:S3ResultBackend",
    result_backend_transport_options={
        "bucket": os.environ.get("TEST_BUCKET", ""),
        "region": "us-east-1",
        "endpoint_url": os.environ["AWS_ENDPOINT_URL_S3"],
    },
)


@app.task(shared=False)
def add(a: int, b: int) -> int:
    """Return the sum."""
    return a + b


@app.task(shared=False)
def note(folder: str, name: str, seconds: float) -> str:
    """Take some time, then leave a file for each time that it ran."""
    time.sleep(seconds)
    (Path(folder) / f"{name}-{time.time_ns()}").touch()
    return name


@app.task(shared=False)
def kill_worker() -> None:
    """End the worker as a crash would."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(shared=False)
def exit_thread() -> None:
    """Raise what is no `Exception`."""
    raise SystemExit(1)


@app.task(shared=False)
def fill_memory() -> None:
    """Raise what Celery takes for the end of the worker."""
    raise MemoryError


@app.task(shared=False, bind=True)
def told(self: Task[..., Any]) -> dict[str, float]:
    """Return what the transport tells a task of its message."""
    return dict(self.request.sqs)  # type: ignore[attr-defined]  # set by the transport


@app.task(shared=False, bind=True)
def retry_once(self: Task[..., Any], seconds: float) -> float:
    """Fail the first time; return, the second time, how long SQS kept the retry."""
    if not self.request.retries:
        raise self.retry(countdown=seconds, kwargs={"seconds": seconds})
    return time.time() - float(self.request.sqs["sent_at_s"])  # type: ignore[attr-defined]  # set by the transport


@control_command()
def lose_connection(state: Any) -> str:
    """Let the worker's event loop meet a connection error."""
    state.consumer.hub.call_soon(_lose_connection)
    return "ok"


def _lose_connection() -> None:
    raise ConnectionResetError("the test says so")
