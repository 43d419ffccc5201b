"""Takes a deployment down, and loses nothing by accident: photos, results and waiting tasks stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from deploy import stacks
from deploy.aws import Aws
from deploy.console import Console, pauses
from deploy.errors import DeployError
from deploy.events import Follower
from deploy.nodes import LEAVING, UP, nodes
from tasks.sqs.counts import DELAYED, IN_FLIGHT, VISIBLE
from tasks.sqs.names import parse as control_queue

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef
    from mypy_boto3_sqs.literals import QueueAttributeNameType

STOP_DEADLINE_S = 600.0
# What the scaler keeps beside the results (tasks.names.LEASE_KEY, scaler.memory); nobody misses it.
OF_THE_SCALER = "_scaler/"
BATCH = 1000  # the most keys of one DeleteObjects
COUNTS: tuple[QueueAttributeNameType, ...] = (VISIBLE, IN_FLIGHT, DELAYED)


@dataclass(frozen=True)
class Holdings:
    """What a deployment still holds.

    Attributes:
        objects: whether a bucket holds anything, by the bucket's name.
        messages: how many a queue holds, by the queue's name.
    """

    objects: dict[str, bool]
    messages: dict[str, int]

    @property
    def kept(self) -> list[str]:
        """In words what would be lost."""
        full = [f"bucket {name} holds objects" for name, full in self.objects.items() if full]
        return full + [f"queue {name} holds {count} messages" for name, count in self.messages.items() if count]


def destroy(aws: Aws, name: str, console: Console, *, delete_data: bool) -> None:
    """Delete a stack with its nodes and the queues that its processes made.

    Raises:
        DeployError: it holds data and `delete_data` is not given; nobody confirms; CloudFormation fails.
        botocore.exceptions.BotoCoreError: AWS cannot be reached, or there are no keys.
        botocore.exceptions.ClientError: it refuses a request.
    """
    stack = stacks.require(aws.cloudformation, name)
    _check_idle(stack)
    held = holdings(aws, stack.id)
    # A stack that failed for another's names has no queue, and the nodes of that name are the other's.
    deployment = stack.parameters.get("Deployment", "") if held.messages else ""
    if held.kept and not delete_data:
        raise DeployError(f"{'; '.join(held.kept)}: let them go with --delete-data (in make: DELETE_DATA=1)")
    console.tell(f"stack {name} in {aws.region}, account {aws.account_id}, is {stack.status}")
    for line in held.kept:
        console.tell(f"  {line}: it will be lost")
    if not console.confirmed(f"Destroy stack {name} for good?", name):
        console.tell("nothing was changed")
        return
    follower = Follower(aws.cloudformation, stack.id, console)
    with _web_stopped(aws, stack.id, console):
        if not delete_data:
            _check_nothing_came(aws, stack)
        _stop_nodes(aws, deployment, console)
        for bucket, full in held.objects.items():
            if full:
                console.tell(f"emptying {bucket}")
            # A photo that came meanwhile keeps its bucket, and with it the stack, from being deleted.
            _empty(aws, bucket, "" if delete_data else OF_THE_SCALER)
        follower.start()
        aws.cloudformation.delete_stack(StackName=stack.id)
    console.tell(f"\nstack {name} is {follower.wait()}")
    _delete_control_queues(aws, deployment, console)


def _check_idle(stack: stacks.DeployedStack) -> None:
    if stack.status == "DELETE_IN_PROGRESS":
        raise DeployError(f"stack {stack.name} is already going; wait until that is over")
    # One that is being made may be given up.
    if stack.status.endswith("_IN_PROGRESS") and stack.status not in {stacks.REVIEW, "CREATE_IN_PROGRESS"}:
        raise DeployError(f"stack {stack.name} is {stack.status}: somebody is at it; wait until that is over")


def _check_nothing_came(aws: Aws, stack: stacks.DeployedStack) -> None:
    # Until the web machine stopped, photos could come.
    kept = holdings(aws, stack.id).kept
    if kept:
        raise DeployError(f"{'; '.join(kept)}, which came meanwhile: nothing was deleted; --delete-data lets them go")


def holdings(aws: Aws, stack_id: str) -> Holdings:
    """Look into a stack's buckets and queues.

    Raises:
        botocore.exceptions.ClientError: AWS refuses to say.
    """
    buckets = stacks.resources(aws.cloudformation, stack_id, "AWS::S3::Bucket")
    queues = stacks.resources(aws.cloudformation, stack_id, "AWS::SQS::Queue")
    return Holdings(
        {bucket: _has_objects(aws, bucket) for bucket in buckets},
        {url.rsplit("/", 1)[-1]: _messages(aws, url) for url in queues},
    )


def _has_objects(aws: Aws, bucket: str) -> bool:
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    try:
        return any(not item["Key"].startswith(OF_THE_SCALER) for page in pages for item in page.get("Contents", []))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return False
        raise


def _messages(aws: Aws, url: str) -> int:
    try:
        found = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(COUNTS))["Attributes"]
    except aws.sqs.exceptions.QueueDoesNotExist:
        return 0
    return sum(int(found[name]) for name in COUNTS)


@contextmanager
def _web_stopped(aws: Aws, stack_id: str, console: Console) -> Iterator[None]:
    """Stop the web machine, and start it again if the block does not end as it should."""
    sizes = {
        entry["AutoScalingGroupName"]: (entry["MinSize"], entry["MaxSize"])
        for group in stacks.resources(aws.cloudformation, stack_id, "AWS::AutoScaling::AutoScalingGroup")
        for entry in _described(aws, group)
    }
    try:
        # The scaler goes first: it would launch new nodes for those that go. Nodes are not in the stack, but its network
        # cannot be deleted while they are in there.
        for group, (least, most) in sizes.items():
            console.tell(f"stopping the web machine ({group}, MinSize={least} MaxSize={most} until now)")
            _resize(aws, group, 0, 0)
            _wait(lambda group=group: not _members(aws, group), f"the web machine of {group} to go")  # type: ignore[misc]  # a default argument binds the loop's name
        yield
    except BaseException:
        # CloudFormation would see no change, so that deploying again would not bring it back.
        for group, (least, most) in sizes.items():
            if not most:
                continue  # it had been stopped before
            _resize(aws, group, least, most)
            console.tell(f"the web machine is started again ({group}, MinSize={least} MaxSize={most})")
        raise


def _described(aws: Aws, group: str) -> list[AutoScalingGroupTypeDef]:
    return aws.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]


def _resize(aws: Aws, group: str, least: int, most: int) -> None:
    aws.autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=group, MinSize=least, MaxSize=most, DesiredCapacity=least
    )


def _stop_nodes(aws: Aws, deployment: str, console: Console) -> None:
    if not deployment:
        return
    up = nodes(aws, deployment)
    for start in range(0, len(up), BATCH):
        aws.ec2.terminate_instances(InstanceIds=up[start : start + BATCH])
    if up:
        console.tell(f"terminating {len(up)} nodes")
        _wait(lambda: not nodes(aws, deployment, [*UP, LEAVING]), "nodes to be terminated")


def _members(aws: Aws, group: str) -> int:
    return sum(len(entry["Instances"]) for entry in _described(aws, group))


def _wait(condition: Callable[[], bool], what: str) -> None:
    end_s, waits_s = time.monotonic() + STOP_DEADLINE_S, pauses()
    while not condition():
        if time.monotonic() > end_s:
            raise DeployError(f"waited {STOP_DEADLINE_S / 60:.0f} minutes in vain for {what}; nothing else was deleted")
        time.sleep(next(waits_s))


def _empty(aws: Aws, bucket: str, prefix: str) -> None:
    for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        keys: list[ObjectIdentifierTypeDef] = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries
        ]
        if not keys:
            continue
        failed = aws.s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors", [])
        if failed:
            raise DeployError(
                f"{len(failed)} objects of {bucket} stay, e.g. {failed[0]['Key']}: {failed[0]['Message']}"
            )


def _delete_control_queues(aws: Aws, deployment: str, console: Console) -> None:
    # Processes delete their inboxes when they end; those that were cut off cannot.
    if not deployment:
        return
    urls = [
        url
        for page in aws.sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{deployment}_")
        for url in page.get("QueueUrls", [])
        if control_queue(url.rsplit("/", 1)[-1], deployment)
    ]
    for url in urls:
        aws.sqs.delete_queue(QueueUrl=url)
    if urls:
        console.tell(f"{len(urls)} inboxes of processes that are gone are deleted")
