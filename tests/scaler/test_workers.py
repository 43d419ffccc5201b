"""What the scaler learns from real workers, and what they do when it tells them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from local.processes import Command, wait_until
from local.stack import Stack, running_stack
from scaler.state import WorkerReport
from scaler.workers import ControlError, Workers, added_up, reports_of
from tasks.sqs.control_plane import close_planes
from tests.client import Client
from tests.tasks.sqs.control_app import make_app

NODE, OTHER, PAIR = "i-00000000000000001", "i-00000000000000002", "i-00000000000000003"
DEADLINE_S = 20.0
TIMEOUT_S = 3.0
IDLE: Mapping[str, object] = {
    "slots": 8,
    "active": 0,
    "reserved": 0,
    "idle_s": 4.0,
    "consuming": True,
    "tasks": 2,
    "task_s": 1.0,
    "workers": 2,
}
BUSY = {**IDLE, "active": 1, "idle_s": 0.0}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([IDLE], None, id="one of two workers is silent"),
        pytest.param(
            [IDLE, {**IDLE, "idle_s": 3.0}],
            WorkerReport(16, 0, 0, 3.0, consuming=True, tasks=4, task_s=2.0),
            id="both idle",
        ),
        pytest.param([IDLE, BUSY], WorkerReport(16, 1, 0, 0.0, consuming=True, tasks=4, task_s=2.0), id="one busy"),
    ],
)
def test_the_workers_of_a_node_are_added_up(answers: list[Mapping[str, object]], expected: WorkerReport | None) -> None:
    """A node is idle when all its workers are, and unknown while one is silent."""
    assert added_up(answers) == expected


FAILED: Mapping[str, object] = {"error": "KeyError('slots')"}
ALONE = {**IDLE, "workers": 1}


@pytest.mark.parametrize(
    ("answers", "reporting", "failing"),
    [
        pytest.param({NODE: [ALONE], OTHER: [ALONE]}, {NODE, OTHER}, [], id="all can be read"),
        pytest.param({NODE: [ALONE], OTHER: [FAILED]}, {NODE}, [OTHER], id="one has failed to report"),
        pytest.param({NODE: [ALONE], OTHER: [{**ALONE, "idle_s": None}]}, {NODE}, [OTHER], id="a field is empty"),
        pytest.param({NODE: [ALONE], OTHER: [{**ALONE, "tasks": "few"}]}, {NODE}, [OTHER], id="a field is no number"),
        pytest.param({NODE: [IDLE, FAILED]}, set(), [NODE], id="one of two workers has failed to"),
        pytest.param({NODE: [FAILED], OTHER: [FAILED]}, set(), [NODE, OTHER], id="none can be read"),
    ],
)
def test_a_report_that_cannot_be_read_is_none(
    answers: Mapping[str, Sequence[Mapping[str, object]]], reporting: set[str], failing: list[str]
) -> None:
    """Its node has no report, which is told in a line; every other node has its own."""
    reports = reports_of(answers)
    assert set(reports.by_node) == reporting
    assert list(reports.failures) == failing


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web app and a worker on a node."""
    with running_stack(tmp_path_factory.mktemp("workers")) as made:
        made.start_web()
        made.start_worker(f"w1@{NODE}")
        yield made


@pytest.fixture
def workers(stack: Stack) -> Iterator[Workers]:
    """The scaler's view of the workers."""
    app = make_app(stack.settings.deployment, stack.services.emulators.aws_url)
    yield Workers(app, stack.settings.queue, timeout_s=TIMEOUT_S)
    app.close()
    close_planes()


@pytest.mark.stack
def test_a_report_tells_what_was_done(stack: Stack, workers: Workers, photos: Mapping[str, bytes]) -> None:
    """After some photos the node is idle, says for how long, and what its tasks took."""
    client = Client(stack.services.web_url)
    client.wait(client.upload(dict(list(photos.items())[:4])))
    wait_until(lambda: workers.reports([NODE]).by_node[NODE].idle, DEADLINE_S, "the node to be idle")
    report = workers.reports([NODE]).by_node[NODE]
    assert report.slots == stack.settings.worker_threads
    assert report.tasks >= 4
    assert report.task_s > 0
    assert 0 < report.idle_s < DEADLINE_S


