"""The preview: what CloudFormation says it would do, in words, nested stacks included."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from deploy import changesets
from deploy.changes import Row, row, summary, table
from deploy.errors import DeployError

BUCKET, STACK, TOPIC = "AWS::S3::Bucket", "AWS::CloudFormation::Stack", "AWS::SNS::Topic"
ARN = "arn:aws:cloudformation:us-east-1:123456789012:{}/x/1"


def change(action: str, kind: str, name: str = "It", **more: Any) -> dict[str, Any]:
    """Return a change as CloudFormation describes it."""
    return {"Action": action, "LogicalResourceId": name, "ResourceType": kind, **more}


@pytest.mark.parametrize(
    ("given", "verb", "loses"),
    [
        pytest.param(change("Add", BUCKET), "added", False, id="added"),
        pytest.param(change("Modify", BUCKET, Replacement="False"), "changed", False, id="changed"),
        pytest.param(change("Modify", BUCKET, Replacement="True"), "replaced", True, id="replaced"),
        pytest.param(change("Modify", BUCKET, Replacement="Conditional"), "maybe replaced", True, id="maybe replaced"),
        pytest.param(change("Remove", BUCKET), "removed", True, id="removed"),
        pytest.param(change("Remove", TOPIC), "removed", False, id="nothing in it"),
        pytest.param(change("Modify", STACK, Replacement="Conditional"), "changed", False, id="nested stack stays"),
        pytest.param(change("Remove", STACK), "removed", True, id="nested stack goes"),
    ],
)
def test_each_change_has_its_word(given: Any, verb: str, *, loses: bool) -> None:
    """Operators see what is added, changed, replaced or removed, and what of it loses data is known."""
    shown = row(given)
    assert (shown.verb, shown.loses_data) == (verb, loses)


def test_what_goes_stands_first() -> None:
    """The table begins with what an operator must not overlook and ends with a sum."""
    rows = [Row("added", "A", TOPIC), Row("changed", "B", TOPIC, "DisplayName"), Row("removed", "C", BUCKET)]
    lines = table(rows).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["removed", "changed", "added"]
    assert lines[2].endswith("DisplayName")
    assert lines[-1] == "1 removed, 1 changed, 1 added"


def test_no_change_is_said() -> None:
    """An empty change set is told in words."""
    assert summary([]) == "nothing changes"


def described(name: str, changes: list[Any], status: str = "CREATE_COMPLETE", reason: str = "") -> dict[str, Any]:
    """Return a change set's description."""
    return {
        "ChangeSetId": ARN.format(f"changeSet-{name}"),
        "Status": status,
        "StatusReason": reason,
        "Changes": [{"Type": "Resource", "ResourceChange": entry} for entry in changes],
    }


def made(*descriptions: dict[str, Any], deletes: int = 0) -> tuple[Any, Stubber]:
    """Return a client that answers as AWS does, with nested change sets, which no emulator has."""
    client = boto3.client("cloudformation", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106 - no secret
    stubber = Stubber(client)
    stubber.add_response("create_change_set", {"Id": ARN.format("changeSet-main"), "StackId": ARN.format("stack")})
    for description in descriptions:
        stubber.add_response("describe_change_set", description)
    for _ in range(deletes):
        stubber.add_response("delete_change_set", {})
    stubber.activate()
    return client, stubber


def create(client: Any) -> changesets.ChangeSet:
    """Make a change set."""
    return changesets.create(client, "photos", template_url="https://x", parameters=[], tags=[], new=False)


def test_nested_stacks_are_looked_into() -> None:
    """Rows are those of the nested change sets, under their stack's name; a stack that only seems to change has none."""
    nested = [
        change("Modify", STACK, "Storage", ChangeSetId=ARN.format("changeSet-storage")),
        change("Modify", STACK, "Watch", ChangeSetId=ARN.format("changeSet-watch")),
    ]
    client, stubber = made(
        {**described("main", nested), "NextToken": "more"},
        described("main", [change("Add", TOPIC, "Topic")]),
        described("storage", [change("Modify", BUCKET, "InputBucket", Replacement="True")]),
        described("watch", [], "FAILED", "The submitted information didn't contain changes."),
    )
    rows = create(client).rows
    assert [(entry.verb, entry.name) for entry in rows] == [("replaced", "Storage/InputBucket"), ("added", "Topic")]
    stubber.assert_no_pending_responses()


def test_a_change_set_without_changes_is_no_failure() -> None:
    """CloudFormation calls it FAILED; here it is an empty one."""
    client, _ = made(described("main", [], "FAILED", "The submitted information didn't contain changes. Submit more."))
    assert create(client).rows == ()


def test_a_refused_change_says_why() -> None:
    """Whatever CloudFormation complains of is the error, and the change set is not left behind."""
    client, stubber = made(described("main", [], "FAILED", "Template error:\nno such\nmapping"), deletes=1)
    with pytest.raises(DeployError, match=r"^CloudFormation refuses the change: Template error: no such mapping$"):
        create(client)
    stubber.assert_no_pending_responses()
