"""A real worker on SQS loses S3, or SQS too, between a task's begin and the end of its message."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from celery import Celery

from bench.counting_proxy import Answer, Call, CountingProxy, counting_proxy
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


@pytest.fixture
def sqs_proxy(emulators: Emulators) -> Iterator[CountingProxy]:
    """The worker's way to SQS."""
    with counting_proxy(emulators.aws_url) as running:
        yield running


@pytest.fixture
def environ(
    emulators: Emulators, bucket: str, proxy: CountingProxy, sqs_proxy: CountingProxy, queue: tuple[SQSClient, str]
) -> dict[str, str]:
    """The worker's environment: it reaches S3 and SQS through a proxy each."""
    return {
        **emulators.environ,
        "AWS_ENDPOINT_URL_SQS": sqs_proxy.url,
        "PYTHONPATH": str(ROOT),
        "OUTAGE_QUEUE": name_of(queue),
        "OUTAGE_BUCKET": bucket,
        "OUTAGE_S3_URL": proxy.url,
    }


@pytest.fixture
def start_worker(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Supervised]]:
    """Start the worker; it is stopped when the test is over."""
    arguments = ("-m", "celery", "-A", "tests.tasks.results.outage_app", "worker", "-l", "INFO", "--without-mingle")
    command = Command("outage", (sys.executable, *arguments))
    with ExitStack() as workers:

        def start() -> Supervised:
            worker = Supervised.start(command, {**environ, "OUTAGE_RUNS": str(tmp_path / "runs")}, tmp_path)
            workers.callback(worker.stop)
            return worker

        yield start


@pytest.fixture
def client(emulators: Emulators, bucket: str, queue: tuple[SQSClient, str]) -> Celery:
    """An app that sends to the worker's queue and reads its results, whatever the worker can reach."""
    app = make_celery(bucket, emulators.aws_url)
    app.conf.update(broker_url="sqs://", task_default_queue=name_of(queue), task_create_missing_queues=True)
    return app


def test_a_message_whose_result_cannot_be_stored_comes_back(
    start_worker: Callable[[], Supervised],
    client: Celery,
    proxy: CountingProxy,
    queue: tuple[SQSClient, str],
    tmp_path: Path,
) -> None:
    """Neither is it acknowledged nor does the worker keep it: it is done again, until S3 takes the result."""
    runs = tmp_path / "runs"
    proxy.hang_up = True
    worker = start_worker()
    result = client.send_task("run")
    wait_until(lambda: runs.exists() and runs.stat().st_size >= 3, 60, f"a third run; see {worker.log}")
    assert worker.log.read_text().count("the message goes back to the queue") >= 2
    proxy.hang_up = False
    assert result.get(timeout=30) == "done"
    wait_until(lambda: messages(queue) == 0, 30, "an empty queue")


def test_a_message_that_comes_again_is_done_though_its_result_cannot_be_read(
    start_worker: Callable[[], Supervised], client: Celery, proxy: CountingProxy, queue: tuple[SQSClient, str]
) -> None:
    """Whether it has succeeded before is not known, which is no failure of the task."""

    def refuse(call: Call) -> Answer | None:
        """Take no result before a worker has asked, in vain, whether there is one."""
        asked = proxy.count("GET") > 0
        return None if call.method == "PUT" and asked else Answer.s3_error(503, "SlowDown")

    proxy.instead = refuse
    worker = start_worker()
    assert client.send_task("run").get(timeout=60) == "done"
    assert "the message goes back to the queue" in worker.log.read_text()
    assert proxy.count("GET") > 0
    wait_until(lambda: messages(queue) == 0, 30, "an empty queue")


def test_a_retry_that_cannot_be_sent_loses_nothing(
    start_worker: Callable[[], Supervised],
    client: Celery,
    proxy: CountingProxy,
    sqs_proxy: CountingProxy,
    queue: tuple[SQSClient, str],
) -> None:
    """A task cannot read S3, and SQS is away as well: its message goes back, and is done when both are there again."""

    def lose_both(call: Call) -> Answer | None:
        if not call.path.endswith("/photo"):
            return None  # so that a failure could be stored
        sqs_proxy.hang_up = True
        return Answer.s3_error(503, "SlowDown")

    proxy.instead = lose_both
    worker = start_worker()
    result = client.send_task("fetch")
    wait_until(lambda: "reject requeue=" in worker.log.read_text(), 60, f"the rejected message; see {worker.log}")
    proxy.instead, sqs_proxy.hang_up = None, False
    assert result.get(timeout=60) == "no photo"
    wait_until(lambda: messages(queue) == 0, 30, "an empty queue")


def name_of(queue: tuple[SQSClient, str]) -> str:
    """Return the queue's name."""
    return queue[1].rpartition("/")[2]


def messages(queue: tuple[SQSClient, str]) -> int:
    """Return how many messages are in the queue, in flight included."""
    sqs, url = queue
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])
