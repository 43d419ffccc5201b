"""A small Celery app for the tests of remote control and events; started as ``celery -A tests.tasks.sqs.control_app``."""

from __future__ import annotations

import logging
import os
import time
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

EVENT_INTERVAL_S = 0.2


def make_app(prefix: str, aws_url: str) -> Celery:
    """Return an app whose queues and topics start with `prefix`, on the emulator at `aws_url`."""
    app = Celery("control_app", set_as_current=False)
    app.conf.update(
        broker_url=f"sqs://local:local@{urlsplit(aws_url).netloc}",
        broker_transport="tasks.sqs.transport:Transport",
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "region": "us-east-1",
            "is_secure": False,
            "visibility_timeout": 30,
            "wait_time_seconds": 1,
            "control_prefix": prefix,
            "event_interval_s": EVENT_INTERVAL_S,
        },
        task_default_queue=f"{prefix}-tasks",
        result_backend="cache+memory://",
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
    )
    app.task(shared=False, name="add")(add)
    app.task(shared=False, name="sleep")(sleep)
    app.task(shared=False, name="ask", bind=True)(ask)
    return app


def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


def sleep(duration_s: float) -> float:
    """Sleep, then return for how long."""
    time.sleep(duration_s)
    return duration_s


def ask(task: Any, workers: int) -> list[str]:
    """Ping all workers from within a worker; return who answered."""
    return sorted(task.app.control.inspect(timeout=30, limit=workers).ping() or {})


logging.getLogger("botocore").setLevel(logging.WARNING)
if "TEST_PREFIX" in os.environ:
    app = make_app(os.environ["TEST_PREFIX"], os.environ["TEST_AWS_URL"])
