"""A whole tick against real EC2, SQS and S3 APIs, with faults that only injection brings."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from local.emulators import Emulators
from scaler.act import Actor
from scaler.backlog import Backlogs
from scaler.fleet import Ec2Fleet, Template
from scaler.lease import Lease
from scaler.loop import Loop, Tick
from scaler.measure import FORBIDDEN_RETRY_S, alarms
from scaler.memory import Memory, MemoryStore
from scaler.observer import Observer
from scaler.state import Limits
from scaler.workers import Workers
from tasks.objects import Bucket, StoreUnavailable
from tasks.sqs.control_plane import close_planes
from tests.scaler.faults import ec2_answers_error
from tests.tasks.sqs.control_app import make_app

pytestmark = pytest.mark.stack

LIMITS = replace(Limits(), policy="load_factor", load_factor=5, max_nodes=3)
NOW_S = 1_000_000.0
TICK_S = 5.0
BACKOFF_S = 40.0
NOWHERE = "http://127.0.0.1:9"


class World:
    """A deployment without workers: a queue, a bucket, a launch template, and scalers on a clock of the test's own."""

    def __init__(self, emulators: Emulators) -> None:
        self.name = f"t{uuid.uuid4().hex[:8]}"
        session = boto3.Session(region_name="us-east-1")
        self.ec2: Any = session.client("ec2", endpoint_url=emulators.ec2_url)
        self.sqs: Any = session.client("sqs", endpoint_url=emulators.aws_url)
        session.client("s3", endpoint_url=emulators.aws_url).create_bucket(Bucket=self.name)
        self.queue_url = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        self.ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData={"ImageId": image})
        self.app = make_app(self.name, emulators.aws_url)
        self.bucket = Bucket(self.name, region="us-east-1", endpoint_url=emulators.aws_url)
        self.fleet = Ec2Fleet(self.ec2, self.name, Template(self.name, ("c5.large",), (), "on-demand"))
        self.now_s = NOW_S
        self.store = MemoryStore(self.bucket)

    def send(self, number: int) -> None:
        """Put messages into the queue."""
        for _ in range(number):
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody="x")

    def scaler(self, holder: str = "one") -> Loop:
        """Return a scaler, as a restarted process would have it; the same holder needs not wait for the lease."""
        workers = Workers(self.app, self.name, timeout_s=0.2)
        self.store = MemoryStore(self.bucket)
        return Loop(
            observer=Observer(Backlogs(self.sqs, self.name), self.fleet, workers, LIMITS.boot_deadline_s),
            fleet=self.fleet,
            actor=Actor(self.fleet, workers, lambda _: None),
            lease=Lease(self.bucket, holder, 30, lambda: self.now_s),
            store=self.store,
            limits=LIMITS,
            jitter=lambda: 1.0,
        )

    def tick(self, scaler: Loop, after_s: float = TICK_S) -> Tick:
        """Let time pass, and tick."""
        self.now_s += after_s
        tick = scaler.run_once(self.now_s)
        assert tick is not None
        return tick

    def instances(self) -> int:
        """Return how many instances there are."""
        return len(self.fleet.instances())


