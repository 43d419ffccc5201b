"""Least privilege: what each role of `deploy/templates/access.yaml` may do is needed, and is enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scaler.instances import TAG_DEPLOYMENT, TAG_ROLE
from tasks.names import LEASE_KEY
from tests.deploy.access_probes import (
    CONTROL,
    EVENTS,
    FLOWER,
    HOST,
    PROBES,
    SCALER,
    WEB,
    WORKER,
    Probe,
    code,
    delete,
    done,
    get,
    launch,
    list_bucket,
    make_queue,
    mark,
    publish,
    put,
    receive,
    send,
    subscribe,
    take_address,
    terminate,
    unmark,
)
from tests.deploy.access_stack import TEMPLATE, access, make_launch_template, template_of_nodes
from tests.deploy.access_world import DATA, PHOTO, World, as_list, is_refused

pytestmark = pytest.mark.stack


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short functions as what they are given."""


def _argument(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node)  # type: ignore[arg-type]  # there are three kinds


_Template.add_multi_constructor("!", _argument)


def statements() -> list[tuple[str, str]]:
    """Return every role's statements in the template: the role's name, and the statement's."""
    resources = yaml.load(TEMPLATE.read_text(), _Template)["Resources"]  # noqa: S506 - made from the safe loader
    found = []
    for name, resource in resources.items():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if "PolicyDocument" in properties:
            name, documents = properties["Roles"][0], [properties["PolicyDocument"]]  # noqa: PLW2901 - the role that has it
        found += [(name, statement["Sid"]) for document in documents for statement in document["Statement"]]
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment whose roles are in force."""
    with access(tmp_path_factory.mktemp("access")) as made:
        make_launch_template(made, template_of_nodes(made))
        yield World(made)


def refused(world: World, probe: Probe) -> bool:
    """Tell whether a probe is refused; anything else that goes wrong is raised."""
    try:
        probe(world)
    except Exception as error:
        if not is_refused(error):
            raise
        return True
    return False


def test_every_statement_has_a_probe() -> None:
    """Nobody adds a permission without a test that needs it."""
    assert set(statements()) == set(PROBES)


def test_everything_is_named_but_where_aws_knows_no_resource(world: World) -> None:
    """No statement allows a family of actions, and only those do without resources that AWS gives none."""
    whole = set()
    for role, sid in statements():
        statement = world.statement(role, sid)
        assert not [action for action in as_list(statement["Action"]) if "*" in action], sid
        if "*" in as_list(statement["Resource"]):
            whole |= set(as_list(statement["Action"]))
    assert whole == {"ec2:DescribeInstances", "sns:Unsubscribe", "sqs:ListQueues"}


@pytest.mark.parametrize(("role", "sid"), [pytest.param(*key, id="-".join(key)) for key in statements()])
def test_a_statement_is_enough_and_needed(world: World, role: str, sid: str) -> None:
    """What a statement is for works, and is refused without it; so is a part of it without an action or a resource."""
    probes = PROBES[role, sid]
    assert [refused(world, probe) for probe in probes] == [False] * len(probes)
    with world.without(role, sid):
        assert [refused(world, probe) for probe in probes] == [True] * len(probes)
    statement = world.statement(role, sid)
    for part in ("Action", "Resource"):
        values = as_list(statement[part])
        for value in values if len(values) > 1 else ():
            with world.without(role, sid, part, value):
                assert any(refused(world, probe) for probe in probes), f"{sid} does not need {value}"


# What each role is refused, by name: what the others do, what other deployments own, and what none may do.
REFUSED: dict[str, Probe] = {
    "web-takes-no-tasks": receive(WEB, "tasks"),
    "web-finishes-no-tasks": done(WEB, "tasks"),
    "web-buries-no-tasks": send(WEB, "dead_letters"),
    "web-reads-no-dead-letters": receive(WEB, "dead_letters"),
    "web-stores-no-results": put(WEB, "result"),
    "web-does-not-touch-the-lease": delete(WEB, "result", LEASE_KEY),
    "web-overwrites-no-photos-of-operators": put(WEB, "photo", "operators/own.jpg"),
    "web-sends-no-commands": publish(WEB, CONTROL),
    "web-tells-no-events": publish(WEB, EVENTS),
    "web-owns-no-queues": make_queue(WEB, "replies"),
    "web-sees-no-instances": lambda world: world.fleet(WEB).instances(),
    "web-launches-nothing": lambda world: launch(world, WEB),
    "web-terminates-nothing": lambda world: terminate(world, WEB),
    "web-reads-no-code": code(WEB, "artifacts/classifier-1.tar.gz"),
    "web-becomes-nobody-else": lambda world: world.client(WEB, "sts").assume_role(
        RoleArn=world.access.outputs[SCALER], RoleSessionName="web"
    ),
    "worker-uploads-no-photos": put(WORKER, "photo"),
    "worker-deletes-no-photos": delete(WORKER, "photo"),
    "worker-deletes-no-results": delete(WORKER, "result"),
    "worker-lists-no-photos": list_bucket(WORKER, "input_bucket"),
    "worker-lists-no-results": list_bucket(WORKER, "result_bucket"),
    "worker-does-not-take-the-lease": put(WORKER, "result", LEASE_KEY),
    "worker-empties-no-queue": lambda world: world.client(WORKER, "sqs").purge_queue(QueueUrl=world.tasks),
    "worker-reads-no-dead-letters": receive(WORKER, "dead_letters"),
    "worker-sends-no-commands": publish(WORKER, CONTROL),
    "worker-subscribes-no-foreign-queue": subscribe(WORKER, CONTROL, "events"),
    "worker-owns-no-queue-of-replies": make_queue(WORKER, "replies"),
    "worker-finds-no-queues": lambda world: world.client(WORKER, "sqs").list_queues(),
    "worker-launches-nothing": lambda world: launch(world, WORKER),
    "worker-terminates-nothing": lambda world: terminate(world, WORKER),
    "worker-reads-no-secret": lambda world: world.client(WORKER, "secretsmanager").get_secret_value(
        SecretId=world.access.parameters["WebSecretArn"]
    ),
    "worker-changes-no-code": lambda world: world.client(WORKER, "s3").put_object(
        **world.stored(world.artifacts, "artifacts/classifier-1.tar.gz"), Body=DATA
    ),
    "scaler-sends-no-tasks": send(SCALER, "tasks"),
    "scaler-takes-no-tasks": receive(SCALER, "tasks"),
    "scaler-empties-no-queue": lambda world: world.client(SCALER, "sqs").purge_queue(QueueUrl=world.tasks),
    "scaler-deletes-no-task-queue": lambda world: world.client(SCALER, "sqs").delete_queue(QueueUrl=world.tasks),
    "scaler-reads-no-photos": get(SCALER, "photo"),
    "scaler-deletes-no-results": delete(SCALER, "result"),
    "scaler-tells-no-events": publish(SCALER, EVENTS),
    "scaler-subscribes-to-nothing": subscribe(SCALER, EVENTS, "replies"),
    "scaler-creates-no-topics": lambda world: world.client(SCALER, "sns").create_topic(Name=f"{world.name}_more"),
    "scaler-terminates-no-machine-of-others": lambda world: terminate(world, **{TAG_DEPLOYMENT: "other"}),
    "scaler-terminates-no-web-machine": lambda world: terminate(world, **{TAG_ROLE: "web"}),
    "scaler-marks-no-machine-of-others": lambda world: mark(world, **{TAG_DEPLOYMENT: "other"}),
    "scaler-unmarks-no-machine-of-others": lambda world: unmark(world, **{TAG_DEPLOYMENT: "other"}),
    "scaler-adopts-no-machine": lambda world: world.client(SCALER, "ec2").create_tags(
        Resources=[world.instance(**{TAG_DEPLOYMENT: "other"})], Tags=[{"Key": TAG_DEPLOYMENT, "Value": world.name}]
    ),
    "scaler-renames-no-machine": lambda world: world.client(SCALER, "ec2").create_tags(
        Resources=[world.instance()], Tags=[{"Key": TAG_ROLE, "Value": "web"}]
    ),
    "scaler-launches-from-no-other-template": lambda world: launch(
        world, name=world.template(**{TAG_DEPLOYMENT: "other"})
    ),
    "scaler-passes-no-other-role": lambda world: launch(world, name=world.template(profile="WebHostProfile")),
    "scaler-launches-for-no-other-deployment": lambda world: launch(world, deployment="other"),
    "scaler-runs-nothing-without-a-template": lambda world: world.client(SCALER, "ec2").run_instances(
        ImageId=world.image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": world.node_tags}],
    ),
    "scaler-makes-no-template": lambda world: world.client(SCALER, "ec2").create_launch_template(
        LaunchTemplateName=f"{world.name}-more", LaunchTemplateData={"ImageId": world.image}
    ),
    "scaler-changes-no-template": lambda world: world.client(SCALER, "ec2").modify_launch_template(
        LaunchTemplateName=f"{world.name}-node", DefaultVersion="1"
    ),
    "flower-sends-no-tasks": send(FLOWER, "tasks"),
    "flower-takes-no-tasks": receive(FLOWER, "tasks"),
    "flower-empties-no-queue": lambda world: world.client(FLOWER, "sqs").purge_queue(QueueUrl=world.tasks),
    "flower-reads-no-photos": get(FLOWER, "photo"),
    "flower-reads-no-results": get(FLOWER, "result"),
    "flower-tells-no-events": publish(FLOWER, EVENTS),
    "flower-subscribes-no-foreign-queue": subscribe(FLOWER, EVENTS, "node"),
    "flower-hears-no-commands": subscribe(FLOWER, CONTROL, "events"),
    "flower-finds-no-queues": lambda world: world.client(FLOWER, "sqs").list_queues(),
    "flower-sees-no-instances": lambda world: world.fleet(FLOWER).instances(),
    "flower-terminates-nothing": lambda world: terminate(world, FLOWER),
    "web-machine-reads-no-photos": get(HOST, "photo"),
    "web-machine-sends-no-tasks": send(HOST, "tasks"),
    "web-machine-launches-nothing": lambda world: launch(world, HOST),
    "web-machine-is-no-worker": lambda world: world.client(HOST, "sts").assume_role(
        RoleArn=world.access.outputs[WORKER], RoleSessionName="web-host"
    ),
    "web-machine-gives-its-address-to-no-node": lambda world: take_address(world, **{TAG_ROLE: "worker"}),
    "web-machine-gives-its-address-to-no-other": lambda world: take_address(world, **{TAG_DEPLOYMENT: "other"}),
}


@pytest.mark.parametrize("probe", [pytest.param(probe, id=name) for name, probe in REFUSED.items()])
def test_what_is_not_a_roles_business_is_refused(world: World, probe: Probe) -> None:
    """A role does what it is for and nothing of what the others do, nor anything to other deployments."""
    assert refused(world, probe)


@pytest.mark.parametrize("role", [WORKER, WEB, SCALER, FLOWER, HOST])
def test_no_role_reaches_into_another_deployment(world: World, role: str) -> None:
    """Queues, buckets and topics whose names only begin alike are refused."""
    other = f"{world.name}-2"
    sqs, s3, sns = (world.client("", service) for service in ("sqs", "s3", "sns"))
    url = sqs.create_queue(QueueName=f"{other}-classify")["QueueUrl"]
    inbox = sqs.create_queue(QueueName=f"{other}_node_w1-i-0a1b_20261121T041500-0a1b2c")["QueueUrl"]
    s3.create_bucket(Bucket=f"{other}-input")
    s3.put_object(Bucket=f"{other}-input", Key=PHOTO, Body=DATA)
    topic = sns.create_topic(Name=f"{other}_celery-pidbox")["TopicArn"]
    probes: tuple[Probe, ...] = (
        lambda world: world.client(role, "sqs").send_message(QueueUrl=url, MessageBody="task"),
        lambda world: world.client(role, "sqs").receive_message(QueueUrl=url),
        lambda world: world.client(role, "sqs").delete_queue(QueueUrl=inbox),
        lambda world: world.client(role, "s3").get_object(Bucket=f"{other}-input", Key=PHOTO),
        lambda world: world.client(role, "sns").publish(TopicArn=topic, Message="hello"),
    )
    assert [refused(world, probe) for probe in probes] == [True] * len(probes)
