"""The removal of what dead nodes and clients left in AWS."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulators import Emulators
from local.processes import wait_until
from tasks.sqs.control_channel import ControlChannel
from tasks.sqs.control_queues import ALIVE_TAG, OWNER_TAG
from tasks.sqs.names import Kind, QueueName
from tasks.sqs.sweep import MIN_OLDER_THAN_S, OLDER_THAN_S, sweep, sweep_node
from tests.tasks.sqs.control_stack import ControlStack, control_stack

pytestmark = pytest.mark.stack

DEADLINE_S = 20.0
COMMAND_DEADLINE_S = 30.0
EXCHANGE = "celery.pidbox"
INBOX = f"w@old.{EXCHANGE}"


@pytest.fixture(params=[pytest.param("aws_url", id="ministack"), pytest.param("ec2_url", id="moto")])
def stack(request: pytest.FixtureRequest, emulators: Emulators, tmp_path: Path) -> Iterator[ControlStack]:
    """A deployment."""
    with control_stack(getattr(emulators, request.param), tmp_path) as made:
        yield made


def leave_behind(stack: ControlStack, kind: Kind, owner: str) -> str:
    """Leave a queue with a subscription, as an owner would that died two hours ago; return its name."""
    died_at_s = int(time.time()) - 2 * OLDER_THAN_S
    name = str(QueueName(stack.prefix, kind, owner, died_at_s, "0dead0"))
    sqs, sns = stack.client("sqs"), stack.client("sns")
    url = sqs.create_queue(QueueName=name, tags={ALIVE_TAG: str(died_at_s), OWNER_TAG: owner})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=f"{stack.prefix}_celery-pidbox")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return name


def run_sweep(stack: ControlStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        (sys.executable, "-m", "tasks.sqs.sweep", "-A", "tests.tasks.sqs.control_app", *arguments),
        env=dict(stack.environ),
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )


def test_the_dead_are_swept_and_the_living_are_not(stack: ControlStack) -> None:
    """Orphaned queues and subscriptions go; those of a live worker and a live client stay and work."""
    stack.start_workers({"one@test": "threads"})
    ping = stack.control.inspect(timeout=30, limit=1).ping
    assert ping()
    living = set(stack.queues())
    dead = {leave_behind(stack, kind, "gone") for kind in Kind}
    gone = leave_behind(stack, Kind.NODE, "deleted")
    stack.client("sqs").delete_queue(QueueUrl=stack.client("sqs").get_queue_url(QueueName=gone)["QueueUrl"])

    rehearsal = run_sweep(stack, "--dry-run")
    assert "would remove 3 queues and 4 subscriptions" in rehearsal.stdout, rehearsal.stderr
    assert set(stack.queues()) == living | dead
    swept = run_sweep(stack)
    assert "removed 3 queues and 4 subscriptions" in swept.stdout, swept.stderr
    assert all(name in swept.stdout for name in dead)
    assert set(stack.queues()) == living
    assert len(stack.subscriptions()) == 1
    assert ping()


def test_a_killed_node_is_swept_at_once_by_its_name(stack: ControlStack) -> None:
    """Whoever terminates a node removes its queue and subscription without waiting."""
    workers = stack.start_workers({"one@i-1": "threads", "one@i-2": "threads"})
    workers["one@i-1"].kill()
    assert len(stack.queues("node")) == len(workers)
    swept = sweep_node(stack.app, "i-1")
    assert [queue.owner for queue in swept.queues] == ["one@i-1"]
    assert len(swept.subscriptions) == 1
    assert len(stack.queues("node")) == len(stack.subscriptions()) == 1
    assert stack.control.inspect(timeout=30, limit=1).ping() == {"one@i-2": {"ok": "pong"}}


def test_an_owner_says_that_it_lives(stack: ControlStack) -> None:
    """The owner's mark saves a queue that is old, and puts back a subscription that somebody removed."""
    with stack.app.connection_for_write() as connection:
        channel = connection.default_channel
        assert isinstance(channel, ControlChannel)
        plane = channel.plane
        plane.open_inbox(INBOX, EXCHANGE)
        url = plane.inbox(INBOX).url
    sqs = stack.client("sqs")
    sqs.tag_queue(QueueUrl=url, Tags={ALIVE_TAG: "1"})
    assert [queue.url for queue in sweep(stack.app, older_than_s=-1, dry_run=True).queues] == [url]
    sns = stack.client("sns")
    for subscription in sns.list_subscriptions()["Subscriptions"]:
        if subscription["Endpoint"].endswith(stack.queues("node")[0]):
            sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    assert stack.subscriptions() == []
    plane.queues.mark_alive()
    assert int(sqs.list_queue_tags(QueueUrl=url)["Tags"][ALIVE_TAG]) > time.time() - DEADLINE_S
    assert sweep(stack.app, older_than_s=DEADLINE_S, dry_run=True).queues == ()
    assert stack.subscriptions() == stack.queues("node")


def test_a_queue_removed_by_mistake_is_made_anew(stack: ControlStack) -> None:
    """An owner whose queue is deleted under it makes another one and gets its messages again."""
    with stack.app.connection_for_write() as connection:
        channel = connection.default_channel
        assert isinstance(channel, ControlChannel)
        plane = channel.plane
    plane.open_inbox(INBOX, EXCHANGE)
    removed = plane.inbox(INBOX)
    stack.client("sqs").delete_queue(QueueUrl=removed.url)
    subscription = plane.subscription(INBOX)
    wait_until(lambda: stack.queues("node") not in ([], [removed.name]), DEADLINE_S, "another queue")
    wait_until(lambda: stack.subscriptions() == stack.queues("node"), DEADLINE_S, "its subscription")
    plane.topics.publish(EXCHANGE, '{"body": "", "properties": {"delivery_tag": "1"}}')
    assert subscription.get(DEADLINE_S)["properties"] == {"delivery_tag": "1"}


def test_a_sweep_that_would_take_the_living_is_refused(stack: ControlStack) -> None:
    """An age below the interval of the marks of life is an error of one line, and nothing is removed."""
    refused = run_sweep(stack, f"--older-than-s={MIN_OLDER_THAN_S - 1}")
    assert refused.returncode != 0
    assert "--older-than-s" in refused.stderr
