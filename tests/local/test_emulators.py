"""The emulated AWS that everything else stands on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import boto3
import pytest

from local.emulators import Emulators, answers

KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
ROUNDS = 15
# ministack by itself looks for messages ten times a second.
LOOK_S = 0.1


def send_by_sqs(_emulators: Emulators, sqs: Any, queue_url: str) -> Callable[[], object]:
    """Return what sends a message to a queue."""
    return lambda: sqs.send_message(QueueUrl=queue_url, MessageBody="ball")


def send_by_sns(emulators: Emulators, sqs: Any, queue_url: str) -> Callable[[], object]:
    """Return what publishes a message to a topic that a queue is subscribed to."""
    sns: Any = boto3.client("sns", endpoint_url=emulators.aws_url, **KEYS)  # type: ignore[call-overload]  # keywords
    topic = sns.create_topic(Name="court")["TopicArn"]
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return lambda: sns.publish(TopicArn=topic, Message="ball")


def median_pause_s(times_s: Sequence[float]) -> float:
    """Return the median of what lies between one time and the next."""
    return statistics.median(after_s - before_s for before_s, after_s in pairwise(times_s))


@pytest.mark.stack
@pytest.mark.parametrize("way", [send_by_sqs, send_by_sns])
def test_a_long_poll_ends_when_a_message_comes(
    emulators: Emulators, way: Callable[[Emulators, Any, str], Callable[[], object]]
) -> None:
    """Two players whose polls are open when the other sends do not wait for somebody to look.

    A round costs them hardly more than the requests of which it consists.
    """
    sqs: Any = boto3.client("sqs", endpoint_url=emulators.aws_url, **KEYS)  # type: ignore[call-overload]  # keywords
    near, far = (sqs.create_queue(QueueName=f"{side}-{way.__name__}")["QueueUrl"] for side in ("near", "far"))
    serve, back = way(emulators, sqs, far), send_by_sqs(emulators, sqs, near)

    def catch(own: str) -> None:
        (ball,) = sqs.receive_message(QueueUrl=own, WaitTimeSeconds=20)["Messages"]
        sqs.delete_message(QueueUrl=own, ReceiptHandle=ball["ReceiptHandle"])

    def play(own: str, hit: Callable[[], object]) -> list[float]:
        caught_s = []
        for _ in range(ROUNDS):
            catch(own)
            caught_s.append(time.monotonic())
            hit()
        return caught_s

    with ThreadPoolExecutor(2) as pool:
        players = [pool.submit(play, far, back), pool.submit(play, near, serve)]
        serve()
        caught_s, _others = (player.result() for player in players)
    catch(far)
    alone_s = [time.monotonic()]
    for _ in range(ROUNDS):
        for own, hit in ((far, serve), (near, back)):
            hit()
            catch(own)
        alone_s.append(time.monotonic())
    assert median_pause_s(caught_s) < median_pause_s(alone_s) + LOOK_S / 2


@pytest.mark.stack
def test_both_emulators_answer(emulators: Emulators) -> None:
    """S3 comes from ministack and EC2 from moto, each at its own endpoint."""
    s3 = boto3.client("s3", endpoint_url=emulators.aws_url, **KEYS)  # type: ignore[call-overload]  # keywords
    ec2 = boto3.client("ec2", endpoint_url=emulators.ec2_url, **KEYS)  # type: ignore[call-overload]  # keywords
    s3.create_bucket(Bucket="answers")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]].count("answers") == 1
    assert "Reservations" in ec2.describe_instances()


def test_a_closed_port_does_not_answer() -> None:
    """A server that is not there is reported as such, not as an exception."""
    assert not answers("http://127.0.0.1:9/")
