"""The Celery app that `bench.requests` counts the requests of: one task that does nothing, on two stacks.

``BENCH_STACK`` chooses: ``stock`` is what Celery and kombu bring, ``ours`` this project's transport and result store.
Everything else is the same.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

NOOP = "bench.noop"
QUEUE = os.environ["BENCH_QUEUE"]
BUCKET = os.environ["BENCH_BUCKET"]
REGION = os.environ["AWS_REGION"]
S3_URL = os.environ["AWS_ENDPOINT_URL_S3"]

STACKS: dict[str, dict[str, Any]] = {
    "stock": {
        "result_backend": "s3",
        "s3_bucket": BUCKET,
        "s3_endpoint_url": S3_URL,
        "s3_region": REGION,
        "s3_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    },
    "ours": {
        "broker_transport": "tasks.sqs.transport:Transport",
        "result_backend": "tasks.results:S3ResultBackend",
        "result_backend_transport_options": {"bucket": BUCKET, "region": REGION, "endpoint_url": S3_URL},
    },
}

app = Celery("bench")
app.conf.update(
    broker_url="sqs://",
    broker_connection_retry_on_startup=True,
    broker_transport_options={"region": REGION, "visibility_timeout": 60, "wait_time_seconds": 20},
    task_default_queue=QUEUE,
    task_queues=(Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE),),
    task_create_missing_queues=False,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    **STACKS[os.environ["BENCH_STACK"]],
)


@app.task(name=NOOP)
def noop() -> None:
    """Do nothing."""