@pytest.fixture
def world(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A deployment of the test's own."""
    for name, value in emulators.environ.items():
        monkeypatch.setenv(name, value)
    made = World(emulators)
    yield made
    made.fleet.terminate([instance.id for instance in made.fleet.instances()])
    made.app.close()
    close_planes()


def test_messages_launch_nodes_once(world: World) -> None:
    """What is missing is launched; what is booting is not launched again."""
    world.send(8)
    scaler = world.scaler()
    first = world.tick(scaler)
    assert first.outcome is not None
    assert len(first.outcome.launched) == 2
    assert [world.tick(scaler).decision.launch for _ in range(3)] == [0, 0, 0]
    assert world.instances() == 2


def test_a_restarted_scaler_knows_what_is_booting(world: World) -> None:
    """A successor launches nothing twice."""
    world.send(8)
    world.tick(world.scaler())
    assert world.tick(world.scaler()).decision.launch == 0
    assert world.instances() == 2


def forbid_saving(world: World, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let S3 fail after a number of saves."""
    save, count = world.store.save, iter(range(1000))

    def fail(memory: Any) -> None:
        if next(count) >= after:
            raise StoreUnavailable("S3 is away")
        save(memory)

    monkeypatch.setattr(world.store, "save", fail)


@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "a successor"])
def test_nodes_are_not_launched_twice_when_s3_fails_after_the_launch(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    restarted: bool,  # noqa: FBT001
) -> None:
    """The outcome could not be written down; the intent was, and the instances are found by its token."""
    world.send(8)
    scaler = world.scaler()
    with monkeypatch.context() as patch:
        forbid_saving(world, patch, after=1)
        with pytest.raises(StoreUnavailable):
            world.tick(scaler)
    assert world.instances() == 2
    scaler = world.scaler() if restarted else scaler
    for _ in range(3):
        world.tick(scaler)
    assert world.instances() == 2


def test_a_launch_whose_answer_is_lost_is_not_repeated(world: World) -> None:
    """EC2 carried it out and the answer never came: its instances are found, and no others launched."""
    world.send(8)
    scaler = world.scaler()

    def lose(**_event: Any) -> None:
        raise ReadTimeoutError(endpoint_url="ec2")

    world.ec2.meta.events.register("after-call.ec2.CreateFleet", lose)
    lost = world.tick(scaler)
    assert lost.outcome is not None
    assert lost.outcome.launched == ()
    world.ec2.meta.events.unregister("after-call.ec2.CreateFleet", lose)
    for _ in range(4):
        world.tick(scaler, BACKOFF_S)
    assert world.instances() == 2


def test_without_the_right_to_launch_it_says_so_and_stops_asking(world: World) -> None:
    """UnauthorizedOperation is for a person to mend; it is tried again after 15 min, or by a restarted scaler."""
    world.send(8)
    scaler = world.scaler()
    with ec2_answers_error(world.ec2, "CreateFleet", "UnauthorizedOperation", 403) as refused:
        world.tick(scaler)
        later = [world.tick(scaler, BACKOFF_S) for _ in range(3)]
        assert len(refused) == 1
        assert all("EC2 forbids launches" in tick.decision.reason for tick in later)
        again = world.tick(scaler, FORBIDDEN_RETRY_S)
        assert len(refused) == 2
        assert alarms(again.history, world.now_s)
    world.tick(world.scaler())
    assert world.instances() == 2


def test_an_accounts_limit_lowers_the_cap(world: World) -> None:
    """VcpuLimitExceeded: what is there is the cap for a while, and then it is tried again."""
    world.send(4)
    scaler = world.scaler()
    world.tick(scaler)
    world.send(8)
    with ec2_answers_error(world.ec2, "CreateFleet", "VcpuLimitExceeded") as refused:
        limited = world.tick(scaler)
        held = world.tick(scaler)
    assert limited.history.lowered_cap == 1
    assert "account's limit of 1" in held.decision.reason
    assert len(refused) == 1
    world.tick(scaler, 1000)
    assert world.instances() == 3


@pytest.mark.parametrize(("code", "status"), [("RequestLimitExceeded", 400), ("InsufficientInstanceCapacity", 400)])
def test_a_launch_that_may_succeed_later_is_tried_later(world: World, code: str, status: int) -> None:
    """Throttled or without capacity it waits before it asks again, and then the nodes come."""
    world.send(8)
    scaler = world.scaler()
    with ec2_answers_error(world.ec2, "CreateFleet", code, status) as refused:
        world.tick(scaler)
        waiting = world.tick(scaler, 1.0)
    assert "the next is in" in waiting.decision.reason
    assert len(set(refused)) == 1
    world.tick(scaler, BACKOFF_S)
    assert world.instances() == 2


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda attributes: attributes.clear(), id="no counts"),
        pytest.param(lambda attributes: attributes.update(ApproximateNumberOfMessages="many"), id="garbage"),
        pytest.param(lambda attributes: attributes.update(ApproximateNumberOfMessages="-1"), id="negative"),
    ],
)
def test_counts_that_cannot_be_understood_hold_the_fleet(world: World, spoil: Callable[[dict[str, str]], None]) -> None:
    """Nothing is launched and nothing taken away, and the reason is told."""
    world.send(8)
    scaler = world.scaler()

    def spoil_answer(parsed: Any, **_event: Any) -> None:
        spoil(parsed["Attributes"])

    world.sqs.meta.events.register("after-call.sqs.GetQueueAttributes", spoil_answer)
    tick = world.tick(scaler)
    assert tick.decision.held
    assert tick.decision.launch == 0
    assert world.name in tick.decision.reason


def test_workers_that_cannot_be_asked_hold_the_fleet(world: World) -> None:
    """Nodes are there and nobody can say what they do: none is launched, drained or replaced."""
    world.send(8)
    scaler = world.scaler()
    world.tick(scaler)
    world.send(30)

    world.app.close()
    world.app = make_app(world.name, NOWHERE)
    scaler = world.scaler()
    tick = world.tick(scaler)
    assert tick.decision.held
    assert "the workers cannot be asked" in tick.decision.reason


def test_a_scaler_that_loses_its_lease_while_it_saves_launches_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has taken over meanwhile and launched; together they stay within the cap."""
    world.send(15)
    first, store = world.scaler("first"), world.store
    save, successors = store.save, [world.scaler("second")]

    def pause_at_the_intent(memory: Memory) -> None:
        if memory.intent is not None and successors:
            second = successors.pop()
            assert second.run_once(world.now_s) is None
            world.now_s += 31
            assert second.run_once(world.now_s) is not None
        save(memory)

    with monkeypatch.context() as patch:
        patch.setattr(store, "save", pause_at_the_intent)
        world.tick(first)
    assert world.instances() == LIMITS.max_nodes
