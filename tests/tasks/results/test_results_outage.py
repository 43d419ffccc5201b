"""A real worker on SQS loses S3 between a task's end and its result."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from bench.counting_proxy import CountingProxy
from local.emulators import ROOT, Emulators
from local.processes import Command, Supervised, wait_until
from tests.tasks.results.apps import make_celery

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.stack


@pytest.fixture
def queue(s3: S3Client) -> Iterator[tuple[SQSClient, str]]:
    """SQS and the URL of a queue of the test's own."""
    assert s3, "it has pointed this process at the emulator"
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=f"outage-{uuid.uuid4()}", Attributes={"VisibilityTimeout": "20"})["QueueUrl"]
    yield sqs, url
    sqs.delete_queue(QueueUrl=url)


def test_a_message_whose_result_cannot_be_stored_comes_back(
    emulators: Emulators, bucket: str, proxy: CountingProxy, queue: tuple[SQSClient, str], tmp_path: Path
) -> None:
    """Neither is it acknowledged nor does the worker keep it: it is done again, until S3 takes the result."""
    sqs, queue_url = queue
    runs = tmp_path / "runs"
    environ = {
        **emulators.environ,
        "PYTHONPATH": str(ROOT),
        "OUTAGE_QUEUE": queue_url.rpartition("/")[2],
        "OUTAGE_BUCKET": bucket,
        "OUTAGE_S3_URL": proxy.url,
        "OUTAGE_RUNS": str(runs),
    }
    arguments = ("-m", "celery", "-A", "tests.tasks.results.outage_app", "worker", "-l", "INFO", "--without-mingle")
    proxy.hang_up = True
    worker = Supervised.start(Command("outage", (sys.executable, *arguments)), environ, tmp_path)
    try:
        app = make_celery(bucket, proxy.url)
        app.conf.update(
            broker_url="sqs://", task_default_queue=environ["OUTAGE_QUEUE"], task_create_missing_queues=True
        )
        result = app.send_task("run")
        wait_until(lambda: runs.exists() and runs.stat().st_size >= 3, 40, f"a third run; see {worker.log}")
        assert worker.log.read_text().count("the message goes back to the queue") >= 2
        proxy.hang_up = False
        assert result.get(timeout=30) == "done"
        wait_until(lambda: messages(sqs, queue_url) == 0, 30, "an empty queue")
    finally:
        worker.stop()


def messages(sqs: SQSClient, queue_url: str) -> int:
    """Return how many messages are in the queue, in flight included."""
    counts = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])
