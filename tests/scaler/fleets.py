"""Nodes and samples for the tests of decisions, in few words."""

from __future__ import annotations

from scaler.state import Backlog, Node, Phase, Sample, WorkerReport

NOW_S = 10_000.0
LONG_S = 300.0


def report(active: int = 0, reserved: int = 0, idle_s: float = LONG_S, *, consuming: bool = True) -> WorkerReport:
    """What a worker of 8 slots says."""
    return WorkerReport(8, active, reserved, 0.0 if active or reserved else idle_s, consuming, tasks=0, task_s=0.0)


def booting(name: str, age_s: float = 0.0) -> Node:
    """A node that was launched a while ago."""
    return Node(name, Phase.BOOTING, NOW_S - age_s, NOW_S - age_s)


def ready(name: str, said: WorkerReport | None = None) -> Node:
    """A node that takes tasks; idle for long if not told otherwise."""
    return Node(name, Phase.READY, NOW_S - 1000, NOW_S - 900, said or report())


def draining(name: str, for_s: float = 5.0, said: WorkerReport | None = None) -> Node:
    """A node that was told to take no more tasks."""
    return Node(name, Phase.DRAINING, NOW_S - 1000, NOW_S - for_s, said or report(consuming=False))


def phase(name: str, phase: Phase, for_s: float, said: WorkerReport | None = None) -> Node:
    """A node in any phase; without a report if none is given."""
    return Node(name, phase, NOW_S - 2000, NOW_S - for_s, said)


def sample(*nodes: Node, visible: int = 0, in_flight: int = 0, now_s: float = NOW_S) -> Sample:
    """A sample of nodes and messages."""
    return Sample(now_s, Backlog(visible, in_flight, 0), nodes)
