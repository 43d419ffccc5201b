"""A node's phase follows from what EC2 and its worker say."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from scaler.observe import SILENT_AFTER_S, Seen, look, node_of, reminders
from scaler.state import Node, Phase, WorkerReport

NOW_S = 1000.0
BOOT_DEADLINE_S = 300.0
IDLE = WorkerReport(8, 0, 0, 5.0, consuming=True, tasks=0, task_s=0.0)
DRAINED = WorkerReport(8, 0, 0, 5.0, consuming=False, tasks=0, task_s=0.0)


@dataclass(frozen=True)
class FromEc2:
    """An instance as EC2 tells it."""

    id: str = "i-1"
    state: str = "running"
    launched_at_s: float = NOW_S - 50
    phase_tag: Phase | None = None
    phase_since_s: float = NOW_S - 20
    spot: bool = False
    instance_type: str = "c7i.large"
    template_version: str | None = None


JOINED = Seen(NOW_S - 50, NOW_S - 40, NOW_S)
LATE = Seen(NOW_S - 50, NOW_S - 40, NOW_S - SILENT_AFTER_S)
GONE = Seen(NOW_S - 50, NOW_S - 40, NOW_S - SILENT_AFTER_S - 1)
DRAINING, COMMITTED = FromEc2(phase_tag=Phase.DRAINING), FromEc2(phase_tag=Phase.COMMITTED)
LONG_AGO = NOW_S - BOOT_DEADLINE_S - 1


@pytest.mark.parametrize(
    ("instance", "seen", "phase", "since_s"),
    [
        pytest.param(FromEc2(), Seen(NOW_S - 50), Phase.BOOTING, NOW_S - 50, id="no report yet"),
        pytest.param(FromEc2(state="pending"), Seen(NOW_S), Phase.BOOTING, NOW_S - 50, id="pending"),
        pytest.param(FromEc2(), JOINED, Phase.READY, NOW_S - 40, id="reports"),
        pytest.param(FromEc2(), LATE, Phase.READY, NOW_S - 40, id="one report is late"),
        pytest.param(FromEc2(), GONE, Phase.SILENT, NOW_S - SILENT_AFTER_S - 1, id="reports no more"),
        pytest.param(DRAINING, JOINED, Phase.DRAINING, NOW_S - 20, id="draining"),
        pytest.param(DRAINING, GONE, Phase.SILENT, NOW_S - SILENT_AFTER_S - 1, id="draining and silent"),
        pytest.param(COMMITTED, JOINED, Phase.COMMITTED, NOW_S - 20, id="committed"),
        pytest.param(COMMITTED, GONE, Phase.COMMITTED, NOW_S - 20, id="a committed node ends in silence"),
        pytest.param(FromEc2(state="shutting-down"), JOINED, Phase.STOPPING, NOW_S - 50, id="EC2 stops it"),
        pytest.param(
            FromEc2(launched_at_s=LONG_AGO), Seen(LONG_AGO), Phase.BOOTING, LONG_AGO, id="never joined under our eyes"
        ),
        pytest.param(
            FromEc2(launched_at_s=LONG_AGO), Seen(NOW_S), Phase.SILENT, NOW_S, id="silent when the scaler restarts"
        ),
    ],
)
def test_phase(instance: FromEc2, seen: Seen, phase: Phase, since_s: float) -> None:
    """Tags tell what a node was told, reports whether it is there, and silence is not taken for idleness."""
    node = node_of(instance, None, seen, now_s=NOW_S, boot_deadline_s=BOOT_DEADLINE_S)
    assert (node.phase, node.since_s) == (phase, since_s)


def test_what_was_seen_is_kept_for_nodes_that_are_there() -> None:
    """A node's first sight and report stay, a report is noted, and a node that is gone is forgotten."""
    past = {"i-1": Seen(1.0, 2.0, 3.0), "i-gone": Seen(1.0)}
    assert look(past, [FromEc2("i-1"), FromEc2("i-2")], ["i-1"], NOW_S) == {
        "i-1": Seen(1.0, 2.0, NOW_S),
        "i-2": Seen(NOW_S),
    }


def test_a_command_that_was_lost_is_sent_again() -> None:
    """A node that was told to drain and takes tasks, or to end and is still there, is reminded; others are not."""
    nodes = [
        Node("deaf", Phase.DRAINING, 0, 0, IDLE),
        Node("drained", Phase.DRAINING, 0, 0, DRAINED),
        Node("still there", Phase.COMMITTED, 0, 0, DRAINED),
        Node("gone", Phase.COMMITTED, 0, 0),
        Node("ready", Phase.READY, 0, 0, IDLE),
        Node("reverted", Phase.READY, 0, 0, DRAINED),
    ]
    told = reminders(nodes)
    assert (told.drain, told.shut_down, told.revert) == (("deaf",), ("still there",), ("reverted",))
    assert reminders(nodes, {"deaf", "still there", "reverted"}) == reminders([])


def test_time_in_which_nobody_looked_is_no_silence() -> None:
    """After an outage a node has as long to answer as before it."""
    assert Seen(1.0, 2.0, 3.0).later(60.0) == Seen(1.0, 2.0, 63.0)
    assert Seen(1.0).later(60.0) == Seen(1.0)
