"""Which nodes leave, and how far each is on its way: candidate, draining, committed. Pure.

Only a node that has said at this very tick that it holds no task makes a step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from scaler.state import History, Limits, Node

# A surplus that lasts this many times the idle time lets a node go that is idle at the moment: SQS deals tasks out to
# all nodes, so under a thin steady flow none of them is ever idle for long, however many there are.
STEADY = 2.0


@dataclass(frozen=True)
class ScaleIn:
    """Nodes to drain now, and the history with the candidates to be drained later."""

    drain: tuple[str, ...]
    history: History


def scale_in(
    taking: Sequence[Node],
    desired: int,
    history: History,
    limits: Limits,
    now_s: float,
    *,
    first: Collection[str] = frozenset(),
) -> ScaleIn:
    """Return which of the nodes that take tasks are to stop that: those in `first`, and then the longest idle.

    A node that boots is no reason to drain one that works: only nodes that report make a surplus. One is a candidate
    for at least one tick before it is drained, so every drain was found right twice.
    """
    reporting = [node for node in taking if node.report is not None]
    surplus = len(reporting) - desired
    if surplus <= 0:
        return ScaleIn((), no_surplus(history))
    ticks = history.surplus_ticks + 1
    since_s = now_s if history.surplus_since_s is None else history.surplus_since_s
    idle = {node.id: node.report.idle_s for node in reporting if node.report is not None and node.report.idle}
    long_idle = {node for node, idle_s in idle.items() if idle_s >= limits.idle_s}
    steady = now_s - since_s >= STEADY * limits.idle_s
    eligible: Collection[str] = idle if steady else long_idle
    candidates = {node: history.candidates.get(node, now_s) for node in eligible if ticks >= limits.surplus_ticks}
    ripe = sorted(
        (node for node, when_s in candidates.items() if when_s < now_s),
        key=lambda node: (node not in first, -idle[node], node),
    )
    # Of nodes that had a task lately one at a time leaves: the others must show first that they can do without it.
    drain = [node for node in ripe if node in long_idle][:surplus] or ripe[:1]
    history = replace(history, candidates=MappingProxyType(candidates), surplus_ticks=ticks, surplus_since_s=since_s)
    return ScaleIn(tuple(drain), history)


def no_surplus(history: History) -> History:
    """Return the history without candidates: every node is wanted."""
    return replace(history, candidates=MappingProxyType({}), surplus_ticks=0, surplus_since_s=None)


def commits(draining: Sequence[Node], limits: Limits, now_s: float) -> tuple[str, ...]:
    """Return the draining nodes that may power off: those that take no tasks and hold none, after the grace time."""
    return tuple(
        node.id
        for node in draining
        if node.report is not None
        and node.report.idle
        and not node.report.consuming
        and now_s - node.since_s >= limits.drain_grace_s
    )
