"""Follows a stack while CloudFormation works on it: one line an event, nested stacks included, and why it failed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from deploy.console import Console, pauses
from deploy.errors import DeployError, one_line

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

# A stack with a load balancer and endpoints takes ten minutes; a web machine may take 20 more to say that it serves.
DEADLINE_S = 3600.0
STACK = "AWS::CloudFormation::Stack"
DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"}
# Failures that others caused.
CONSEQUENCES = ("Resource creation cancelled", "Resource update cancelled", "Embedded stack", "The following resource")


@dataclass
class Follower:
    """The events of one stack and the stacks nested in it, from now on.

    Attributes:
        cloudformation: the client.
        stack_id: the stack's ARN; a name would not be found any more once the stack is deleted.
        console: gets each line.
    """

    cloudformation: CloudFormationClient
    stack_id: str
    console: Console
    _seen: set[str] = field(default_factory=set)
    _failures: list[str] = field(default_factory=list)
    _since: datetime = field(default_factory=lambda: datetime.min.replace(tzinfo=UTC))
    _begun: bool = False

    def start(self) -> None:
        """Leave out what has happened by now."""
        page = self.cloudformation.describe_stack_events(StackName=self.stack_id)["StackEvents"]
        self._since = max((event["Timestamp"] for event in page), default=self._since)
        self._seen = {event["EventId"] for event in page}

    def wait(self) -> str:
        """Tell events until CloudFormation is done; return the stack's status.

        Raises:
            DeployError: it failed, for the reason that the message gives; or it takes too long.
        """
        end_s, waits_s = time.monotonic() + DEADLINE_S, pauses()
        while True:
            self._tell_new()
            status = self._status()
            # Until the first event the status is the one from before.
            if self._begun and not status.endswith("_IN_PROGRESS"):
                break
            if time.monotonic() > end_s:
                raise DeployError(f"CloudFormation still works after {DEADLINE_S / 60:.0f} minutes ({status})")
            time.sleep(next(waits_s))
        self._tell_new()
        if status not in DONE:
            raise DeployError(f"the stack is {status}: {why(self._failures)}")
        return status

    def _status(self) -> str:
        stack = self.cloudformation.describe_stacks(StackName=self.stack_id)["Stacks"][0]
        return stack["StackStatus"]

    def _tell_new(self) -> None:
        # The logical name of each stack by its ARN; grows while it is walked, for events name the nested stacks.
        paths, found = {self.stack_id: ""}, []
        for stack in (pending := [self.stack_id]):
            # CloudFormation tells the latest first.
            for event in reversed(list(self._events(stack))):
                nested = event.get("PhysicalResourceId", "")
                if event.get("ResourceType") == STACK and nested.startswith("arn:") and nested not in paths:
                    paths[nested] = f"{paths[stack]}{event['LogicalResourceId']}/"
                    pending.append(nested)
                if event["EventId"] not in self._seen:
                    found.append(event)
        for event in sorted(found, key=lambda entry: entry["Timestamp"]):
            self._begun = True
            self._seen.add(event["EventId"])
            # What a nested stack says of itself its parent says, too.
            if event.get("PhysicalResourceId") != event["StackId"] or event["StackId"] == self.stack_id:
                self._tell(event, paths[event["StackId"]])

    def _tell(self, event: StackEventTypeDef, path: str) -> None:
        status, reason = event.get("ResourceStatus", ""), one_line(event.get("ResourceStatusReason", ""))
        name = f"{path}{event.get('LogicalResourceId', '')}"
        self.console.tell(f"{event['Timestamp']:%H:%M:%S}  {status:<30}  {name:<36}  {reason}".rstrip())
        if status.endswith("_FAILED"):
            self._failures.append(f"{name}: {reason}" if reason else name)

    def _events(self, stack: str) -> Iterator[StackEventTypeDef]:
        """Return a stack's events, the latest first, as far back as the start; a long history is not read."""
        try:
            for page in self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
                for event in page["StackEvents"]:
                    if event["Timestamp"] < self._since:
                        return
                    yield event
        except ClientError as error:
            # A nested stack's first event can come before the stack can be asked.
            if stack == self.stack_id or error.response["Error"]["Code"] != "ValidationError":
                raise


def why(failures: Iterable[str]) -> str:
    """Return the reasons that are no consequence of others.

    >>> why(["Web/Group: Resource creation cancelled", "Storage/Queue: name is taken"])
    'Storage/Queue: name is taken'
    """
    listed = list(dict.fromkeys(failures))
    causes = [failure for failure in listed if not any(words in failure for words in CONSEQUENCES)]
    return "; ".join(causes or listed) or "no event says why"
