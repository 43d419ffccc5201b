"""Nodes come when photos come, and leave without dropping any: the real scaler, EC2 API, boot script and workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from local.ports import free_port
from local.processes import wait_until
from tests.e2e.elastic import DEADLINE_S, Elastic, elastic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

BURST = 60


@pytest.fixture
def new_elastic(tmp_path: Path, photos: Mapping[str, bytes]) -> Iterator[Callable[..., Elastic]]:
    """Make a stack whose nodes come and go, with settings of the test's own."""
    with ExitStack() as stacks:
        yield lambda **environ: stacks.enter_context(elastic(tmp_path / "log", photos["coins.png"], **environ))


def total(tick: Mapping[str, Any]) -> int:
    """Return the non-terminated nodes of a tick."""
    return sum((tick["nodes"] or {}).values())


def test_a_burst_raises_nodes_to_the_cap_and_every_photo_is_classified_once(
    new_elastic: Callable[..., Elastic],
) -> None:
    """From no node to the cap, all results, and back to none; no photo is classified twice."""
    cloud = new_elastic(POLICY="load_factor")
    scaler = cloud.stack.start_scaler()
    ids = cloud.upload(BURST)
    results = cloud.client.wait(ids, DEADLINE_S)
    assert {result["state"] for result in results} == {"SUCCESS"}
    wait_until(lambda: not cloud.instances(), DEADLINE_S, "the nodes' end")
    ticks = cloud.ticks(scaler)
    assert max(total(tick) for tick in ticks) == 3
    assert cloud.done_by_nodes() == dict.fromkeys(ids, 1)
    figures = requests.get(f"{cloud.stack.services.scaler_url}/metrics", timeout=30).text
    assert 'scaler_actions_total{action="launch"} 3.0' in figures
    status = cloud.stack.run(cloud.stack.services.scaler("status"))
    assert "nodes    none" in status.stdout, status.stderr


def test_a_second_burst_takes_drains_back_instead_of_launching(new_elastic: Callable[..., Elastic]) -> None:
    """A node that is draining when work comes takes tasks again, and no other is launched."""
    cloud = new_elastic(MAX_NODES="1", DRAIN_GRACE_S="20")
    scaler = cloud.stack.start_scaler()
    cloud.client.wait(cloud.upload(2), DEADLINE_S)
    cloud.wait_for_tick(scaler, lambda tick: bool(tick["drain"]), "a drain")
    cloud.wait_for_tick(scaler, lambda tick: tick["nodes"].get("draining") == 1, "the draining node")
    before = len(cloud.ticks(scaler))
    ids = cloud.upload(2)
    revert = cloud.wait_for_tick(scaler, lambda tick: bool(tick["revert"]), "a revert", before)
    assert revert["launch"] == 0
    assert {result["state"] for result in cloud.client.wait(ids, DEADLINE_S)} == {"SUCCESS"}
    assert sum(len(tick["launched"]) for tick in cloud.ticks(scaler)) == 1


@pytest.mark.parametrize("end", ["killed", "terminated"])
def test_a_node_that_is_lost_mid_task_is_replaced_and_its_photos_are_classified(
    new_elastic: Callable[..., Elastic], end: str
) -> None:
    """A node's sudden end costs time: its photos are delivered again, and another node does them."""
    cloud = new_elastic(MAX_NODES="1", STAND_IN_S="1", WORKER_THREADS="4")
    scaler = cloud.stack.start_scaler()
    ids = cloud.upload(12)
    busy = cloud.wait_for_tick(scaler, lambda tick: tick["values"]["in_flight"] > 0 and total(tick) == 1, "a busy node")
    assert busy
    (node,) = cloud.instances()
    if end == "killed":
        cloud.kill_node(node)
    else:
        cloud.stack.ec2.terminate_instances(InstanceIds=[node])
    results = cloud.client.wait(ids, DEADLINE_S)
    assert {result["state"] for result in results} == {"SUCCESS"}
    assert len({instance for tick in cloud.ticks(scaler) for instance in tick["launched"]}) >= 2
    wait_until(lambda: not cloud.control_queues(node), DEADLINE_S, "the sweep of what the node has left")


