"""Asks CloudFormation what it would do, nested stacks included, before anything is done."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from deploy import stacks
from deploy.changes import Row, row
from deploy.console import pauses
from deploy.errors import DeployError, one_line

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import (
        ChangeTypeDef,
        DescribeChangeSetOutputTypeDef,
        ParameterTypeDef,
        TagTypeDef,
    )

DEADLINE_S = 600.0
# CloudFormation's own words: a change set without changes fails.
NOTHING = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class ChangeSet:
    """What CloudFormation would do to a stack.

    Attributes:
        id: its ARN.
        stack_id: the stack's ARN.
        rows: what happens to each resource; empty if nothing does.
    """

    id: str
    stack_id: str
    rows: tuple[Row, ...]


def create(
    cloudformation: CloudFormationClient,
    stack: str,
    *,
    template_url: str,
    parameters: Sequence[ParameterTypeDef],
    tags: Sequence[TagTypeDef],
    new: bool,
) -> ChangeSet:
    """Make a change set and wait until it is worked out.

    Raises:
        DeployError: CloudFormation cannot work it out.
        botocore.exceptions.ClientError: it refuses the request.
    """
    kind: Literal["CREATE", "UPDATE"] = "CREATE" if new else "UPDATE"
    made = cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=f"deploy-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}",
        ChangeSetType=kind,
        TemplateURL=template_url,
        Parameters=parameters,
        Capabilities=["CAPABILITY_IAM"],
        Tags=tags,
        IncludeNestedStacks=True,
    )
    answer = _settled(cloudformation, made["Id"])
    if answer["Status"] == "FAILED" and not _is_empty(answer):
        reason = one_line(answer.get("StatusReason", "no reason given"))
        discard(cloudformation, ChangeSet(made["Id"], made["StackId"], ()), new=new)
        raise DeployError(f"CloudFormation refuses the change: {reason}")
    return ChangeSet(made["Id"], made["StackId"], tuple(_rows(cloudformation, answer, ())))


def discard(cloudformation: CloudFormationClient, changes: ChangeSet, *, new: bool) -> None:
    """Forget a change set, and the stack that a new one's made if it is still empty and nobody else plans it.

    Raises:
        botocore.exceptions.ClientError: CloudFormation refuses.
    """
    try:
        cloudformation.delete_change_set(ChangeSetName=changes.id, StackName=changes.stack_id)
    except ClientError as error:
        if not _is_gone(error):
            raise
    if new and _is_ours_alone(cloudformation, changes):
        cloudformation.delete_stack(StackName=changes.stack_id)


def _is_ours_alone(cloudformation: CloudFormationClient, changes: ChangeSet) -> bool:
    stack = stacks.find(cloudformation, changes.stack_id)
    if stack is None or not stack.is_preview:
        return False
    pages = cloudformation.get_paginator("list_change_sets").paginate(StackName=changes.stack_id)
    # Ours may be listed for a while yet.
    return all(entry.get("ChangeSetId") == changes.id for page in pages for entry in page["Summaries"])


def _is_gone(error: ClientError) -> bool:
    told = error.response["Error"]
    return told["Code"] in {"ChangeSetNotFound", "ChangeSetNotFoundException"} or "does not exist" in told["Message"]


def _settled(cloudformation: CloudFormationClient, change_set: str) -> DescribeChangeSetOutputTypeDef:
    end_s, waits_s = time.monotonic() + DEADLINE_S, pauses()
    while True:
        answer = cloudformation.describe_change_set(ChangeSetName=change_set)
        if answer["Status"] in {"CREATE_COMPLETE", "FAILED"}:
            return answer
        if time.monotonic() > end_s:
            raise DeployError(f"the change set is not worked out after {DEADLINE_S:.0f} s: look at it in the console")
        time.sleep(next(waits_s))


def _rows(
    cloudformation: CloudFormationClient, answer: DescribeChangeSetOutputTypeDef, path: tuple[str, ...]
) -> list[Row]:
    rows = []
    for change in _changes(cloudformation, answer):
        resource = change.get("ResourceChange", {})
        nested = resource.get("ChangeSetId")
        if not nested:
            rows.append(row(resource, path))
            continue
        # CloudFormation names every nested stack as changed; its own change set says whether it is.
        below = (*path, resource["LogicalResourceId"])
        rows += _rows(cloudformation, _settled(cloudformation, nested), below)
        if resource.get("Action") in {"Add", "Remove"}:
            rows.append(row(resource, path))
    return rows


def _changes(cloudformation: CloudFormationClient, answer: DescribeChangeSetOutputTypeDef) -> list[ChangeTypeDef]:
    changes = list(answer.get("Changes", []))
    while token := answer.get("NextToken", ""):
        answer = cloudformation.describe_change_set(ChangeSetName=answer["ChangeSetId"], NextToken=token)
        changes += answer.get("Changes", [])
    return changes


def _is_empty(answer: DescribeChangeSetOutputTypeDef) -> bool:
    return any(words in answer.get("StatusReason", "") for words in NOTHING)
