"""The agent with real processes, and as a node boots it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from local.emulators import Emulators
from local.metadata import SPOT, MetadataServer, post_notice
from local.processes import Command, Supervised, wait_until
from local.provision import provision
from local.stack import Stack
from tasks.names import LEASE_KEY
from tasks.node.agent import Agent
from tasks.node.cloud import Cloud
from tasks.node.imds import Metadata
from tasks.node.judge import Ending, Limits
from tasks.node.workers import WorkerProcesses
from tasks.objects import Bucket
from tasks.settings import Settings
from tests.client import Client

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

pytestmark = pytest.mark.stack

AGENT = (sys.executable, "-m", "tasks.node")
NODE = "i-0123456789abcdef0"
WORKER = f"w1@{NODE}"
DEADLINE_S = 40.0


@pytest.fixture
def metadata() -> Iterator[MetadataServer]:
    """The metadata service."""
    server = MetadataServer(0)
    server.base_url(NODE)
    with server.running():
        yield server


@pytest.fixture
def cloud(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A queue and a bucket of the test's own."""
    settings = own_settings(emulators)
    provision(settings)
    for name, value in settings.aws_environ.items():
        monkeypatch.setenv(name, value)
    return Cloud(settings)


def own_settings(emulators: Emulators) -> Settings:
    """Return settings with names of the test's own."""
    name = f"node-{uuid.uuid4().hex[:10]}"
    own = {"QUEUE": name, "DEAD_LETTER_QUEUE": f"{name}-dead", "INPUT_BUCKET": f"{name}-in", "RESULT_BUCKET": name}
    return Settings.from_env(emulators.environ | own)


@pytest.fixture
def run_agent(cloud: Cloud, metadata: MetadataServer) -> Callable[..., Ending]:
    """Run an agent whose worker is a shell command, to its end."""

    def run(script: str, *, safety_net_s: float = 900.0) -> Ending:
        def command(_name: str) -> Sequence[str]:
            return ("/bin/sh", "-c", script)

        return Agent(
            names=(WORKER,),
            processes=WorkerProcesses(command),
            metadata=Metadata(metadata.base_url(NODE)),
            cloud=cloud,
            notice_poll_s=0.2,
            safety_net_s=safety_net_s,
            limits=Limits(max_crashes=2, stop_deadline_s=1.0),
        ).run()

    return run


def test_a_crashed_worker_is_started_again(run_agent: Callable[..., Ending], tmp_path: Path) -> None:
    """After its second start it is shut down in good order, and the node powers off."""
    ending = run_agent(f"echo >> {tmp_path}/starts; [ $(wc -l < {tmp_path}/starts) = 2 ]")
    assert ending == Ending(f"{WORKER} was shut down", power_off=True)


def test_a_worker_that_keeps_crashing_ends_the_node(run_agent: Callable[..., Ending]) -> None:
    """It is not started for ever."""
    assert run_agent("exit 3").failed


def test_a_worker_that_ignores_the_notice_is_killed(run_agent: Callable[..., Ending], metadata: MetadataServer) -> None:
    """The node ends before EC2 takes it."""
    post_notice(metadata.url, SPOT, NODE)
    assert run_agent("trap '' TERM; while :; do sleep 0.1; done").reason.startswith("spot interruption")


def test_a_node_without_a_scaler_and_without_work_powers_off(run_agent: Callable[..., Ending]) -> None:
    """Nobody renews the lease, and the queue is empty."""
    ending = run_agent("exec sleep 1000", safety_net_s=2.0)
    assert ending == Ending("no scaler and no messages for too long", power_off=True)


def test_what_the_safety_net_reads(emulators: Emulators, cloud: Cloud) -> None:
    """The lease's version, and with an old lease whether the queue is empty; a queue that is gone is not."""
    assert cloud.read(None).lease == ""
    assert cloud.read("").queue_empty is True
    settings = cloud.settings
    bucket = Bucket(settings.result_bucket, region=settings.region, endpoint_url=emulators.aws_url)
    bucket.put(LEASE_KEY, b"{}")
    first = cloud.read("")
    assert first.lease
    assert first.queue_empty is None
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=60)
    assert cloud.read(first.lease).queue_empty is False
    sqs.delete_queue(QueueUrl=url)
    assert cloud.read(first.lease).queue_empty is None


