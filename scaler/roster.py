"""Sorts the nodes of a sample by what they are good for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scaler.policy import Capacity
from scaler.state import Limits, Node, Phase


@dataclass(frozen=True)
class Roster:
    """The nodes of a sample by what they are good for.

    Attributes:
        taking: nodes that take tasks, as far as is known.
        booting: nodes that are expected to.
        draining: nodes that were told to take no more.
        lost: nodes past a deadline, to be replaced.
        never_joined: whether there is one among those that never gave a report.
        outdated: ids of nodes that were launched from another version than is wanted, and do not stop yet.
        making_room: how many of those drain or power off.
        deaf: whether it is rather the control channel that fails than all of the silent nodes.
        total: all nodes, those included that stop or are silent: what counts against the cap.
    """

    taking: tuple[Node, ...]
    booting: tuple[Node, ...]
    draining: tuple[Node, ...]
    lost: tuple[Node, ...]
    never_joined: bool
    outdated: frozenset[str]
    making_room: int
    deaf: bool
    total: int

    def capacity(self, now_s: float, boot_s: float) -> Capacity:
        """Return the nodes that count as capacity, if a boot takes `boot_s`."""
        return Capacity(len(self.taking), tuple(max(0.0, node.launched_at_s + boot_s - now_s) for node in self.booting))


def roster_of(nodes: Sequence[Node], now_s: float, limits: Limits) -> Roster:
    """Return the nodes sorted.

    A node that takes no tasks without having been told so by the scaler is no capacity; it is reminded, see
    `scaler.observe.reminders`.

    If at least two nodes are silent and none reports, then it is rather the control channel that fails than all of
    them: the silent ones count as capacity, and are replaced singly, the next one when the last one's successor has
    joined or failed to.
    """
    by_phase: dict[Phase, list[Node]] = {phase: [] for phase in Phase}
    for node in nodes:
        by_phase[node.phase].append(node)
    silent = by_phase[Phase.SILENT]
    deaf = len(silent) > 1 and not any(node.report for node in nodes)
    never_joined = [node for node in by_phase[Phase.BOOTING] if now_s - node.launched_at_s > limits.boot_deadline_s]
    silent_lost = [node for node in silent if now_s - node.since_s > limits.silent_deadline_s]
    # A task that takes long ends in peace: a warm shutdown waits for it.
    not_off = [
        node
        for node in by_phase[Phase.COMMITTED]
        if now_s - node.since_s > limits.poweroff_deadline_s and (node.report is None or node.report.idle)
    ]
    booting = [node for node in by_phase[Phase.BOOTING] if node not in never_joined]
    if deaf:
        oldest_first = sorted(silent_lost, key=lambda node: (node.since_s, node.id))
        # One that stops still takes the place of its successor.
        silent_lost = [] if booting or by_phase[Phase.STOPPING] else oldest_first[:1]
    outdated = [node for node in nodes if node.phase is not Phase.STOPPING and is_outdated(node, limits)]
    taking = [node for node in by_phase[Phase.READY] if node.report is None or node.report.consuming]
    return Roster(
        taking=(*taking, *(node for node in silent if deaf and node not in silent_lost)),
        booting=tuple(booting),
        draining=tuple(by_phase[Phase.DRAINING]),
        lost=(*never_joined, *silent_lost, *not_off),
        never_joined=bool(never_joined),
        outdated=frozenset(node.id for node in outdated),
        making_room=sum(node.phase in {Phase.DRAINING, Phase.COMMITTED} for node in outdated),
        deaf=deaf,
        total=len(nodes),
    )


def is_outdated(node: Node, limits: Limits) -> bool:
    """Return whether a node was launched from another version than is wanted; what is not known is not outdated."""
    wanted = limits.template_version
    return wanted.isdecimal() and node.template_version is not None and node.template_version != wanted