@pytest.mark.stack
def test_a_node_without_workers_has_no_report(workers: Workers) -> None:
    """Who does not answer is missing from the answer, and those who do are there."""
    assert set(workers.reports([NODE, OTHER]).by_node) == {NODE}


@pytest.mark.stack
def test_a_last_question_waits_for_the_nodes_asked(workers: Workers) -> None:
    """Who is asked before it is replaced is not passed over because another answers first."""
    assert workers.answering([OTHER]) == set()
    assert workers.answering([NODE, OTHER]) == {NODE}


@pytest.mark.stack
def test_every_worker_of_every_node_is_waited_for_and_no_longer(stack: Stack, workers: Workers) -> None:
    """A node of two workers that joins has its report at once, costs no other node its own, and slows no later tick."""
    assert set(workers.reports([NODE]).by_node) == {NODE}
    with ExitStack() as pair:
        for name in ("w1", "w2"):
            worker = stack.start_worker(f"{name}@{PAIR}", {"WORKER_PROCESSES": "2"})
            pair.callback(worker.stop)
        reports = workers.reports([NODE, PAIR]).by_node
        assert (set(reports), reports[PAIR].slots) == ({NODE, PAIR}, 2 * stack.settings.worker_threads)
        begin_s = time.monotonic()
        assert set(workers.reports([NODE, PAIR]).by_node) == {NODE, PAIR}
        assert time.monotonic() - begin_s < TIMEOUT_S


@pytest.mark.stack
def test_a_worker_that_cannot_report_holds_nobody_else(stack: Stack, workers: Workers) -> None:
    """One that does not know the command, or fails at it, has no report, but is not taken for dead; others have theirs."""
    empty = stack.settings.dead_letter_queue
    worker = ("-m", "celery", "-A", "tests.tasks.sqs.control_app", "worker", "-P", "threads", "-c", "1", "-Q", empty)
    environ = {"TEST_PREFIX": stack.settings.deployment, "TEST_AWS_URL": stack.services.emulators.aws_url}
    stranger = stack.start(Command("stranger", (sys.executable, *worker, "-n", f"w1@{OTHER}"), environ))
    try:
        wait_until(lambda: bool(workers.reports([NODE, OTHER]).failures), DEADLINE_S, "an answer from the stranger")
        reports = workers.reports([NODE, OTHER])
        assert set(reports.by_node) == {NODE}
        assert set(reports.failures) == {OTHER}
        assert workers.answering([NODE, OTHER]) == {NODE, OTHER}
    finally:
        stranger.stop()


@pytest.mark.stack
def test_a_drain_is_taken_back(stack: Stack, workers: Workers, photos: Mapping[str, bytes]) -> None:
    """A drained node takes no photo, and takes it when the drain is reverted."""
    client = Client(stack.services.web_url)
    workers.reports([NODE])
    workers.drain([NODE])
    wait_until(lambda: not workers.reports([NODE]).by_node[NODE].consuming, DEADLINE_S, "the drain")
    ids = client.upload(dict(list(photos.items())[:1]))
    workers.revert([NODE])
    wait_until(lambda: workers.reports([NODE]).by_node[NODE].consuming, DEADLINE_S, "the revert")
    assert client.wait(ids)[0]["state"] == "SUCCESS"


@pytest.mark.stack
def test_a_control_plane_that_is_away_is_an_error(stack: Stack) -> None:
    """No answer because nothing could be asked is not the same as no worker."""
    app = make_app(stack.settings.deployment, "http://127.0.0.1:9")
    with pytest.raises(ControlError, match="cannot be asked"):
        Workers(app, stack.settings.queue, timeout_s=1).reports([NODE])
    app.close()
    close_planes()
