"""An app for a real worker on SQS: its task counts its runs in a file, its results go to an S3 that a test can cut off."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from kombu import Queue

from tasks.objects import Bucket, StoreUnavailable
from tasks.retries import RetriedTask

queue = os.environ["OUTAGE_QUEUE"]

app = Celery("outage")
app.conf.update(
    broker_url="sqs://",
    broker_transport="tasks.sqs.transport:Transport",
    broker_transport_options={"region": os.environ["AWS_REGION"], "visibility_timeout": 20, "wait_time_seconds": 1},
    task_default_queue=queue,
    task_queues=(Queue(queue),),
    task_create_missing_queues=False,
    task_acks_late=True,
    worker_deduplicate_successful_tasks=True,
    worker_pool="tasks.pool:TaskPool",
    worker_concurrency=2,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    result_backend="tasks.results:S3ResultBackend",
    result_backend_transport_options={
        "bucket": os.environ["OUTAGE_BUCKET"],
        "region": os.environ["AWS_REGION"],
        "endpoint_url": os.environ["OUTAGE_S3_URL"],
        "store_deadline_s": 1.0,
    },
)


@app.task(name="run")
def run() -> str:
    """Leave a byte in a file for each time that this runs."""
    with Path(os.environ["OUTAGE_RUNS"]).open("a") as file:
        file.write(".")
    return "done"


@app.task(name="fetch", base=RetriedTask, autoretry_for=(StoreUnavailable,), retry_backoff=1, retry_backoff_max=1)
def fetch() -> str:
    """Read an object from the S3 that a test can cut off."""
    bucket = Bucket(
        os.environ["OUTAGE_BUCKET"], region=os.environ["AWS_REGION"], endpoint_url=os.environ["OUTAGE_S3_URL"]
    )
    return "no photo" if bucket.get("photo") is None else "a photo"