def test_a_spot_notice_lets_the_running_task_finish_and_gives_the_rest_back(
    new_stack: Callable[..., Stack], photos: Mapping[str, bytes], metadata: MetadataServer, tmp_path: Path
) -> None:
    """The result arrives, what was prefetched is visible in the queue at once, and the power-off command is run."""
    stack = new_stack(WORKER_APP="local.stand_in", STAND_IN_S="2", WORKER_THREADS="1", POLL_WAIT_S="1")
    stack.start_web()
    off = tmp_path / "off"
    own = {
        "INSTANCE_ID": "",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.base_url(NODE),
        "NOTICE_POLL_S": "0.2",
        "POWER_OFF_COMMAND": f"touch {off}",
    }
    agent = stack.start(Command("agent", AGENT), own)
    client = Client(stack.services.web_url)
    ids = client.upload({f"{number}.png": photos["coins.png"] for number in range(3)})
    wait_until(lambda: "received" in agent.log.read_text(), DEADLINE_S, f"the worker to take tasks; {agent.log}")
    post_notice(metadata.url, SPOT, NODE)
    assert agent.process.wait(DEADLINE_S) == 0, agent.log.read_text()
    assert off.exists()
    states = [client.result(task_id).status_code for task_id in ids]
    done = states.count(200)
    assert done >= 1
    session = boto3.Session("local", "local", region_name="us-east-1")
    sqs = session.client("sqs", endpoint_url=stack.services.emulators.aws_url)
    url = sqs.get_queue_url(QueueName=stack.settings.queue)["QueueUrl"]
    names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert [int(counts[name]) for name in names] == [3 - done, 0]


def test_sigterm_stops_agent_and_worker_but_not_the_machine(
    emulators: Emulators, metadata: MetadataServer, tmp_path: Path
) -> None:
    """The worker ends with the agent; the power-off command is not run."""
    settings = own_settings(emulators)
    provision(settings)
    own = {
        str(field.alias): str(getattr(settings, name))
        for name, field in Settings.model_fields.items()
        if name in {"queue", "dead_letter_queue", "input_bucket", "result_bucket"}
    }
    environ = (
        os.environ
        | emulators.environ
        | own
        | {
            "WORKER_APP": "local.stand_in",
            "POLL_WAIT_S": "1",
            "INSTANCE_ID": NODE,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.base_url(NODE),
            "POWER_OFF_COMMAND": f"touch {tmp_path}/off",
        }
    )
    agent = Supervised.start(Command("agent", AGENT), environ, tmp_path)
    try:
        wait_until(lambda: f"{WORKER} ready." in agent.log.read_text(), DEADLINE_S, f"the worker; {agent.log}")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(DEADLINE_S) == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(agent.pid, 0)
        assert not (tmp_path / "off").exists()
    finally:
        agent.stop()


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        pytest.param({"SAFETY_NET_S": "0"}, "error: SAFETY_NET_S='0' is refused", id="a wrong setting"),
        pytest.param(
            {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"},
            "error: http://127.0.0.1:1 does not",
            id="no id",
        ),
    ],
)
def test_an_agent_that_cannot_run_says_why_in_one_line(environ: Mapping[str, str], line: str) -> None:
    """It ends with status 1 and no traceback."""
    ended = subprocess.run(AGENT, check=False, capture_output=True, text=True, env=os.environ | environ)
    assert ended.returncode == 1
    assert ended.stderr.startswith(line)
    assert ended.stderr.count("\n") == 1


def test_the_agent_is_light() -> None:
    """It loads neither torch nor Celery: it sits beside the workers and needs the memory for nothing."""
    code = "import sys, tasks.node.__main__; print({'torch', 'celery'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout == "set()\n"
