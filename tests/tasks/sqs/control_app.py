"""A small Celery app for the tests of remote control and events; started as ``celery -A control_app``."""

import os
import time

from celery import Celery

PREFIX = os.environ["TEST_PREFIX"]

app = Celery("control_app")
app.conf.update(
    broker_url="sqs://",
    broker_transport="tasks.sqs.transport:Transport",
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "region": "us-east-1",
        "visibility_timeout": 30,
        "wait_time_seconds": int(os.environ.get("TEST_WAIT_S", "1")),
        "control_prefix": PREFIX,
        "event_interval_s": 0.2,
    },
    task_default_queue=f"{PREFIX}-tasks",
    result_backend="cache+memory://",
    result_extended=True,
    worker_hijack_root_logger=True,
    worker_send_task_events=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="noop")
def noop() -> None:
    """Do nothing."""


@app.task(name="add")
def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


@app.task(name="sleep")
def sleep(duration_s: float) -> float:
    """Sleep, then return for how long."""
    time.sleep(duration_s)
    return duration_s
