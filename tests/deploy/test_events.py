"""What is told while CloudFormation works, and when it counts as done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from deploy.console import Console
from deploy.errors import DeployError
from deploy.events import Follower

ARN = "arn:aws:cloudformation:us-east-1:123456789012:stack/{}/1"
MAIN, NESTED = ARN.format("photos"), ARN.format("photos-Storage-ABC")
BEGIN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def event(
    at_s: int, name: str, status: str, *, stack: str = MAIN, physical: str = "", reason: str = ""
) -> dict[str, Any]:
    """Return an event as CloudFormation tells it."""
    kind = "AWS::CloudFormation::Stack" if physical.startswith("arn:") else "AWS::S3::Bucket"
    return {
        "EventId": f"{name}-{status}-{at_s}",
        "StackId": stack,
        "StackName": "photos",
        "LogicalResourceId": name,
        "PhysicalResourceId": physical,
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "Timestamp": BEGIN + timedelta(seconds=at_s),
    }


def follow(*answers: list[dict[str, Any]] | str) -> tuple[Follower, list[str], Stubber]:
    """Return a follower whose client gives these answers in turn: events, latest first, or a status."""
    client: Any = boto3.client("cloudformation", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106 - no secret
    stubber = Stubber(client)
    for answer in answers:
        if isinstance(answer, str):
            stack = {"StackName": "photos", "StackStatus": answer, "CreationTime": BEGIN}
            stubber.add_response("describe_stacks", {"Stacks": [stack]})
        else:
            stubber.add_response("describe_stack_events", {"StackEvents": answer})
    stubber.activate()
    told: list[str] = []
    return Follower(client, MAIN, Console(tell=told.append)), told, stubber


OLD = event(-5, "photos", "UPDATE_COMPLETE", physical=MAIN)
STARTED = event(1, "photos", "UPDATE_IN_PROGRESS", physical=MAIN)
DONE = event(9, "photos", "UPDATE_COMPLETE", physical=MAIN)


def test_the_status_from_before_is_not_taken_for_the_end() -> None:
    """Until CloudFormation has begun, a stack that was complete before is not done."""
    follower, told, stubber = follow(
        [OLD],
        [OLD],
        "UPDATE_COMPLETE",
        [STARTED, OLD],
        "UPDATE_IN_PROGRESS",
        [DONE, STARTED, OLD],
        "UPDATE_COMPLETE",
        [DONE],
    )
    follower.start()
    assert follower.wait() == "UPDATE_COMPLETE"
    assert [line.split()[:3] for line in told] == [
        ["12:00:01", "UPDATE_IN_PROGRESS", "photos"],
        ["12:00:09", "UPDATE_COMPLETE", "photos"],
    ]
    stubber.assert_no_pending_responses()


def test_nested_stacks_are_followed_by_their_names_and_the_cause_is_found() -> None:
    """Lines name resources below their stack; the error is the resource that failed, not what failed because of it."""
    storage = event(2, "Storage", "CREATE_IN_PROGRESS", physical=NESTED)
    failed = event(3, "InputBucket", "CREATE_FAILED", stack=NESTED, reason="already\nexists")
    of_itself = event(4, "photos-Storage-ABC", "ROLLBACK_IN_PROGRESS", stack=NESTED, physical=NESTED)
    embedded = event(5, "Storage", "CREATE_FAILED", physical=NESTED, reason="Embedded stack was not created")
    cancelled = event(5, "Messaging", "CREATE_FAILED", physical=ARN.format("x"), reason="Resource creation cancelled")
    events = [[cancelled, embedded, storage, STARTED], [of_itself, failed], []]
    follower, told, _ = follow([], *events, "ROLLBACK_COMPLETE", *events)
    follower.start()
    with pytest.raises(DeployError, match=r"^the stack is ROLLBACK_COMPLETE: Storage/InputBucket: already exists$"):
        follower.wait()
    assert [line.split()[2] for line in told] == ["photos", "Storage", "Storage/InputBucket", "Storage", "Messaging"]
