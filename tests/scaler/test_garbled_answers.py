"""What AWS does not say in AWS's own words, and what repeats itself, misleads no part of the scaler."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from local.emulators import Emulators
from scaler.aws import ec2_client, sqs_client
from scaler.backlog import Backlogs, ReadError
from scaler.ec2_errors import meaning_of
from scaler.fleet import Ec2Fleet, FleetError, Template
from scaler.lease import Lease
from scaler.memory import Intent, Memory, MemoryStore
from scaler.state import Meaning, Phase
from tasks.names import LEASE_KEY
from tasks.objects import Bucket
from tests.scaler.faults import _Body

LEASE_S = 30.0
XML = [
    pytest.param(b"<html>a proxy's page", id="broken XML"),
    pytest.param(b"garbage", id="no XML"),
    pytest.param(b"", id="nothing"),
    pytest.param(b"<html><body>welcome</body></html>", id="another's XML"),
]


@pytest.fixture(autouse=True)
def environ(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point AWS's clients at the emulators, or at nothing."""
    nowhere = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    stack = request.node.get_closest_marker("stack")
    emulators: Emulators | None = request.getfixturevalue("emulators") if stack else None
    for name, value in (emulators.environ if emulators else nowhere).items():
        monkeypatch.setenv(name, value)


def answer(body: bytes, content_type: str) -> Callable[..., Any]:
    """What botocore asks before it sends a request: here is an answer already, with status 200."""

    def answered(request: Any, **_event: Any) -> AWSResponse:
        headers: Any = {"content-type": content_type}
        return AWSResponse(request.url, 200, headers, _Body(body))

    return answered


def fleet_answered(body: bytes) -> Ec2Fleet:
    """A fleet whose EC2 gives one answer to everything."""
    ec2 = ec2_client()
    ec2.meta.events.register("before-send.ec2", answer(body, "text/xml"))
    return Ec2Fleet(ec2, "garbled", Template("node", ("c5.large",), (), "spot"))


@pytest.mark.parametrize("body", XML)
def test_a_list_of_instances_that_is_none_is_an_error(body: bytes) -> None:
    """What is not EC2's answer is not "no instances"."""
    with pytest.raises(FleetError, match="instances"):
        fleet_answered(body).instances()


@pytest.mark.parametrize("body", XML)
def test_a_launch_that_is_answered_with_garbage_is_an_outcome(body: bytes) -> None:
    """It launched nothing that is known of, and may be tried again."""
    outcome = fleet_answered(body).launch(2, "token")
    assert outcome.launched == ()
    assert {meaning for meaning, _ in outcome.refusals} <= {Meaning.UNAVAILABLE, Meaning.NO_CAPACITY}
    assert outcome.refusals


def test_a_mark_that_is_answered_with_garbage_is_an_error() -> None:
    """It is not taken for written."""
    with pytest.raises(FleetError, match="marked"):
        fleet_answered(b"garbage").mark(["i-1"], Phase.DRAINING, 1.0)


def test_a_launch_asked_again_after_a_change_of_settings_does_not_stop_the_scaler() -> None:
    """The next launch has another token, so that no person is needed."""
    assert meaning_of("IdempotentParameterMismatch") is Meaning.UNAVAILABLE


@pytest.mark.stack
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"garbage", id="no JSON"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"Attributes": null}', id="no attributes"),
        pytest.param(b'{"Attributes": 7}', id="attributes are a number"),
        pytest.param(b'{"Attributes": {"ApproximateNumberOfMessages": null}}', id="a count is null"),
        pytest.param(
            b'{"Attributes": {"ApproximateNumberOfMessages": 1.7, "ApproximateNumberOfMessagesNotVisible": "0",'
            b' "ApproximateNumberOfMessagesDelayed": "0"}}',
            id="a count is a fraction",
        ),
    ],
)
def test_counts_that_are_garbage_are_an_error(body: bytes) -> None:
    """Whatever SQS says instead of counts, the backlog is unknown and not 0."""
    sqs, queue = sqs_client(), f"garbled-{uuid.uuid4().hex[:8]}"
    sqs.create_queue(QueueName=queue)
    sqs.meta.events.register("before-send.sqs.GetQueueAttributes", answer(body, "application/x-amz-json-1.0"))
    with pytest.raises(ReadError, match=queue):
        Backlogs(sqs, queue).read()


@pytest.fixture
def bucket(emulators: Emulators) -> Bucket:
    """A bucket of the test's own."""
    name = f"garbled-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return Bucket(name, region="us-east-1", endpoint_url=emulators.aws_url)


@pytest.mark.stack
def test_a_holder_whose_wall_clock_stands_still_keeps_the_lease(bucket: Bucket) -> None:
    """Each renewal shows, to contenders and to nodes, whatever the time that it carries."""
    monotonic_s, standing_s = 1000.0, 5.0
    holder = Lease(bucket, "holder", LEASE_S, lambda: monotonic_s)
    contender = Lease(bucket, "contender", LEASE_S, lambda: monotonic_s)
    seen = set()
    for _ in range(5):
        assert holder.acquire_or_renew(standing_s)
        assert not contender.acquire_or_renew(standing_s)
        stored = bucket.get(LEASE_KEY)
        assert stored is not None
        seen.add(stored.e_tag)
        monotonic_s += LEASE_S / 2
    assert len(seen) == 5


@pytest.mark.stack
def test_a_memory_that_another_wrote_in_between_is_overwritten(bucket: Bucket) -> None:
    """A scaler that gets the lease back does not take for saved what it saved before the other one."""
    mine, other = MemoryStore(bucket), MemoryStore(bucket)
    mine.save(Memory())
    other.save(Memory(intent=Intent("token", 1, 0.0)))
    assert mine.load(0.0).intent is not None
    mine.save(Memory())
    assert other.load(0.0) == Memory()
