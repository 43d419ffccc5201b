"""Deploys: code and templates up, a preview, a confirmation, and then CloudFormation's work line by line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy import changesets, stacks
from deploy.artifact import build
from deploy.aws import Aws
from deploy.changes import table
from deploy.console import Console
from deploy.errors import DeployError
from deploy.estimate import estimate
from deploy.events import Follower
from deploy.nodes import nodes
from deploy.parameters import (
    ARTIFACT_BUCKET,
    CODE_VERSION,
    DEPLOYMENT,
    PUBLIC_NODES,
    TEMPLATE_PREFIX,
    Declared,
    check,
    check_together,
    declared,
    effective,
    parse,
    request,
)
from deploy.rules import check_rules
from deploy.service_roles import create_roles, missing_roles
from deploy.upload import (
    Templates,
    bucket_name,
    ensure_bucket,
    require_artifact,
    upload_artifact,
    upload_templates,
)

# CloudFormation's rule; its names are the beginning of ours.
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
# A stack in one of these cannot be updated.
STUCK = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
UNFINISHED_ROLLBACK = "UPDATE_ROLLBACK_FAILED"


@dataclass(frozen=True)
class Order:
    """What the operator asked for.

    Attributes:
        stack: its name.
        words: parameters as NAME=VALUE.
        code_version: a version that is uploaded already; empty for the working tree's.
        same_code: whether the version that the stack has stays, instead.
        artifact_bucket: empty for the account's own.
        allow_dirty: whether a changed working tree may be deployed.
        allow_data_loss: whether buckets, queues and secrets may go.
        preview: whether to stop after the preview.
    """

    stack: str
    words: Sequence[str] = ()
    code_version: str = ""
    same_code: bool = False
    artifact_bucket: str = ""
    allow_dirty: bool = False
    allow_data_loss: bool = False
    preview: bool = False


def deploy(aws: Aws, order: Order, console: Console) -> bool:
    """Bring a stack to what was ordered; return whether anything was done.

    Raises:
        DeployError: the order cannot be carried out, or CloudFormation has failed and taken it back.
        botocore.exceptions.BotoCoreError: AWS cannot be reached, or there are no keys.
        botocore.exceptions.ClientError: it refuses a request.
    """
    templates = Templates.read()
    known = declared(templates.main)
    given = parse(order.words, known)
    stack = _updatable(aws, order.stack)
    bucket = order.artifact_bucket or (stack.parameters.get(ARTIFACT_BUCKET, "") if stack else "") or bucket_name(aws)
    given |= {ARTIFACT_BUCKET: bucket, TEMPLATE_PREFIX: templates.prefix}
    if stack is None:
        given[DEPLOYMENT] = given.get(DEPLOYMENT) or _named_after(order.stack, known)
        _check_names_are_free(aws, given[DEPLOYMENT])
    elif given.get(DEPLOYMENT, stack.parameters.get(DEPLOYMENT)) != stack.parameters.get(DEPLOYMENT):
        raise DeployError(f"Deployment cannot be changed: all names begin with it; deploy a stack beside {order.stack}")
    # What CloudFormation would refuse is refused before anything is uploaded.
    had = stack.parameters if stack else None
    version = _version(order, had)
    request({**given, CODE_VERSION: ""}, known, had)
    check_rules(templates.main, effective(given, known, had))
    check_together(effective(given, known, had))
    if not order.preview:
        _check_nodes_keep_their_network(aws, given, had)
    ensure_bucket(aws, bucket)
    given[CODE_VERSION] = _code(aws, bucket, version, order, console)
    url = upload_templates(aws, bucket, templates)
    return _apply(aws, order, url, _Values(given, known, stack, templates), console)


@dataclass(frozen=True)
class _Values:
    given: Mapping[str, str]
    known: Mapping[str, Declared]
    stack: stacks.DeployedStack | None
    templates: Templates

    @property
    def had(self) -> Mapping[str, str] | None:
        return self.stack.parameters if self.stack else None

    @property
    def code(self) -> str:
        """In words which code runs now, and which would."""
        new, old = self.given[CODE_VERSION], (self.had or {}).get(CODE_VERSION, "")
        if new == old:
            return f"code {old} stays"
        return f"code {old} -> {new}" if old else f"code {new}"


def _updatable(aws: Aws, name: str) -> stacks.DeployedStack | None:
    if not STACK_NAME.fullmatch(name):
        raise DeployError(f"STACK={name!r} is refused: a letter, then letters, digits and hyphens, 128 at most")
    stack = stacks.find(aws.cloudformation, name)
    if stack is None or stack.is_preview:
        return None
    if stack.status in STUCK:
        raise DeployError(f"stack {name} is {stack.status}, so it cannot be changed: destroy it, then deploy anew")
    if stack.status == UNFINISHED_ROLLBACK:
        raise DeployError(
            f"stack {name} is {stack.status}: mend what {stack.reason or 'its events'} names, run "
            f"`aws cloudformation continue-update-rollback --stack-name {name}`, then deploy again"
        )
    if stack.status.endswith("_IN_PROGRESS"):
        raise DeployError(f"stack {name} is {stack.status}: somebody is at it; wait until that is over")
    return stack


def _named_after(stack: str, known: Mapping[str, Declared]) -> str:
    # Stacks may have names that S3 refuses its buckets.
    try:
        check(known[DEPLOYMENT], stack)
    except DeployError as error:
        raise DeployError(f"{error} It is STACK's unless Deployment=NAME is given") from None
    return stack


def _check_names_are_free(aws: Aws, deployment: str) -> None:
    # CloudFormation would find it out half way, and delete, as it goes back, what is the other stack's.
    other = stacks.of_deployment(aws.cloudformation, deployment)
    if other is not None:
        raise DeployError(f"Deployment={deployment} is refused: stack {other.name} has it; give this one another")


def _check_nodes_keep_their_network(aws: Aws, given: Mapping[str, str], had: Mapping[str, str] | None) -> None:
    # Private subnets and their endpoints would go, the route to S3 first, while nodes work there.
    if had is None or (had.get(PUBLIC_NODES), given.get(PUBLIC_NODES)) != ("false", "true"):
        return
    up = nodes(aws, had[DEPLOYMENT])
    if up:
        raise DeployError(
            f"{PUBLIC_NODES}=true is refused while nodes are up ({len(up)}), as it takes their network away: deploy "
            "MinNodes=0 MaxNodes=1, and try again once `python -m scaler status` shows no node, then with "
            f"MinNodes={had['MinNodes']} MaxNodes={had['MaxNodes']}, as it is now"
        )


def _version(order: Order, had: Mapping[str, str] | None) -> str:
    if not order.same_code:
        return order.code_version
    if had is None:
        raise DeployError(
            f"--same-code is refused: there is no stack {order.stack} yet, and so no code that could stay"
        )
    return had[CODE_VERSION]


def _code(aws: Aws, bucket: str, version: str, order: Order, console: Console) -> str:
    if version:
        require_artifact(aws, bucket, version)
        return version
    artifact = build(allow_dirty=order.allow_dirty)
    uploaded = upload_artifact(aws, bucket, artifact)
    how = f"uploaded, {len(artifact.data) / 1e6:.1f} MB" if uploaded else "uploaded before"
    console.tell(f"code {artifact.version} ({how}) in s3://{bucket}")
    return artifact.version


def _apply(aws: Aws, order: Order, url: str, values: _Values, console: Console) -> bool:
    changes = changesets.create(
        aws.cloudformation,
        order.stack,
        template_url=url,
        parameters=request(values.given, values.known, values.had),
        tags=[{"Key": "classifier:stack", "Value": order.stack}],
        new=values.stack is None,
    )
    if not changes.rows:
        changesets.discard(aws.cloudformation, changes, new=values.stack is None)
        console.tell(f"stack {order.stack} is as ordered: nothing changes")
        return False
    what = "a new stack" if values.stack is None else f"stack {order.stack}, {values.stack.status}"
    try:
        where = f"{aws.region}, account {aws.account_id}"
        console.tell(f"\n{what} in {where}\n{values.code}\n\n{table(changes.rows)}\n")
        console.tell(estimate(effective(values.given, values.known, values.had), values.templates, aws.region))
        ready = _prepared(aws, order, changes, console)
    except BaseException:
        changesets.discard(aws.cloudformation, changes, new=values.stack is None)
        raise
    if not ready:
        changesets.discard(aws.cloudformation, changes, new=values.stack is None)
        console.tell("nothing was changed")
        return False
    follower = Follower(aws.cloudformation, changes.stack_id, console)
    follower.start()
    aws.cloudformation.execute_change_set(ChangeSetName=changes.id, StackName=changes.stack_id)
    console.tell(f"\nstack {order.stack} is {follower.wait()}")
    return True


def _prepared(aws: Aws, order: Order, changes: changesets.ChangeSet, console: Console) -> bool:
    services = missing_roles(aws.iam)
    if services:
        console.tell(f"\nmade first, once in this account: the roles that EC2 needs for {' and '.join(services)}")
    if not _go_ahead(order, changes, console):
        return False
    create_roles(aws.iam, services)
    return True


def _go_ahead(order: Order, changes: changesets.ChangeSet, console: Console) -> bool:
    lost = [entry for entry in changes.rows if entry.loses_data]
    if lost and not order.allow_data_loss and not order.preview:
        names = ", ".join(f"{entry.name} ({entry.verb})" for entry in lost)
        raise DeployError(f"what holds data would go: {names}; if that is meant, add --allow-data-loss")
    if order.preview:
        return False
    return console.confirmed("Deploy this?", "yes")
