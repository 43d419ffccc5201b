"""The capacity that a backlog asks for."""

from __future__ import annotations

import pytest

from scaler.policy import Capacity, Measured, drain_time, load_factor
from scaler.state import Backlog, Limits

LIMITS = Limits(min_nodes=0, max_nodes=19, target_drain_s=180, load_factor=5)
# A new node does 8 slots x (180 - 90) s = 720 s of work within the target, one that is ready 1440 s.
MEASURED = Measured(task_s=10, boot_s=90, slots=8)
NONE = Capacity(ready=0)


def waiting(visible: int, in_flight: int = 0, delayed: int = 0) -> Backlog:
    """A backlog."""
    return Backlog(visible, in_flight, delayed)


@pytest.mark.parametrize(
    ("backlog", "capacity", "desired"),
    [
        pytest.param(waiting(0), NONE, 0, id="nothing"),
        pytest.param(waiting(1), NONE, 1, id="first visible message starts a node"),
        pytest.param(waiting(0, 1), NONE, 1, id="in flight with nobody to hold it: it comes back"),
        pytest.param(waiting(0, 0, 1), NONE, 1, id="delayed: a node is there when it is visible"),
        pytest.param(waiting(72), NONE, 1, id="just what one new node does"),
        pytest.param(waiting(73), NONE, 2, id="one task more"),
        pytest.param(waiting(144), Capacity(1), 1, id="just what one ready node does"),
        pytest.param(waiting(145), Capacity(1), 2, id="one task more than a ready node does"),
        pytest.param(waiting(72), Capacity(0, (90.0,)), 1, id="a node that was just launched counts"),
        pytest.param(waiting(109), Capacity(0, (45.0,)), 2, id="a node that boots counts for what is left"),
        pytest.param(waiting(100_000), NONE, 19, id="cap"),
        pytest.param(waiting(0), Capacity(5), 0, id="idle nodes are not wanted"),
        pytest.param(waiting(0, 40), Capacity(9), 5, id="a steady flow keeps the nodes that hold it"),
        pytest.param(waiting(0, 400), Capacity(1), 2, id="what is in flight is half done"),
    ],
)
def test_drain_time(backlog: Backlog, capacity: Capacity, desired: int) -> None:
    """`drain_time` wants the nodes that empty the queue within the target."""
    assert drain_time(backlog, capacity, MEASURED, LIMITS).nodes == desired


def test_more_nodes_than_messages_fill_never_help() -> None:
    """Eight messages fit on one node however long their tasks take."""
    assert drain_time(waiting(8), NONE, Measured(3600, 90, 8), LIMITS).nodes == 1


def test_a_target_below_the_boot_time_is_lengthened() -> None:
    """A target that no new node can meet gives new nodes half a minute's work, not infinitely many nodes."""
    assert drain_time(waiting(24), NONE, Measured(10, 400, 8), LIMITS).nodes == 1


@pytest.mark.parametrize(
    ("backlog", "desired"),
    [
        pytest.param(waiting(0), 0, id="nothing"),
        pytest.param(waiting(1), 1, id="one message"),
        pytest.param(waiting(5), 1, id="just one node's"),
        pytest.param(waiting(3, 2, 1), 2, id="in flight and delayed count"),
        pytest.param(waiting(10_000), 19, id="cap"),
    ],
)
def test_load_factor(backlog: Backlog, desired: int) -> None:
    """`load_factor` wants a node for each five messages."""
    assert load_factor(backlog, NONE, MEASURED, LIMITS).nodes == desired


@pytest.mark.parametrize("policy", [drain_time, load_factor])
def test_minimum(policy: type) -> None:
    """An empty queue keeps the minimum."""
    assert policy(waiting(0), NONE, MEASURED, Limits(min_nodes=2)).nodes == 2


def test_values_are_shown() -> None:
    """The reason and the values tell how the number was found."""
    desired = drain_time(waiting(72, 2), Capacity(1, (90.0,)), MEASURED, LIMITS)
    assert desired.reason == "730 s of work, 2160 s of capacity within 180 s"
    assert desired.values == {"wanted": 1, "work_s": 730, "capacity_s": 2160, "horizon_s": 180}
