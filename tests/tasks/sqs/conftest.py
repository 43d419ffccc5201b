"""A queue with its dead-letter queue, a bucket and workers, for the tests of the transport."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from bench.counting_proxy import Answer, Call, CountingProxy, counting_proxy
from local.emulators import Emulators
from local.processes import Command, Supervised, wait_until

START_DEADLINE_S = 30.0
MAX_RECEIVES = 2
# Short, so that a killed worker's messages are back while a test waits.
VISIBILITY_TIMEOUT_S = 3
WATCH_INTERVAL_S = 0.1
QUICK = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
# JSON, and no object: botocore raises AttributeError.
GARBAGE = Answer(503, b"[]")


@dataclass(frozen=True)
class Broker:
    """A queue of a test's own and what belongs to it."""

    queue: str
    url: str
    dead_letters_url: str
    sqs: Any
    environ: Mapping[str, str]

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def dead_letters(self) -> int:
        """Return how many dead letters there are."""
        name = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=self.dead_letters_url, AttributeNames=[name])["Attributes"]
        return int(found[name])

    def wait_empty(self, deadline_s: float) -> None:
        """Wait until no message is visible or in flight."""
        wait_until(lambda: self.counts() == (0, 0), deadline_s, f"an empty queue; now {self.counts()}")


def throughout(seconds: float, condition: Callable[[], bool]) -> None:
    """Watch that something holds for as long as that."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        assert condition()
        time.sleep(WATCH_INTERVAL_S)


@pytest.fixture
def broker(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A queue, its dead-letter queue and a bucket for results; the environment points this process at them."""
    for name, value in emulators.environ.items():
        monkeypatch.setenv(name, value)
    queue = f"messages-{uuid.uuid4().hex[:12]}"
    sqs = boto3.client("sqs")
    dead_letters_url = sqs.create_queue(QueueName=f"{queue}-dead-letters")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES + 1})
    attributes: Any = {"RedrivePolicy": redrive, "VisibilityTimeout": str(VISIBILITY_TIMEOUT_S)}
    url = sqs.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
    boto3.client("s3").create_bucket(Bucket=queue)
    environ = {**os.environ, "TEST_QUEUE": queue, "TEST_BUCKET": queue, "TEST_CONTROL_PREFIX": queue[:16]}
    environ["TEST_VISIBILITY_TIMEOUT_S"] = str(VISIBILITY_TIMEOUT_S)
    for name in ("TEST_QUEUE", "TEST_BUCKET", "TEST_CONTROL_PREFIX"):
        monkeypatch.setenv(name, environ[name])
    return Broker(queue, url, dead_letters_url, sqs, environ)


@pytest.fixture
def proxy(broker: Broker, emulators: Emulators) -> Iterator[CountingProxy]:
    """A proxy before the queue's SQS, and SNS."""
    assert broker.url
    with counting_proxy(emulators.aws_url) as running:
        yield running


def client_of(proxy: CountingProxy, service: str = "sqs") -> Any:
    """Return a client that tries each request once."""
    return boto3.client(service, endpoint_url=proxy.url, config=QUICK)  # type: ignore[call-overload]  # the stubs have one overload for each service


def once(instead: Callable[[Call], Answer | None]) -> Callable[[Call], Answer | None]:
    """Answer the first request that it has an answer for, and pass on what follows."""
    answered: list[Answer] = []

    def first(call: Call) -> Answer | None:
        answer = None if answered else instead(call)
        answered.extend([] if answer is None else [answer])
        return answer

    return first


def the_traceback(caplog: pytest.LogCaptureFixture) -> str:
    """Return the text of the only error in the log; it has a traceback."""
    (error,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
    assert error.exc_info is not None
    return error.getMessage()


@pytest.fixture
def app(broker: Broker) -> Iterator[Any]:
    """The test's Celery app in this process, as a client."""
    assert broker.queue == os.environ["TEST_QUEUE"]
    sys.modules.pop("tests.tasks.sqs.message_app", None)
    from tests.tasks.sqs.message_app import app as made

    yield made
    made.close()


@pytest.fixture
def start_worker(broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Start workers of the test's app; they are killed when the test is over."""
    with ExitStack() as workers:

        def start(name: str = "worker", *options: str, ready: str = " ready.", **environ: str) -> Supervised:
            argv = (sys.executable, "-m", "celery", "-A", "tests.tasks.sqs.message_app", "worker", "-n", f"{name}@test")
            command = Command(name, (*argv, "-l", "INFO", "-c", "2", *options))
            worker = Supervised.start(command, {**broker.environ, **environ}, tmp_path)
            workers.callback(worker.kill)
            begun = worker.log.stat().st_size if worker.log.exists() else 0
            wait_until(
                lambda: ready.encode() in worker.log.read_bytes()[begun:] or not worker.alive(),
                START_DEADLINE_S,
                f"{name} to be ready: {worker.log}",
            )
            return worker

        yield start