def test_a_node_that_never_joins_is_replaced(new_elastic: Callable[..., Elastic]) -> None:
    """After its boot deadline it is terminated, and the next one does the work."""
    cloud = new_elastic(MAX_NODES="1", BOOT_DEADLINE_S="4", LOCAL_NEVER_JOIN="1")
    scaler = cloud.stack.start_scaler()
    ids = cloud.upload(1)
    replaced = cloud.wait_for_tick(scaler, lambda tick: bool(tick["replace"]), "the replacement")
    assert cloud.instances("terminated") == replaced["replace"]
    assert cloud.client.wait(ids, 2 * DEADLINE_S)[0]["state"] == "SUCCESS"


def test_a_scaler_that_is_killed_mid_scale_out_launches_no_node_twice(new_elastic: Callable[..., Elastic]) -> None:
    """Its successor knows the nodes that are booting, and stays within what is needed."""
    cloud = new_elastic(MAX_NODES="3", POLICY="load_factor", STAND_IN_S="1")
    first = cloud.stack.start_scaler()
    ids = cloud.upload(30)
    cloud.wait_for_tick(first, lambda tick: bool(tick["launched"]), "a launch")
    first.kill()
    second = cloud.stack.start_scaler("second")
    results = cloud.client.wait(ids, DEADLINE_S)
    assert {result["state"] for result in results} == {"SUCCESS"}
    wait_until(lambda: not cloud.instances(), DEADLINE_S, "the nodes' end")
    assert max(total(tick) for tick in cloud.ticks(second)) <= 3
    assert cloud.done_by_nodes() == dict.fromkeys(ids, 1)


def test_a_scaler_that_is_killed_mid_drain_is_succeeded(new_elastic: Callable[..., Elastic]) -> None:
    """Its successor goes on with the drain, and no node stays behind."""
    cloud = new_elastic(MAX_NODES="1", DRAIN_GRACE_S="3")
    first = cloud.stack.start_scaler()
    cloud.client.wait(cloud.upload(1), DEADLINE_S)
    cloud.wait_for_tick(first, lambda tick: bool(tick["drain"]), "a drain")
    first.kill()
    second = cloud.stack.start_scaler("second")
    cloud.wait_for_tick(second, lambda tick: bool(tick["commit"]), "the commit")
    wait_until(lambda: not cloud.instances(), DEADLINE_S, "the node's end")


def test_of_two_scalers_one_acts(new_elastic: Callable[..., Elastic]) -> None:
    """The second stands by, and takes over when the first ends."""
    cloud = new_elastic(MAX_NODES="1")
    first = cloud.stack.start_scaler()
    cloud.wait_for_tick(first, lambda tick: not tick["held"], "the first scaler's tick")
    second = cloud.stack.start_scaler("second", {"SCALER_PORT": str(free_port())})
    wait_until(lambda: "stands by" in second.log.read_text(), DEADLINE_S, "the second scaler to stand by")
    cloud.client.wait(cloud.upload(1), DEADLINE_S)
    assert cloud.ticks(second) == []
    first.process.send_signal(signal.SIGTERM)
    cloud.wait_for_tick(second, lambda tick: not tick["held"], "the second scaler's tick")
    assert first.process.wait(DEADLINE_S) == 0


def test_a_queue_that_cannot_be_read_holds_the_fleet(new_elastic: Callable[..., Elastic]) -> None:
    """While SQS does not answer nothing is launched and nothing drained, and the line says why."""
    cloud = new_elastic(MAX_NODES="1", IDLE_S="600")
    scaler = cloud.stack.start_scaler()
    cloud.client.wait(cloud.upload(1), DEADLINE_S)
    nodes = cloud.instances()
    aws = next(process for process in cloud.stack.services.emulators.processes if process.command.name == "aws")
    os.killpg(aws.pid, signal.SIGSTOP)
    try:
        before = len(cloud.ticks(scaler))
        wait_until(lambda: "held" in scaler.log.read_text()[-4000:], DEADLINE_S, "a tick that is held")
    finally:
        os.killpg(aws.pid, signal.SIGCONT)
    after = cloud.wait_for_tick(scaler, lambda tick: not tick["held"], "the recovery", before)
    assert after["failures"] == []
    assert cloud.instances() == nodes
    assert psutil.pid_exists(scaler.pid)
