"""The capacity that a backlog asks for: two policies behind one interface. Pure: knows no instances, phases or clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from scaler.state import Backlog, Limits

# A target below the boot time cannot be met from zero: each new node is given at least this long to work. Less saves
# little time, and costs many boots.
LEAST_WORK_S = 30.0


@dataclass(frozen=True)
class Measured:
    """What was learned of tasks and nodes.

    Attributes:
        task_s: mean seconds of a task in its slot.
        boot_s: seconds from launch to first report that nine of ten nodes keep within.
        slots: tasks that a node runs at a time.
    """

    task_s: float
    boot_s: float
    slots: int


@dataclass(frozen=True)
class Capacity:
    """The nodes that take tasks, or will.

    Attributes:
        ready: nodes that take tasks.
        boot_left_s: for each node that boots, the seconds it is expected to need still.
    """

    ready: int
    boot_left_s: tuple[float, ...] = ()

    @property
    def nodes(self) -> int:
        """All of them."""
        return self.ready + len(self.boot_left_s)


@dataclass(frozen=True)
class Desired:
    """A number of nodes between minimum and maximum, with how it was found: in words, and every value by name."""

    nodes: int
    reason: str
    values: Mapping[str, float]


class Policy(Protocol):
    """Finds the desired capacity; never less for a longer backlog."""

    def __call__(self, backlog: Backlog, capacity: Capacity, measured: Measured, limits: Limits) -> Desired:
        """Return the desired capacity, nodes that boot included."""


def drain_time(backlog: Backlog, capacity: Capacity, measured: Measured, limits: Limits) -> Desired:
    """Return the nodes that empty the queue within the target time, those that boot counted for what is left of it.

    A message in flight is half done on average. Nodes are added for the work that the present ones leave undone, and
    each new one works for the target less its boot. As long as the present ones suffice, those are wanted that could
    do the work within the target, and as many as hold the tasks in flight: so a steady flow without a backlog keeps
    its nodes. More nodes than it takes to hold every message never help.

    416 photos of 1 s wait, no node runs, a node has 8 slots and boots in 90 s: of 120 s it works for the last 30 and
    does 240 s of work, so it takes two. At 4 s each the 1664 s of work take seven, which are done 30 s after their boot.

    >>> waiting, nodes = Backlog(visible=416, in_flight=0, delayed=0), Capacity(ready=0)
    >>> [drain_time(waiting, nodes, Measured(task_s, 90, 8), Limits()).nodes for task_s in (1, 4)]
    [2, 7]
    """
    horizon_s = max(limits.target_drain_s, measured.boot_s + LEAST_WORK_S)
    work_s = measured.task_s * (backlog.visible + backlog.in_flight / 2)
    working_s = capacity.ready * horizon_s + sum(max(0.0, horizon_s - left_s) for left_s in capacity.boot_left_s)
    capacity_s = measured.slots * working_s
    if work_s > capacity_s:
        per_new_node_s = measured.slots * (horizon_s - measured.boot_s)
        wanted = capacity.nodes + math.ceil((work_s - capacity_s) / per_new_node_s)
    else:
        holding = min(capacity.nodes, math.ceil(backlog.in_flight / measured.slots))
        wanted = max(holding, math.ceil(work_s / (measured.slots * horizon_s)))
    wanted = min(wanted, math.ceil(backlog.messages / measured.slots))
    values = {"work_s": work_s, "capacity_s": capacity_s, "horizon_s": horizon_s}
    reason = f"{work_s:.0f} s of work, {capacity_s:.0f} s of capacity within {horizon_s:.0f} s"
    return _between(wanted, backlog, limits, reason, values)


def load_factor(backlog: Backlog, capacity: Capacity, measured: Measured, limits: Limits) -> Desired:  # noqa: ARG001 - the interface's arguments
    """Return one node for each `load_factor` messages.

    >>> load_factor(Backlog(11, 0, 0), Capacity(0), Measured(1, 90, 8), Limits(load_factor=5)).nodes
    3
    """
    wanted = math.ceil(backlog.messages / limits.load_factor)
    reason = f"{backlog.messages} messages, {limits.load_factor:g} for each node"
    return _between(wanted, backlog, limits, reason, {"load_factor": limits.load_factor})


POLICIES: Mapping[str, Policy] = MappingProxyType({"drain_time": drain_time, "load_factor": load_factor})


def _between(wanted: int, backlog: Backlog, limits: Limits, reason: str, values: dict[str, float]) -> Desired:
    # Any message needs a node, one in flight too: if nobody holds it any more it comes back.
    least = max(limits.min_nodes, 1 if backlog.messages else 0)
    return Desired(min(max(wanted, least), limits.max_nodes), reason, {"wanted": wanted, **values})
